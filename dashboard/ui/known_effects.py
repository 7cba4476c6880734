"""The two further parts of a study, made on request: what the chosen latents cause, and what tells wrong answers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import streamlit as st

from components.answer_figures import detector_dots, outcome_boxes, rate_bars
from components.study_figures import CONFIG
from dashboard.analysis import known_unknown
from dashboard.analysis.entities.matching import Verdict
from dashboard.analysis.known.causality import find_causality, overrule_generation
from dashboard.analysis.known.effects import (
    CAUSALITY_PREVIEW,
    Causality,
    CausalitySettings,
    Condition,
    Generation,
    Uncertainty,
    UncertaintySettings,
)
from dashboard.analysis.known.types import KnownUnknownStudy
from dashboard.analysis.known.uncertainty import find_uncertainty
from dashboard.analysis.methods.knowledge import Knowledge
from dashboard.analysis.study import StudyRunner
from dashboard.ui import failures, known_controls, present_effects
from dashboard.ui import known_state as known
from dashboard.ui.glossary import TERMS
from dashboard.ui.resources import get_catalog, get_engine, get_store

_SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)


def causality(study: KnownUnknownStudy, view: known.KnownState) -> None:
    """Answers, self-report and attention with the chosen latents added or taken out; starts on request."""
    del view  # every tab gets it
    found = find_causality(get_store(), study.key)
    own = CAUSALITY_PREVIEW if found is None else found.settings
    with st.form("known_causality", border=False):
        first, second, third, fourth = st.columns(4)
        n = first.number_input("Questions of each type and side", 1, 500, own.n_questions)
        amount = second.number_input("Added, × mean residual norm (empty: tuned)", 0.0, 20.0, own.amount, 0.1, help=TERMS["edit"])
        n_random = third.number_input("Random latents", 2, 100, own.n_random)
        tokens = fourth.number_input("New tokens", 1, 256, own.new_tokens)
        known_latent = first.text_input("Known latent (empty: the best)", own.known)
        unknown_latent = second.text_input("Unknown latent (empty: the best)", own.unknown)
        chat = third.toggle("As a chat message", own.chat)
        started = fourth.form_submit_button("Try them out", icon=":material/play_arrow:")
    if started:
        with failures.shown():
            settings = CausalitySettings(
                known=known_latent.strip(), unknown=unknown_latent.strip(), n_questions=int(n), amount=amount,
                n_random=int(n_random), new_tokens=int(tokens), chat=chat,
            )  # fmt: skip
            steps = partial(known_unknown.run_causality, store=get_store(), study=study, settings=settings, catalog=get_catalog())
            _start("causality", study, steps)
    known_controls.watch("causality", lambda _: st.rerun())
    if found is not None:
        _draw_causality(found)
    else:
        st.caption("Nothing has been tried out for this study. Every condition answers the same questions of the test split.")


def uncertainty(study: KnownUnknownStudy, view: known.KnownState) -> None:
    """Latents that are stronger before wrong answers; starts on request."""
    del view
    found = find_uncertainty(get_store(), study.key)
    own = UncertaintySettings() if found is None else found.settings
    with st.form("known_uncertainty", border=False):
        first, second, third, fourth = st.columns(4, vertical_alignment="bottom")
        n = first.number_input("Questions of each type", 1, 100_000, own.n_questions)
        tokens = second.number_input("New tokens", 1, 256, own.new_tokens, key="known_uncertainty_tokens")
        chat = third.toggle("As a chat message", own.chat, key="known_uncertainty_chat")
        started = fourth.form_submit_button("Compare right and wrong answers", icon=":material/play_arrow:")
    if started:
        with failures.shown():
            settings = UncertaintySettings(n_questions=int(n), new_tokens=int(tokens), chat=chat)
            steps = partial(known_unknown.run_uncertainty, store=get_store(), study=study, settings=settings, catalog=get_catalog())
            _start("uncertainty", study, steps)
    known_controls.watch("uncertainty", lambda _: st.rerun())
    if found is not None:
        _draw_uncertainty(found)
    else:
        st.caption("Right and wrong answers have not been compared for this study.")


def _start(name: str, study: KnownUnknownStudy, steps: Callable[[StudyRunner], Iterator[Any]]) -> None:
    runner = StudyRunner(get_engine())
    known_controls.start_job(name, f"{name} of study {study.key[:6]}", partial(steps, runner), runner)


def _draw_causality(found: Causality) -> None:
    for note in found.notes:
        st.caption(failures.plain(note))
    for side in _SIDES:
        columns = st.columns(2, gap="large")
        for column, what in zip(columns, (present_effects.REFUSED, present_effects.HALLUCINATED), strict=True):
            bars = present_effects.rates(found, side, what)
            with column:
                st.markdown(f"**Questions on {side.value} entities: {what}**")
                figure = rate_bars(bars, y_title=f"share {what}")
                st.plotly_chart(figure, key=f"known_rates_{side.name}_{what}", config=CONFIG)
    st.caption("Bars are 95 % Wilson intervals; of random latents, one standard deviation over latents.")
    with st.expander("Table of rates"):
        st.dataframe(present_effects.rate_rows(found), hide_index=True)
    st.markdown("**Answers, side by side**; the verdict stands before each")
    side = st.segmented_control("Entities", [*_SIDES], default=Knowledge.UNKNOWN, key="known_generations_side", required=True)
    conditions = list(dict.fromkeys(one.condition for one in found.generations))
    wide = {one.value: st.column_config.TextColumn(width="large") for one in conditions}
    rows = present_effects.generation_rows(found.generations, side, conditions)
    st.dataframe(rows, hide_index=True, row_height=72, column_config=wide)
    with st.expander("Correct a verdict by hand"):
        _hand_labels(found, side)
    for knowledge, column in zip(_SIDES, st.columns(2, gap="large"), strict=True):
        if bars := present_effects.self_reports(found, knowledge):
            with column:
                st.markdown(f"**Does it say that it knows {knowledge.value} entities?** Yes against No")
                figure = rate_bars(bars, y_title="log-odds of Yes, nats", is_share=False)
                st.plotly_chart(figure, key=f"known_self_{knowledge.name}", config=CONFIG)
    for test in found.attention:
        st.markdown(f"**Attention from the last token to the name**, {test.side.value} latent added")
        st.caption(failures.plain(present_effects.attention_sentence(test)))
        figure = rate_bars(present_effects.head_bars(test), y_title="change of attention", is_share=False)
        st.plotly_chart(figure, key=f"known_attention_{test.side.name}", config=CONFIG)
        with st.expander("Against each random latent"):
            st.dataframe(present_effects.test_rows(test), hide_index=True)


def _hand_labels(found: Causality, side: Knowledge) -> None:
    """Every answer with its verdict, which can be corrected."""
    shown = [one for one in found.generations if one.knowledge is side and one.condition is not Condition.RANDOM]
    rows = [
        {"type": one.kind, "name": one.name, "condition": one.condition.value, "answer": one.text, "verdict": one.verdict.value}
        for one in shown
    ]
    if not rows:
        return
    key = f"known_verdicts_{found.key}_{side.name}_{known.edition()}"
    column = st.column_config.SelectboxColumn(options=[one.value for one in Verdict], required=True)
    st.data_editor(
        rows,
        key=key,
        hide_index=True,
        num_rows="fixed",
        disabled=["type", "name", "condition", "answer"],
        column_config={"verdict": column},
        on_change=_overrule,
        args=(found.key, key, tuple(shown)),
    )


def _overrule(causality_key: str, key: str, shown: tuple[Generation, ...]) -> None:
    """Callback: what was changed counts; the matcher's own verdict takes it back."""
    with failures.shown():
        for row, new in st.session_state[key]["edited_rows"].items():
            one = shown[int(row)]
            verdict = Verdict(new["verdict"])
            overrule_generation(get_store(), causality_key, one, None if verdict is one.graded else verdict)
    known.change()
    known.next_edition()


