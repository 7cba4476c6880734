"""The two further parts of a study, made on request: what the chosen latents cause, and what tells wrong answers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from components.figures.answers import detector_dots, outcome_boxes, rate_bars
from components.figures.known import CONFIG
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.methods.known import study_causality, study_uncertainty
from dashboard.analysis.methods.known.causality import load_causality, overrule_generation
from dashboard.analysis.methods.known.effects import (
    CAUSALITY,
    CAUSALITY_PREVIEW,
    UNCERTAINTY,
    Causality,
    CausalitySettings,
    Condition,
    Generation,
    Uncertainty,
    UncertaintySettings,
)
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.study_causality import CausalityAsk
from dashboard.analysis.methods.known.wrong_answers import load_uncertainty
from dashboard.analysis.studies.parts import kept_parts
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Study
from dashboard.ui.known import present_effects
from dashboard.ui.parts import made as how_made
from dashboard.ui.parts import options, panel
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_result, get_store
from dashboard.ui.views import known
from dashboard.ui.views.known import PAGE

T = TypeVar("T")
_SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)


def causality(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Answers, self-report and attention with the chosen latents added or taken out; starts on request."""
    found = _kept("causality", CAUSALITY, study, view, load_causality, present_effects.causality_name)
    own = study_causality.ask_of(study.key, CAUSALITY_PREVIEW if found is None else present_effects.asked(found.record))
    name = PAGE.key(f"causality {study.key}")
    with st.form(PAGE.key("causality form"), border=False):
        fields = ("n_questions", "amount", "n_random", "new_tokens", "known", "unknown", "part", "chat")
        shown = {"part": present_effects.PARTS.__getitem__}
        read = options.inputs(own, f"{name}_{'' if found is None else found.key}", fields, 4, shown=shown)
        started = st.form_submit_button("Run the interventions", icon=":material/play_arrow:")
    _follow(study_causality.STUDY, name, "causality", lambda: _with_attention(read.ask()), started)
    if found is not None:
        _draw_causality(found)
        _made(study_causality.STUDY, found.key, own)
    else:
        st.caption("No interventions have been run for this study. Every condition answers the same questions of the test split.")


def _with_attention(ask: CausalityAsk) -> CausalityAsk:
    """For attention the amount counts too, if one is given."""
    ask = replace(ask, known=ask.known.strip(), unknown=ask.unknown.strip())
    return replace(ask, attention_amount=CausalitySettings.attention_amount if ask.amount is None else ask.amount)


