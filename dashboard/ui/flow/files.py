"""Export a graph of the flow page; open an exported graph beside it."""

import json
from functools import partial

import streamlit as st

from components.data import GraphGroup
from components.graph.files import circuit_json, graphml, read_file, web_page
from components.graph.picture import GraphLook, GraphPicture
from components.graph.svg import graph_svg
from components.graph_canvas import graph_canvas
from dashboard.analysis.methods.flow.results import FlowGraph
from dashboard.ui.parts import graphs
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_picture
from dashboard.ui.views import flow
from dashboard.ui.views.flow import PAGE


def files(view: flow.FlowView, graph: FlowGraph, drawn: GraphPicture, groups: tuple[GraphGroup, ...], record: dict[str, object]) -> None:
    """Export the graph, or view an exported one."""
    with st.expander("Files", icon=":material/swap_horiz:"):
        _save(view, graph, drawn, groups, record)
        said = "Open an exported graph: web page, GraphML or JSON"
        found = st.file_uploader(said, type=["html", "graphml", "xml", "json"], key=PAGE.key("import"))
        if found is not None:
            _look_at(found.getvalue().decode(errors="replace"))


def _save(view: flow.FlowView, graph: FlowGraph, drawn: GraphPicture, groups: tuple[GraphGroup, ...], record: dict[str, object]) -> None:
    title = f"Flow of {view.seed}"
    shown = "every layer" if view.every_layer else "the span only"
    drawn_from = f"residual links from {view.t_res:g}, MLP and attention from {view.t_module:g}, {view.top} of each, {shown}"
    lines = [
        ("Seed", str(view.seed)),
        ("Drawn", drawn_from),
        *((name, str(value)) for name, value in record.items()),
        *(("Note", note) for note in graph.notes),
    ]
    stem = str(view.seed).replace("/", "_")
    circuit = partial(
        circuit_json, drawn.nodes, drawn.edges, slug=stem, scan=str(record.get("Model", "")), description=title,
        generator="latents", pinned=tuple(map(str, view.pins)), selected=view.selected, groups=groups,
        settings={"t_res": view.t_res, "t_module": view.t_module, "top": view.top, "pruned": not view.every_layer},
    )  # fmt: skip
    forms = (
        ("Web page", "html", "text/html", partial(web_page, drawn, title, lines, pinned=tuple(map(str, view.pins)), groups=groups)),
        ("SVG", "svg", "image/svg+xml", partial(graph_svg, drawn, title, [f"{name}: {value}" for name, value in lines])),
        ("GraphML", "graphml", "application/xml", partial(graphml, drawn.nodes, drawn.edges)),
        ("circuit-tracer JSON", "json", "application/json", lambda: json.dumps(circuit(), ensure_ascii=False, indent=1)),
    )
    with st.container(horizontal=True):
        for name, suffix, mime, make in forms:
            file, key = f"flow-{stem}.{suffix}", PAGE.key(f"export {suffix}")
            st.download_button(name, make, file, mime, key=key, icon=":material/download:", on_click="ignore")


def _look_at(text: str) -> None:
    """An exported graph on a canvas of its own: a click tells what is there, a double click follows it here."""
    try:
        nodes, edges = read_file(text)
        drawn = get_picture(nodes, edges, GraphLook())
    except ValueError as error:
        st.error(failures.plain(str(error)), icon=":material/error:")
        return
    st.caption(failures.plain(f"{len(nodes)} latents and {len(edges)} links in the file. Double-click a latent to follow it here."))
    chosen = flow.chosen_in_file(drawn)
    graph_canvas(drawn, selected=chosen, key=PAGE.key("imported"), on_click=partial(flow.click_in_file, drawn))
    if chosen:
        st.caption(failures.plain(graphs.about(drawn, chosen)).replace("\n", "  \n"))
