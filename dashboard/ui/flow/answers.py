"""What the flow page asks of the engine, with what is shown while it waits."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from dashboard.analysis.methods.flow import graph as method
from dashboard.analysis.methods.flow.results import FlowGraph, LitGraph
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notice
from dashboard.ui.views.flow import PAGE, FlowView


def built(view: FlowView, seed: LatentId) -> FlowGraph:
    """The graph of a seed, built once a tab.

    Raises:
        AnalysisError: if the seed leads nowhere.
    """
    ask, catalog = view.ask(seed), get_catalog()

    def make() -> FlowGraph:
        with st.spinner(get_notice().line or "matching latents layer by layer"):
            return method.with_facts(method.build(get_engine(), find_suite(catalog, seed.sae), ask), catalog)

    return PAGE.once(ask, make)


def lit_by(view: FlowView, graphs: Sequence[FlowGraph]) -> LitGraph | None:
    """The nodes of all graphs on the text of the page; None without one.

    Raises:
        AnalysisError: if the text cannot be read.
    """
    if not view.prompt.text.strip():
        return None

    def make() -> LitGraph:
        with st.spinner("reading the text"):
            first, *further = [method.lit(get_engine(), graph, view.prompt) for graph in graphs]
        values = dict(first.values)
        for one in further:
            values |= one.values
        return replace(first, values=values)

    return PAGE.once((view.prompt, *(graph.ask for graph in graphs)), make)
