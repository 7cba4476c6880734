# pyright: basic
"""A graph over layers as networkx has it, and from there as nodes, edges and options of pyvis, which vis-network draws."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import networkx as nx
import pyvis
from pyvis.network import Network

from components.data import GraphEdge, GraphNode, GraphRole, GraphRow
from components.graph.layout import Layout, lay_out

SHAPES = {GraphRow.RESID: "dot", GraphRow.MLP: "square", GraphRow.ATTN: "triangle"}
ROW_NAMES = {GraphRow.RESID: "residual", GraphRow.MLP: "MLP", GraphRow.ATTN: "attention"}
ROLE_NAMES = {
    GraphRole.NOT_KNOWN: "not known",
    GraphRole.NOWHERE: "from nowhere",
    GraphRole.RES: "residual",
    GraphRole.MLP: "MLP",
    GraphRole.ATT: "attention",
    GraphRole.RES_MLP: "residual + MLP",
    GraphRole.RES_ATT: "residual + attention",
    GraphRole.MLP_ATT: "MLP + attention",
    GraphRole.RES_MLP_ATT: "all three",
}
_SIZE, _WIDEST = 11, 9.0
OPTIONS: dict[str, Any] = {
    "layout": {"hierarchical": {"enabled": False}, "improvedLayout": False},
    "physics": {"enabled": False},
    "interaction": {
        "hover": True,
        "hoverConnectedEdges": False,
        "selectConnectedEdges": False,
        "selectable": False,
        "dragNodes": False,
        "zoomView": False,
        "tooltipDelay": 10_000_000,
    },
    "nodes": {"size": _SIZE, "borderWidth": 1.5, "labelHighlightBold": False, "chosen": False},
    "edges": {
        "smooth": {"enabled": True, "type": "cubicBezier", "forceDirection": "horizontal", "roundness": 0.45},
        "arrows": {"to": {"enabled": True, "scaleFactor": 0.35}},
        "arrowStrikethrough": False,
        "chosen": False,
    },
}
"""How vis-network behaves: fixed places, no physics, no pop-ups or selection of its own."""


@dataclass(frozen=True)
class FlowPicture:
    """A graph, ready to be drawn."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    layout: Layout
    network: Network
    token: str
    """Stands for exactly this graph: a click that carries another one is stale."""


def to_networkx(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge]) -> nx.DiGraph:
    """The graph with plain attributes: layer, site, index, label, origin, note, seed; on edges weight, note, mutual."""
    graph = nx.DiGraph()
    for node in nodes:
        graph.add_node(
            node.key,
            layer=node.layer,
            site=node.row.value,
            index=node.index,
            label=node.label,
            origin=node.role.value,
            note=node.note,
            seed=node.is_seed,
        )
    for edge in edges:
        graph.add_edge(edge.source, edge.target, weight=float(edge.weight), note=edge.note, mutual=edge.is_mutual)
    return graph


def from_networkx(graph: nx.DiGraph) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
    """The reverse of `to_networkx`.

    Raises:
        ValueError, KeyError: if an attribute is missing or says what it cannot.
    """
    nodes = tuple(
        GraphNode(
            str(key), int(has["layer"]), GraphRow(has["site"]), int(has["index"]), str(has.get("label", "")),
            GraphRole(has.get("origin", GraphRole.NOT_KNOWN)), str(has.get("note", "")), bool(has.get("seed", False)),
        )
        for key, has in graph.nodes(data=True)
    )  # fmt: skip
    edges = tuple(
        GraphEdge(str(source), str(target), float(has["weight"]), str(has.get("note", "")), bool(has.get("mutual", True)))
        for source, target, has in graph.edges(data=True)
    )
    return nodes, edges


def picture(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge]) -> FlowPicture:
    """Lay a graph out and hand it to pyvis.

    Raises:
        ValueError: if a node comes twice, or an edge goes backward or ends nowhere.
    """
    layout = lay_out(nodes, edges)
    graph = to_networkx(nodes, edges)
    network = Network(directed=True, cdn_resources="in_line")
    for key, has in graph.nodes(data=True):
        x, y = layout.at[key]
        row = GraphRow(has["site"])
        network.add_node(
            key,
            label=str(has["index"]),
            shape=SHAPES[row],
            x=x,
            y=y,
            size=_SIZE if row is GraphRow.RESID else _SIZE - 2,
            meaning=has["label"],
            role=has["origin"],
            row=has["site"],
            layer=has["layer"],
            note=has["note"],
            seed=has["seed"],
            above=row is GraphRow.RESID,
        )
    for source, target, has in graph.edges(data=True):
        network.add_edge(
            source,
            target,
            id=f"{source} {target}",
            width=round(0.75 + _WIDEST * max(0.0, has["weight"]) ** 1.5, 3),
            weight=has["weight"],
            note=has["note"],
            dashes=not has["mutual"],
        )
    network.set_options(json.dumps(OPTIONS))
    said = json.dumps([[asdict(node) for node in nodes], [asdict(edge) for edge in edges]], sort_keys=True)
    return FlowPicture(tuple(nodes), tuple(edges), layout, network, sha256(said.encode()).hexdigest()[:16])


def vis_library() -> str:
    """The script of vis-network that pyvis ships. Its source map, which is not shipped, is not named."""
    found = sorted((Path(pyvis.__file__).parent / "lib").glob("vis-9.1.*/vis-network.min.js"))
    if not found:
        raise FileNotFoundError("This pyvis ships no vis-network 9.1. Install it anew: pip install 'pyvis>=0.3.2,<0.4'")
    return found[-1].read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]
