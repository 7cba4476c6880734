"""A graph over a model on a canvas of vis-network: hover dims the rest, a click returns a node or an edge.

A new selection, other pins or other heat redraw the same graph where it stands; only another graph is laid out again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import streamlit as st

from components.assets import declare
from components.data import ClickKind, GraphClick, GraphGroup, GraphHeat, GraphRole
from components.graph.picture import ROLE_NAMES, GraphPicture
from components.vis_network import vis_network

_mount = declare(Path(__file__).parent)


def graph_canvas(
    drawn: GraphPicture,
    *,
    selected: str = "",
    pinned: Sequence[str] = (),
    heat: Mapping[str, GraphHeat] | None = None,
    heat_legend: str = "",
    groups: Sequence[GraphGroup] = (),
    span: tuple[int, int] | None = None,
    key: str,
    on_click: Callable[[], None],
) -> None:
    """Draw a graph. A click calls `on_click`; `read_click` makes sense of `st.session_state[key]["clicked"]`.

    `selected` is a node's or an edge's key. `heat` says how brightly nodes are lit, `heat_legend` what full light is; None for no
    light at all. `span` underlines the columns from its first to its last. Keys: arrows walk along nodes, Enter is a click, p or
    Shift+Enter a click with Shift, Ctrl+Enter a double click.
    """
    data = canvas_data(drawn, selected=selected, pinned=pinned, heat=heat, heat_legend=heat_legend, groups=groups, span=span)
    with st.container(gap=None):
        _mount(key=key, data=data, on_clicked_change=on_click)
        vis_network(key=f"{key}_library")


def canvas_data(
    drawn: GraphPicture,
    *,
    selected: str = "",
    pinned: Sequence[str] = (),
    heat: Mapping[str, GraphHeat] | None = None,
    heat_legend: str = "",
    groups: Sequence[GraphGroup] = (),
    span: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """What the browser gets, for `graph_canvas` and for a page of its own."""
    network: Any = drawn.network  # pyvis says nothing of its types
    layout = drawn.layout
    return {
        "graph": drawn.token,
        "nodes": network.nodes,
        "edges": network.edges,
        "options": network.options,
        "columns": [asdict(column) for column in layout.columns],
        "bands": [{"name": band.title, "top": band.top, "bottom": band.bottom} for band in layout.bands],
        "legend": [[role.value, ROLE_NAMES[role]] for role in GraphRole if any(node.role is role for node in drawn.nodes)],
        "legend_title": drawn.look.legend,
        "selected": selected,
        "pinned": list(pinned),
        "heat": None if heat is None else {key: [one.share, one.said] for key, one in heat.items()},
        "heat_legend": heat_legend,
        "span": None if span is None else list(span),
        "groups": [{"name": group.name, "members": list(group.members)} for group in groups],
    }


def read_click(value: object, drawn: GraphPicture) -> GraphClick | str:
    """What was clicked, or why that is refused: the graph on the screen may have changed since, or the message is of no known form."""
    fields = cast("Mapping[str, object]", value if isinstance(value, Mapping) else {})
    kind, graph, node, edge = (str(fields.get(name) or "") for name in ("kind", "graph", "node", "edge"))
    if kind not in set(ClickKind):
        return "This was not a click on a graph."
    if graph != drawn.token:
        return "The graph has changed since that click; click again."
    if node and node not in nodes_of(drawn):
        return f"{node[:120]} is not in the graph on the screen; click again."
    if edge and edge not in {each.key for each in drawn.edges}:
        return "That link is not in the graph on the screen; click again."
    return GraphClick(ClickKind(kind), graph, node, edge)


def nodes_of(drawn: GraphPicture) -> Collection[str]:
    """The keys of all nodes."""
    return {node.key for node in drawn.nodes}
