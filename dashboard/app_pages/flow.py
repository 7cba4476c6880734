"""Flow: where does a latent come from, layer by layer?"""

from functools import partial

import streamlit as st

from components.graph.picture import FlowPicture
from components.graph_canvas import flow_canvas
from components.hotkeys import hotkeys
from dashboard.analysis.methods.flow.results import FlowGraph, LitGraph
from dashboard.ui import flow_url
from dashboard.ui.flow import answers as flow_answers
from dashboard.ui.flow import card as flow_card
from dashboard.ui.flow import files as flow_files
from dashboard.ui.flow import inputs as flow_controls
from dashboard.ui.flow import panels as flow_panels
from dashboard.ui.flow import present as present_flow
from dashboard.ui.parts import cautions
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine
from dashboard.ui.views import flow
from dashboard.ui.views import highlight as state

catalog, engine = get_catalog(), get_engine()


def canvas(view: flow.FlowState, graph: FlowGraph, drawn: FlowPicture, lit: LitGraph | None, key: str) -> None:
    """One graph, lit by the token that is chosen."""
    st.caption(failures.plain(" ".join((present_flow.said_in_short(graph), *graph.notes))))
    flow_canvas(
        drawn,
        selected=view.selected or str(view.seed),
        pinned=view.pins,
        heat=None if lit is None else present_flow.heat(graph, lit, view.token),
        heat_legend="its own largest",
        groups=present_flow.supernodes(graph, names(catalog)) if view.grouped else (),
        span=graph.span,
        key=key,
        on_click=partial(flow.click, key, drawn),
    )


def draw(view: flow.FlowState) -> flow.FlowState:
    """The graphs, and beside them what is chosen; last what takes a pass of the model for it alone."""
    named = names(catalog)
    graphs = [flow_answers.built(view, seed) for seed in (view.seed, view.other) if seed is not None]
    pictures = [present_flow.drawn(graph, named) for graph in graphs]
    lit: LitGraph | None = None
    with failures.shown():
        lit = flow_answers.lit_by(view, graphs)
    view = flow.on_screen(flow.settle(view, lit), graphs)
    cautions.shown(catalog, {node.latent.sae for graph in graphs for node in graph.nodes})
    if len(graphs) > 1:
        st.caption(failures.plain(present_flow.compared(*graphs)))
        places = st.columns(2)
        left, right = st.columns([7, 4], gap="medium")
    else:
        left, right = st.columns([7, 4], gap="medium")
        places = [left]
    for place, key, graph, picture in zip(places, (flow.CANVAS, flow.SECOND), graphs, pictures, strict=False):
        with place:
            canvas(view, graph, picture, lit, key)
    with right:
        flow_controls.choice_box(pictures, view.selected or str(view.seed))
        later = flow_card.chosen_card(view, graphs, lit)
        rest = st.container()
    with left:
        flow_controls.text_box()
        if lit is not None:
            flow_controls.text_strip(view, lit)
        flow_card.pins(view, graphs[0], named)
        groups = present_flow.supernodes(graphs[0], named) if view.grouped else ()
        flow_files.files(view, graphs[0], pictures[0], groups, {"Model": str(engine.describe().model)})
    with rest, failures.shown():
        later()
    with st.expander("On text: origins, deactivation, steering", icon=":material/science:", key=flow.ON_TEXT, on_change="rerun") as text:
        if text.open:
            flow_panels.panels(graphs[0])
    return view


@st.fragment
def answer() -> None:
    """Everything that a click changes; the frame around it stays."""
    state.has_acted()
    view = flow.flow_state()
    flow_controls.seed_row(catalog)
    flow_controls.thresholds(catalog)
    if said := flow.said():
        st.info(failures.plain(said), icon=":material/info:")
    if done := flow.done():
        st.toast(failures.plain(done), icon=":material/list:")
    with failures.shown():
        view = draw(view)
    flow_url.write_url(view)


problems = flow_url.open_url(catalog)
st.title("Where does this latent come from?")
for problem in problems:
    st.warning(failures.plain(problem), icon=":material/link_off:")
answer()
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys({"u": "undo", "s": "steer with the chosen latent", "↔ ↕ on the graph": "walk along latents", "Ctrl Enter there": "follow it"})
hotkeys({"u": flow.UNDO, "s": flow.STEER}, key=flow.HOTKEYS)
