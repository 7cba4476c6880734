"""The flow on text, below the graph: origins, deactivation and steering, each in a tab that draws only while it is open."""

import streamlit as st

from dashboard.analysis.methods.flow.results import FlowGraph
from dashboard.ui.flow import on_text as flow_data
from dashboard.ui.flow import steering as flow_steer_panel
from dashboard.ui.shell import failures

TABS = "flow_panels"


def panels(graph: FlowGraph) -> None:
    """What text says of the graph's seed and of its suite."""
    tabs = st.tabs(["Origins on text", "Deactivation", "Steer the flow"], key=TABS, on_change="rerun")
    draw = (
        lambda: flow_data.origins(graph.ask.seed),
        lambda: flow_data.deactivation(graph.ask.seed),
        lambda: flow_steer_panel.steering(graph),
    )
    for tab, panel in zip(tabs, draw, strict=True):
        if tab.open:
            with tab, failures.shown():
                panel()
