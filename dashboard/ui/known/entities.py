"""Entities of a study: which of them a latent fires on, their texts, and every question with its answer and grade."""

from collections.abc import Sequence

import streamlit as st

from components.data import ExampleRow, Scale, TokenCell
from components.example_list import example_list
from components.figures.known import CONFIG, entity_strip
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.methods.known import study as known_unknown
from dashboard.analysis.methods.known.results import GradedAnswer, KnownUnknownStudy, Overrule, StudyEntity
from dashboard.analysis.methods.known.statistics.labels import LabelWay
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import Prompt
from dashboard.ui.known import latents as known_latents
from dashboard.ui.known import present as present_known
from dashboard.ui.known import present_entities
from dashboard.ui.parts import figures
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_engine, get_store
from dashboard.ui.views import known
from dashboard.ui.views.known import PAGE

_TEXTS, _MAX_ANSWERS = 6, 500


def entities(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """The strip of the chosen latent, the texts on which it fires most, and all entities."""
    kinds = [*study.counts.kinds, present_known.ALL]
    first, second, third = st.columns([3, 5, 2], vertical_alignment="bottom")
    first.selectbox("Type", kinds, **PAGE.bind("kind"))
    latent = LatentId.parse(view.chosen)
    with second:
        known_latents.latent_box(study, view)
    with third:
        known_latents.open_button(latent)
    (found,) = known_unknown.activations(get_store(), study, (latent,))
    st.markdown(f"**Where {failures.plain(view.chosen)} fires**: activation at the last token of each name; entities of all splits")
    figure = entity_strip(present_entities.entity_bars(study, found, view.kind), chosen=view.entity)
    st.plotly_chart(
        figure, key=PAGE.key("strip"), on_select=lambda: known.pick_point("strip", "entity"), selection_mode="points", config=CONFIG
    )
    rows = present_entities.strongest(study, found, view.kind, _TEXTS)
    picked = next((entity for entity in study.entities if present_entities.entity_key(entity) == view.entity), None)
    if picked is not None:
        value = float(found.values[study.entities.index(picked)])
        rows = [(picked, value), *[row for row in rows if row[0] != picked]]
    _texts(rows, latent, float(found.values.max(initial=0.0)))
    table = present_entities.entity_rows(study, found, view.kind)
    with st.expander(f"Table of {len(table)} entities"):
        st.dataframe(table, hide_index=True)


def questions(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Every question, answer and grade of a type; a grade can be overruled."""
    if study.ask.settings.way is LabelWay.FILE:
        st.info("The labels of this study come from the file; the model was not asked. Choose answers or choices above to ask it.")
        return
    kind, kinds = view.kind, [*study.counts.kinds, present_known.ALL]
    first, second = st.columns([3, 7])
    first.selectbox("Type", kinds, **PAGE.bind("kind"))
    answers = list(known_unknown.read_answers(get_store(), study, None if kind == present_known.ALL else kind))
    wanted = second.text_input("Find a name, attribute or answer", key=PAGE.key("find")).casefold()
    shown = [one for one in answers if wanted in f"{one.name}\0{one.attribute}\0{one.answer}".casefold()]
    n_right = sum(one.verdict is Verdict.CORRECT for one in shown)
    said = f"{figures.grouped(len(shown))} answers about {kind}, {figures.grouped(n_right)} of them right; "
    said += f"{study.n_overruled} overruled. Change a grade in its column to rescore the study."
    if len(shown) > _MAX_ANSWERS:
        said += f" The first {_MAX_ANSWERS} are shown; search for a name to see others."
    st.caption(failures.plain(said))
    _editor(study, kind, shown[:_MAX_ANSWERS])


def _editor(study: KnownUnknownStudy, kind: str, shown: Sequence[GradedAnswer]) -> None:
    rows = present_entities.answer_rows(shown)
    if not rows:
        return
    name = f"answers {study.key} {kind} {known.edition()} {hash(tuple(one.name for one in shown))}"
    grades = [one.value for one in Verdict]
    columns = {
        "name": st.column_config.TextColumn(width=130),
        "answer": st.column_config.TextColumn(width=260),
        "right": st.column_config.TextColumn(width=150),
        "grade": st.column_config.SelectboxColumn(options=grades, required=True, help="Yours counts.", width=90),
        "matcher": st.column_config.TextColumn(help="The matcher's grade.", width=90),
    }
    st.data_editor(
        rows,
        key=PAGE.key(name),
        hide_index=True,
        num_rows="fixed",
        disabled=[name for name in rows[0] if name != "grade"],
        column_config=columns,
        on_change=_overrule,
        args=(study.key, name, tuple(shown)),
    )


def _overrule(study: str, editor: str, shown: Sequence[GradedAnswer]) -> None:
    """Callback of the editor: what was changed counts, a grade as the matcher's takes it back."""
    with failures.shown():
        for row, new in PAGE.held(editor)["edited_rows"].items():
            one = shown[int(row)]
            verdict = Verdict(new["grade"])
            given = Overrule(one.kind, one.name, one.attribute, one.sample, None if verdict is one.graded else verdict)
            known_unknown.overrule(get_store(), study, given)
    known.next_edition()


def _texts(rows: Sequence[tuple[StudyEntity, float]], latent: LatentId, maximum: float) -> None:
    """The texts, shaded by the latent on every token; the button takes one to the latent's page."""
    if not rows:
        st.caption("It does not fire on any of these names.")
        return
    drawn = [_text(entity, latent, value) for entity, value in rows]

    def opened() -> None:
        acted = PAGE.event("texts", "acted")
        entity = next((entity for entity, _ in rows if present_entities.entity_key(entity) == acted), None)
        if entity is not None:
            PAGE.change(entity=acted)
            known.ask_to_open(latent, entity.text)

    scale = Scale(str(latent), maximum, "largest at a name of this study")
    example_list(drawn, scale, legend=True, wrapped=False, action="open", key=PAGE.key("texts"), on_act=opened)


def _text(entity: StudyEntity, latent: LatentId, value: float) -> ExampleRow:
    capture = get_engine().ask(CaptureAsk(Prompt(entity.text), (latent.sae,)))
    tokens, values = capture.tokens, capture.activations[latent.sae].of_latent(latent.index)
    cells = tuple(
        TokenCell(text, float(values[i]), (), special)
        for i, (text, special) in enumerate(zip(tokens.texts, tokens.special, strict=True))
    )  # fmt: skip
    anchor = max((i for i in tokens.ordinary if tokens.char_ranges[i][0] < entity.end), default=0)
    label = f"{entity.label.knowledge.value}, {entity.split.value} split"
    note = f"{entity.kind} {entity.name}: {label}"
    return ExampleRow(present_entities.entity_key(entity), note, anchor, value, "", cells, False, False, label)