def _draw_uncertainty(found: Uncertainty) -> None:
    for line in (present_effects.uncertainty_sentence(found), *found.notes):
        if line:
            st.caption(failures.plain(line))
    st.dataframe(present_effects.tally_rows(found), hide_index=True, height="content")
    left, right = st.columns(2, gap="large")
    if scores := present_effects.detectors(found):
        with left:
            st.markdown("**Which number tells wrong answers from right ones?** Test answers")
            key = known.DETECTORS
            st.plotly_chart(detector_dots(scores), key=key, on_select=lambda: known.pick_point(key), selection_mode="points", config=CONFIG)
    if found.test and found.latents:
        best = found.latents[0]
        values = present_effects.outcomes(found)
        lines = {} if best.figures is None else dict.fromkeys((one.group for one in values), best.figures.threshold)
        with right:
            st.markdown(f"**{failures.plain(str(best.latent))}** before right and wrong answers; dashed: its threshold, set on validation")
            st.plotly_chart(outcome_boxes(values, thresholds=lines, y_title="activation"), key="known_outcomes", config=CONFIG)
            if found.promoted:
                st.caption(failures.plain("It makes likelier: " + ", ".join(repr(token) for token in found.promoted)))
    st.dataframe(present_effects.uncertainty_rows(found), hide_index=True, height="content")
