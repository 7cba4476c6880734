"""Panel of steering along a flow: score against strength for single layers, the initial set, and the flow set."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from components.figures.dose import dose_curves
from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.methods.flow import schedule as schedules
from dashboard.analysis.methods.flow import steering as method
from dashboard.analysis.methods.flow.results import FlowGraph
from dashboard.analysis.methods.flow.study_steering import GRIDS, JUDGE_KEY, STUDY, FlowSteerAsk, SteeredFlow
from dashboard.ui.flow import present_on_text as present
from dashboard.ui.parts import clicks as kept
from dashboard.ui.parts.clicks import dose_chart, numbers
from dashboard.ui.parts.options import inputs
from dashboard.ui.parts.panel import panel

_FIRST = ("theme", "words", "prompt", "texts", "max_new_tokens", "temperature")
_TITLES = {"behaviour": "behaviour B", "coherence": "coherence C"}


def _key(widget: str) -> str:
    return kept.key(kept.STEERING, widget)


def steering(graph: FlowGraph) -> None:
    """Steer with the seed alone, with each layer of its flow, and with the whole flow."""
    flow = schedules.path_latents(graph)
    st.caption(
        f"The flow set is the {len(flow)} residual latents of the span, layers {graph.span[0]} to {graph.span[1]}; the initial set is the "
        "seed. Behaviour and coherence are proxies based on words, firings and losses, not on meaning: look at both, not only at the total."
    )
    goal = st.segmented_control("Goal", list(schedules.Goal), default=schedules.Goal.ACTIVATE, key=_key("goal"), required=True)
    with st.form(_key("form"), border=False):
        ask, secret = _inputs(graph, goal)
        started = st.form_submit_button("Generate and score", icon=":material/edit_note:")
    panel(STUDY, kept.STEERING, ask, started, _draw, {JUDGE_KEY: secret}, _figures)


def _inputs(graph: FlowGraph, goal: schedules.Goal) -> tuple[Callable[[], FlowSteerAsk], str]:
    """Widgets, what reads them once the form is sent, and the key of the judge."""
    off = goal is schedules.Goal.DEACTIVATE
    start = replace(STUDY.first(), seeds=(graph.ask.seed,), goal=goal, t_res=graph.ask.t_res, t_module=graph.ask.t_module)
    if off:
        start = replace(start, strengths=GRIDS[goal], unit=Unit.MAX)
    forms = [inputs(start, kept.STEERING, _FIRST)]
    label, grid_key = "r" if off else "Strengths", _key(f"strengths_{goal}")
    grid = st.text_input(label, ", ".join(f"{one:g}" for one in start.strengths), key=grid_key)
    if not off:
        forms.append(inputs(start, kept.STEERING, ("unit", "decay"), columns=2, shown={"unit": _unit}))
    with st.expander("More measures of behaviour, and a judge"):
        forms.append(inputs(start, kept.STEERING, ("reference", "others", "held_out"), columns=1))
        forms.append(inputs(start, kept.STEERING, ("judge", "judge_model"), columns=2))
        secret = st.text_input("Its key", type="password", key=_key("judge_key"), help="Sent only to that address and never stored.")

    def ask() -> FlowSteerAsk:
        values = {field: value for form in forms for field, value in form.values().items()}
        return replace(start, **values, strengths=tuple(sorted(numbers(grid))))

    return ask, secret


def _unit(unit: Unit) -> str:
    return {Unit.RAW: "one decoder row", Unit.MAX: "the latent's largest activation", Unit.NORM: "the site's mean norm"}[unit]


def _figures(result: SteeredFlow) -> dict[str, Any]:
    if not (points := result.found.points):
        return {}
    by = next(iter(points[0].behaviour))
    return {
        f"{title} by {by}": dose_curves(present.score_curves(points, by, which), y_title=title, x_title="strength", x_name="s")
        for which, title in {**_TITLES, "total": "total"}.items()
    }


def _draw(result: SteeredFlow) -> None:
    found = result.found
    if not found.points:
        st.caption("Generating unsteered texts first; coherence is measured against them.")
        return
    goal = found.points[0].setting.schedule.goal
    measures = list(found.points[0].behaviour)
    by = st.segmented_control("Behaviour by", measures, default=measures[0], key=_key("by"), required=True)
    by = by if by in measures else measures[0]
    off = goal is schedules.Goal.DEACTIVATE
    titles = {**_TITLES, "total": "total (1 - B) C" if off else "total B C"}
    x_title = "r" if off else "strength s"
    clicks: dict[str, str | None] = {}
    for column, (which, title) in zip(st.columns(3), titles.items(), strict=True):
        figure = dose_curves(present.score_curves(found.points, by, which), y_title=title, x_title=x_title, x_name=x_title[-1])
        figure.update_yaxes(rangemode="tozero")
        with column:
            dose = dose_chart(figure, kept.STEERING, f"figure_{which}")
        clicks[which] = dose and present.dose_name(*dose)
    picked = kept.latest(kept.STEERING, clicks)
    st.caption(
        "Single layer: at each strength the layer with the best total, chosen on these same texts, which biases it upwards. "
        f"Coherence is against {len(found.plain)} unsteered texts (median loss {found.fluency.nll:.2f} nats per token, spread "
        f"{found.fluency.tau:.2f}). Bars: 95 % over texts. Click a point for its texts."
    )
    with st.expander("Table"):
        st.dataframe(method.table(found.points), hide_index=True)
    behind = present.points_behind(found.points, by, picked)
    with st.expander(f"Texts: {picked}" if picked else "Texts", expanded=bool(picked)):
        wide = st.column_config.TextColumn(width="large")
        st.dataframe(present.text_rows(behind), hide_index=True, row_height=64, column_config={"text": wide})
