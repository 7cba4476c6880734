"""The tab of dose and response: a grid of strengths for each edit, or for all of them together, as a study."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from components.figures.dose import dose_curves
from dashboard.analysis.asks.edits import Where, print_where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.steering.comparison import SteeringAsk
from dashboard.analysis.methods.steering.dose_response import MAX_FACTORS, MAX_SEEDS, RuleKind, SweepProgress, table
from dashboard.analysis.methods.steering.study import STUDY, TOGETHER, DoseAsk, text_rows
from dashboard.ui.parts.panel import panel
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.steer import present as present_steer
from dashboard.ui.views.steer import PAGE

_NAME = PAGE.key("dose")
_CURVES = ("one per edit", TOGETHER)
_WARM = 0.8
"""Temperature where several seeds are wanted and none is set."""


def dose_response(base: SteeringAsk) -> None:
    """Its inputs, and what has been found; the edits, the prompt and the sampling are the page's."""
    if not base.interventions:
        raise BadAsk("There is no edit to scale; add a latent above.")
    with st.form(PAGE.key("sweep"), border=False):
        ask = _inputs(base)
        started = st.form_submit_button("Measure", icon=":material/show_chart:")
    if base.sampling.temperature == 0:
        st.caption(f"At temperature 0 every seed writes the same text: with more than one seed, {_WARM:g} is used.")
    panel(STUDY, _NAME, ask, started, _draw, figures=_figures)


def _inputs(base: SteeringAsk) -> Callable[[], DoseAsk]:
    """Widgets, and what reads them."""
    first, second, third = st.columns(3)
    low, high = first.slider("Factors on every amount", -4.0, 4.0, (-2.0, 2.0), 0.5, key=PAGE.key("sweep range"), help=TERMS["factor"])
    steps = int(second.number_input("Steps", 2, MAX_FACTORS, 5, key=PAGE.key("sweep steps")))
    seeds = int(third.number_input("Seeds", 1, MAX_SEEDS, 4, key=PAGE.key("sweep seeds")))
    how = first.segmented_control("Curves", _CURVES, default=_CURVES[0], key=PAGE.key("sweep curves"), required=True)
    kind = second.selectbox("Rule", ("none", *RuleKind), key=PAGE.key("sweep rule"), help=TERMS["rule"])
    text = third.text_input("Words or regular expression", key=PAGE.key("sweep text"))
    word = first.text_input("Word to measure the probability of", key=PAGE.key("sweep word"), help=TERMS["word"])

    def ask() -> DoseAsk:
        sampling, edits = base.sampling, base.interventions
        return DoseAsk(
            prompt=base.prompt.text,
            chat=base.prompt.chat,
            edits=tuple(replace(edit, where=Where.EVERYWHERE) for edit in edits),
            where=print_where(edits[0].where),
            factors=tuple(sorted({round(low + (high - low) * i / (steps - 1), 4) for i in range(steps)})),
            seeds=seeds,
            together=how == TOGETHER,
            numbered=how != TOGETHER,
            word=word or None,
            words=text if kind == RuleKind.WORDS else None,
            regex=text if kind == RuleKind.REGEX else None,
            refusal=kind == RuleKind.REFUSAL,
            max_new_tokens=sampling.max_new_tokens,
            temperature=_temperature(sampling, seeds),
            top_p=sampling.top_p,
            seed=sampling.seed,
        )

    return ask


def _temperature(sampling: Sampling, seeds: int) -> float:
    return _WARM if seeds > 1 and sampling.temperature == 0 else sampling.temperature


def _figures(found: SweepProgress) -> dict[str, Any]:
    drawn = {name: present_steer.curve_points(found.points, name) for name in present_steer.FIGURES}
    return {name: dose_curves(curves, y_title=name) for name, curves in drawn.items() if curves}


def _draw(found: SweepProgress) -> None:
    if found.done == found.total:
        st.caption(f"done: {found.done} of {found.total} texts. Bars: 95 % over seeds.")
    places = [*st.columns(2), *st.columns(2), *st.columns(2)]
    for at, (column, figure) in enumerate(zip(places, _figures(found).values(), strict=False)):
        column.plotly_chart(figure, key=PAGE.key(f"sweep figure {at}"))
    with st.expander("Table"):
        st.dataframe(table(found.points), hide_index=True)
    with st.expander("Texts"):
        st.dataframe(text_rows(found), hide_index=True, column_config={"text": st.column_config.TextColumn(width="large")})
