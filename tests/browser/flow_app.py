"""A tiny app with a canvas: what is clicked is written beside it."""

from itertools import pairwise

import streamlit as st

from components.data import GraphEdge, GraphGroup, GraphHeat, GraphNode, GraphRole, GraphRow
from components.graph.picture import picture
from components.graph_canvas import graph_canvas, read_click

RESIDUAL = (
    (8, 120, "place names, cities of the old world"),
    (9, 1898, "Paris, London"),
    (10, 1039, "cities"),
    (11, 501, "<b>cities & towns</b>"),
)
kept = st.session_state
kept.setdefault("selected", "")
kept.setdefault("pinned", [])
kept.setdefault("said", "")
kept.setdefault("seed", 3)


def name(layer: int, site: str, index: int) -> str:
    return f"tiny/{layer}.{site}/{index}"


nodes = [
    GraphNode(name(layer, "resid_post", index), layer, GraphRow.RESID, index, label, GraphRole.RES, "s_R 0.67", place == kept.seed)
    for place, (layer, index, label) in enumerate(RESIDUAL)
]
nodes.append(GraphNode(name(10, "mlp_out", 7), 10, GraphRow.MLP, 7, "capitals", GraphRole.MLP, ""))
nodes.append(GraphNode(name(10, "attn_out", 9), 10, GraphRow.ATTN, 9, "", GraphRole.ATT, ""))
edges = [GraphEdge(a.key, b.key, 0.6, "cosine 0.60") for a, b in pairwise(nodes[:4])]
edges += [GraphEdge(nodes[4].key, nodes[2].key, 0.3, ""), GraphEdge(nodes[5].key, nodes[2].key, 0.2, "", is_mutual=False)]
drawn = picture(nodes, edges)


def click() -> None:
    found = read_click(kept["canvas"].get("clicked"), drawn)
    if isinstance(found, str):
        kept.said = found
        return
    kept.said = f"{found.kind.value} {found.node or found.edge or 'nothing'}"
    if found.kind == "shift" and found.node:
        kept.pinned = [one for one in kept.pinned if one != found.node] if found.node in kept.pinned else [*kept.pinned, found.node]
    elif found.kind == "double":
        kept.seed = [node.key for node in nodes].index(found.node)
    else:
        kept.selected = found.node or found.edge


lit = st.toggle("light")
st.text(f"said: {kept.said}")
graph_canvas(
    drawn,
    selected=kept.selected,
    pinned=kept.pinned,
    heat={nodes[1].key: GraphHeat(0.25, "2.0000 here"), nodes[3].key: GraphHeat(1.0, "8.0000 here")} if lit else None,
    heat_legend="its largest",
    groups=[GraphGroup("cities", tuple(node.key for node in nodes[1:4]))] if lit else (),
    key="canvas",
    on_click=click,
)
