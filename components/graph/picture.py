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

from components.data import GraphEdge, GraphKind, GraphNode, GraphRole, GraphRow
from components.graph.layout import Layout, lay_out

_SHAPES = {GraphRow.MLP: "square", GraphRow.ATTN: "triangle"}
_KIND_SHAPES = {GraphKind.ERROR: "diamond", GraphKind.TOKEN: "square", GraphKind.LOGIT: "star"}
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
    GraphRole.ERROR: "error of a dictionary",
    GraphRole.TOKEN: "token",
    GraphRole.LOGIT: "logit",
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
class GraphLook:
    """What a graph's drawing says beside its nodes and edges."""

    legend: str = "comes from"
    """What stands before the colours that are there."""
    signed: bool = False
    """True: a weight below 0 is an effect against, drawn as wide as one of the same size for, in another colour. False: it is a cosine,
    and the less the thinner."""
    titles: tuple[tuple[int, str], ...] = ()
    """What positions are called."""


@dataclass(frozen=True)
class GraphPicture:
    """A graph, ready to be drawn."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    layout: Layout
    network: Network
    token: str
    """Stands for exactly this graph: a click that carries another one is stale."""
    look: GraphLook = GraphLook()


def to_networkx(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge]) -> nx.DiGraph:
    """The graph with plain attributes: layer, site, index, label, origin, note, seed, and where it has them kind, name and position; on
    edges weight, note, mutual."""
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
            **further(node),
        )
    for edge in edges:
        graph.add_edge(edge.source, edge.target, weight=float(edge.weight), note=edge.note, mutual=edge.is_mutual)
    return graph


def further(node: GraphNode) -> dict[str, Any]:
    """What a node has that a latent of no position has not."""
    found: dict[str, Any] = {} if node.kind is GraphKind.LATENT else {"kind": node.kind.value}
    if node.name:
        found["name"] = node.name
    return found if node.position is None else {**found, "position": node.position}


def from_networkx(graph: nx.DiGraph) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
    """The reverse of `to_networkx`.

    Raises:
        ValueError, KeyError: if an attribute is missing or says what it cannot.
    """
    nodes = tuple(
        GraphNode(
            str(key), int(has["layer"]), GraphRow(has["site"]), int(has["index"]), str(has.get("label", "")),
            GraphRole(has.get("origin", GraphRole.NOT_KNOWN)), str(has.get("note", "")), bool(has.get("seed", False)),
            GraphKind(has.get("kind", GraphKind.LATENT)), str(has.get("name", "")),
            None if has.get("position") is None else int(has["position"]),
        )
        for key, has in graph.nodes(data=True)
    )  # fmt: skip
    edges = tuple(
        GraphEdge(str(source), str(target), float(has["weight"]), str(has.get("note", "")), bool(has.get("mutual", True)))
        for source, target, has in graph.edges(data=True)
    )
    return nodes, edges


def picture(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge], look: GraphLook | None = None) -> GraphPicture:
    """Lay a graph out and hand it to pyvis.

    Raises:
        ValueError: if a node comes twice, or an edge goes backward or ends nowhere.
    """
    look = look or GraphLook()
    layout = lay_out(nodes, edges, dict(look.titles))
    network = Network(directed=True, cdn_resources="in_line")
    for node in nodes:
        x, y = layout.at[node.key]
        network.add_node(
            node.key,
            label=str(node.index),
            shape=shape_of(node),
            x=x,
            y=y,
            size=_SIZE if node.row is GraphRow.RESID else _SIZE - 2,
            meaning=node.label,
            role=node.role.value,
            row=node.row.value,
            layer=node.layer,
            note=node.note,
            seed=node.is_seed,
            above=node.row is GraphRow.RESID,
            **further(node),
        )
    largest = max([1.0, *(abs(edge.weight) for edge in edges)])
    for edge in edges:
        network.add_edge(
            edge.source,
            edge.target,
            id=edge.key,
            width=round(width_of(edge, look, largest), 3),
            weight=float(edge.weight),
            note=edge.note,
            dashes=not edge.is_mutual,
            **({"against": True} if look.signed and edge.weight < 0 else {}),
        )
    network.set_options(json.dumps(OPTIONS))
    return GraphPicture(tuple(nodes), tuple(edges), layout, network, _token(nodes, edges, look), look)


def _token(nodes: Sequence[GraphNode], edges: Sequence[GraphEdge], look: GraphLook) -> str:
    optional = ("kind", "name", "position")
    said = [[{**{key: one for key, one in asdict(node).items() if key not in optional}, **further(node)} for node in nodes]]
    said.append([asdict(edge) for edge in edges])
    if look != GraphLook():
        said.append([asdict(look)])
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def shape_of(node: GraphNode) -> str:
    """What a node is drawn as, in vis-network's words: by what it is, a latent by its row."""
    return _KIND_SHAPES.get(node.kind) or _SHAPES.get(node.row, "dot")


def width_of(edge: GraphEdge, look: GraphLook, largest: float) -> float:
    """How wide a link is drawn, px, where `largest` is the size of the strongest, or 1 if that is less."""
    return 0.75 + _WIDEST * (max(0.0, abs(edge.weight) if look.signed else edge.weight) / largest) ** 1.5


def vis_library() -> str:
    """The script of vis-network that pyvis ships. Its source map, which is not shipped, is not named."""
    found = sorted((Path(pyvis.__file__).parent / "lib").glob("vis-9.1.*/vis-network.min.js"))
    if not found:
        raise FileNotFoundError("This pyvis ships no vis-network 9.1. Reinstall it: pip install 'pyvis>=0.3.2,<0.4'")
    return found[-1].read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]