def uncertainty(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """Latents that are stronger before wrong answers; starts on request."""
    found = _kept("uncertainty", UNCERTAINTY, study, view, load_uncertainty, present_effects.uncertainty_name)
    own = study_uncertainty.ask_of(study.key, UncertaintySettings() if found is None else found.settings)
    name = PAGE.key(f"uncertainty {study.key}")
    with st.form(PAGE.key("uncertainty form"), border=False):
        fields = ("n_questions", "new_tokens", "chat")
        read = options.inputs(own, f"{name}_{'' if found is None else found.key}", fields)
        started = st.form_submit_button("Compare right and wrong answers", icon=":material/play_arrow:")
    _follow(study_uncertainty.STUDY, name, "uncertainty", read.ask, started)
    if found is not None:
        _draw_uncertainty(found)
        _made(study_uncertainty.STUDY, found.key, own)
    else:
        st.caption("Right and wrong answers have not been compared for this study.")


def _follow(study: Study[Any, Any], name: str, field: str, read: Callable[[], Any], started: bool) -> None:
    """Start a part, watch it, and show what has just been made."""
    with st.container(), failures.shown():
        panel.follow(study, name, lambda made: known.change_next(**{field: made.key}), read() if started else None)


def _made(study: Study[Any, Any], key: str, ask: Any) -> None:
    made = get_result(study, key, ask)
    if made is not None:
        how_made.how(study, made, PAGE.key(f"made {key}"))


def _kept(
    name: str,
    kind: str,
    study: KnownUnknownStudy,
    view: known.KnownView,
    load: Callable[[ResultStore, str], T],
    described: Callable[[RunRecord], str],
) -> T | None:
    """What is shown of those that were kept of a study: the one of the address, else the newest; None if there is none to show."""
    heads = {one.key: one.record for one in kept_parts(get_store(), kind, study.key)}
    wanted = getattr(view, name)
    if wanted and wanted not in heads:
        st.warning(failures.plain(f"This study has no {name} {wanted[:40]!r}; the newest is shown."), icon=":material/link_off:")
    if not heads:
        return None
    key = wanted if wanted in heads else next(iter(heads))
    if len(heads) > 1:
        bound = PAGE.widget(name, key, lambda new: PAGE.change(**{name: new}))
        st.selectbox("Interventions", list(heads), format_func=lambda one: described(heads[one]), **bound)
    with failures.shown():
        return load(get_store(), key)
    return None


def _draw_causality(found: Causality) -> None:
    for note in (present_effects.made_with(found), *found.notes):
        st.caption(failures.plain(note))
    side = st.segmented_control("Questions about", [*_SIDES], default=Knowledge.UNKNOWN, key=PAGE.key("side"), required=True)
    # Few types fit beside each other.
    places = st.columns(2, gap="large") if len({point.kind for point in found.rates}) <= 3 else (st.container(), st.container())
    for place, what in zip(places, (present_effects.REFUSED, present_effects.HALLUCINATED), strict=True):
        with place:
            st.markdown(f"**Questions about {side.value} entities: {what}**")
            figure = rate_bars(present_effects.rates(found, side, what), y_title=f"share {what}")
            st.plotly_chart(figure, key=PAGE.key(f"rates {side.name} {what}"), config=CONFIG)
    st.caption("Bars are 95 % Wilson intervals; of random latents, one standard deviation over latents.")
    with st.expander("Table of rates"):
        st.dataframe(present_effects.rate_rows(found), hide_index=True)
    _answers(found, side)
    for knowledge, column in zip(_SIDES, st.columns(2, gap="large"), strict=True):
        if bars := present_effects.self_reports(found, knowledge):
            with column:
                st.markdown(f"**Does it say that it knows {knowledge.value} entities?** Yes against No")
                figure = rate_bars(bars, y_title="log-odds of Yes, nats", is_share=False)
                st.plotly_chart(figure, key=PAGE.key(f"self {knowledge.name}"), config=CONFIG)
    for test, column in zip(found.attention, st.columns(2, gap="large"), strict=False):
        with column:
            st.markdown(f"**Attention from the last token to the name**, {test.side.value} latent added")
            figure = rate_bars(present_effects.head_bars(test), y_title="change of attention", is_share=False)
            st.plotly_chart(figure, key=PAGE.key(f"attention {test.side.name}"), config=CONFIG)
            st.caption(failures.plain(present_effects.attention_sentence(test)))
            with st.expander("Against each random latent"):
                st.dataframe(present_effects.test_rows(test), hide_index=True)


def _answers(found: Causality, side: Knowledge) -> None:
    """The answers themselves under some conditions beside each other, and the way to correct their verdicts."""
    st.markdown("**Answers side by side**, each after its verdict")
    made = list(dict.fromkeys(one.condition for one in found.generations))
    names = present_effects.CONDITIONS
    picked = st.pills(
        "Conditions", made, format_func=names.__getitem__, selection_mode="multi", default=made[:3], key=PAGE.key("conditions")
    )
    wide = {"question": st.column_config.TextColumn(width=180), "right": st.column_config.TextColumn(width=110)}
    wide |= {names[one]: st.column_config.TextColumn(width=max(190, 620 // max(1, len(picked)))) for one in picked}
    rows = present_effects.generation_rows(found.generations, side, picked)
    st.dataframe(rows, hide_index=True, row_height=96, column_config=wide, height="content" if len(rows) <= 5 else 560)
    with st.expander("Correct a verdict by hand"):
        _hand_labels(found, side)


def _hand_labels(found: Causality, side: Knowledge) -> None:
    """Every answer with its verdict, which can be corrected."""
    shown = [one for one in found.generations if one.knowledge is side and one.condition is not Condition.RANDOM]
    rows = [
        {
            "verdict": one.verdict.value,
            "matcher": one.graded.value,
            "name": one.name,
            "condition": present_effects.CONDITIONS[one.condition],
            "answer": one.text.strip(),
        }
        for one in shown
    ]
    if not rows:
        return
    name = f"verdicts {found.key} {side.name} {known.edition()}"
    column = st.column_config.SelectboxColumn(options=[one.value for one in Verdict], required=True, help="Yours counts.", width=90)
    wide = {"verdict": column, "answer": st.column_config.TextColumn(width=460)}
    st.data_editor(
        rows,
        key=PAGE.key(name),
        hide_index=True,
        num_rows="fixed",
        disabled=["matcher", "name", "condition", "answer"],
        column_config=wide,
        on_change=_overrule,
        args=(found.key, name, tuple(shown)),
    )


def _overrule(causality_key: str, editor: str, shown: tuple[Generation, ...]) -> None:
    """Callback: what was changed counts; the matcher's own verdict takes it back."""
    with failures.shown():
        for row, new in PAGE.held(editor)["edited_rows"].items():
            one = shown[int(row)]
            verdict = Verdict(new["verdict"])
            overrule_generation(get_store(), causality_key, one, None if verdict is one.graded else verdict)
    known.next_edition()


def _draw_uncertainty(found: Uncertainty) -> None:
    for line in (present_effects.uncertainty_sentence(found), *found.notes):
        if line:
            st.caption(failures.plain(line))
    st.dataframe(present_effects.tally_rows(found), hide_index=True, height="content")
    left, right = st.columns(2, gap="large")
    if scores := present_effects.detectors(found):
        with left:
            st.markdown("**Which score separates wrong from right answers?** Test answers")
            pick = partial(known.pick_point, "detectors")
            st.plotly_chart(detector_dots(scores), key=PAGE.key("detectors"), on_select=pick, selection_mode="points", config=CONFIG)
    if found.test and found.latents:
        best = found.latents[0]
        values = present_effects.outcomes(found)
        lines = {} if best.figures is None else dict.fromkeys((one.group for one in values), best.figures.threshold)
        with right:
            st.markdown(f"**{failures.plain(str(best.latent))}** before right and wrong answers; dashed: its threshold, set on validation")
            st.plotly_chart(outcome_boxes(values, thresholds=lines, y_title="activation"), key=PAGE.key("outcomes"), config=CONFIG)
            if found.promoted:
                st.caption(failures.plain("It promotes: " + ", ".join(repr(token) for token in found.promoted)))
    st.dataframe(present_effects.uncertainty_rows(found), hide_index=True, height="content")
