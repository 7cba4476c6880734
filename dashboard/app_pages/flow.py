"""Flow: where does a latent come from, layer by layer?"""

from functools import partial

import streamlit as st

from components.graph.picture import GraphPicture
from components.graph_canvas import graph_canvas
from components.hotkeys import hotkeys
from dashboard.analysis.methods.flow.results import FlowGraph, LitGraph
from dashboard.ui.flow import answers as flow_answers
from dashboard.ui.flow import card as flow_card
from dashboard.ui.flow import files as flow_files
from dashboard.ui.flow import inputs as flow_controls
from dashboard.ui.flow import panels as flow_panels
from dashboard.ui.flow import present as present_flow
from dashboard.ui.parts import cautions
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures, sidebar, tab
from dashboard.ui.shell.resources import get_catalog, get_engine
from dashboard.ui.views import flow
from dashboard.ui.views.flow import PAGE

catalog, engine = get_catalog(), get_engine()


def canvas(view: flow.FlowView, graph: FlowGraph, drawn: GraphPicture, lit: LitGraph | None, name: str) -> None:
    """One graph, lit by the token that is chosen."""
    st.caption(failures.plain(" ".join((present_flow.said_in_short(graph), *graph.notes))))
    graph_canvas(
        drawn,
        selected=view.selected or str(view.seed),
        pinned=tuple(map(str, view.pins)),
        heat=None if lit is None else present_flow.heat(graph, lit, view.token),
        heat_legend="its own largest",
        groups=present_flow.supernodes(graph, names(catalog)) if view.grouped else (),
        span=graph.span,
        key=PAGE.key(name),
        on_click=partial(flow.click, name, drawn),
    )


def draw(view: flow.FlowView) -> flow.FlowView:
    """The graphs, and beside them what is chosen; last what takes a pass of the model for it alone."""
    named = names(catalog)
    graphs = [flow_answers.built(view, seed) for seed in (view.seed, view.other) if seed is not None]
    pictures = [present_flow.drawn(graph, named) for graph in graphs]
    lit: LitGraph | None = None
    with failures.shown():
        lit = flow_answers.lit_by(view, graphs)
    view = flow.on_screen(flow.with_token(view, lit), graphs)
    cautions.shown(catalog, {node.latent.sae for graph in graphs for node in graph.nodes})
    if len(graphs) > 1:
        st.caption(failures.plain(present_flow.compared(*graphs)))
        places = st.columns(2)
        left, right = st.columns([7, 4], gap="medium")
    else:
        left, right = st.columns([7, 4], gap="medium")
        places = [left]
    for place, name, graph, picture in zip(places, ("canvas", "second"), graphs, pictures, strict=False):
        with place:
            canvas(view, graph, picture, lit, name)
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
    title = "On text: origins, deactivation, steering"
    with st.expander(title, icon=":material/science:", key=PAGE.key("on text"), on_change="rerun") as on_text:
        if on_text.open:
            flow_panels.panels(graphs[0])
    return view


@st.fragment
def answer() -> None:
    """Everything that a click changes; the frame around it stays."""
    tab.has_acted()
    view = PAGE.view
    flow_controls.seed_row(catalog)
    flow_controls.thresholds()
    PAGE.tell()
    with failures.shown():
        view = draw(view)
    PAGE.write(view)


PAGE.open(catalog)
st.title("Where does this latent come from?")
answer()
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys(
    {"u": "undo", "s": "steer with the chosen latent", "↔ ↕ on the graph": "move between latents", "Ctrl Enter there": "follow it"}
)
hotkeys({"u": PAGE.key("undo"), "s": PAGE.key("steer")}, key=PAGE.key("hotkeys"))
