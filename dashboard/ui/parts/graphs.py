"""Any graph over a model as plain data of the canvas, and what is said of its nodes and links."""

from collections.abc import Callable
from dataclasses import dataclass, field

from components import data
from components.graph.layout import ROW_NAMES
from components.graph.picture import GraphLook, GraphPicture
from dashboard.analysis.graphs import GraphEdge, GraphNode, LatentGraph
from dashboard.analysis.names import NodeKind, Part, Site
from dashboard.ui.parts.naming import Named
from dashboard.ui.shell.resources import get_picture

_PART_ROLES = {Part.MLP: data.GraphRole.MLP, Part.ATTENTION: data.GraphRole.ATT}
_KIND_ROLES = {
    NodeKind.ERROR: data.GraphRole.ERROR,
    NodeKind.TOKEN: data.GraphRole.TOKEN,
    NodeKind.LOGIT: data.GraphRole.LOGIT,
}


def row_of(site: Site) -> data.GraphRow:
    """The row of what stands at a site: the part of the block that it belongs to."""
    return data.GraphRow(site.point.row.part.value)


def kind_role(node: GraphNode) -> data.GraphRole:
    """The colour of what a node is; a latent by the part of the block that it is read in."""
    if node.site is None or node.id.kind is not NodeKind.LATENT:
        return _KIND_ROLES[node.id.kind]
    return _PART_ROLES.get(node.site.point.row.part, data.GraphRole.RES)


def figures_note(node: GraphNode) -> str:
    """What was measured of a node, a line each."""
    return "\n".join(f"{one.name} {'not known' if one.value is None else f'{one.value:.4g}'}" for one in node.figures)


def edge_note(edge: GraphEdge) -> str:
    """The evidence of a link, a line each, and what else is known of it."""
    evidence = [f"{one.measure} {one.value:.4f}{'' if one.n is None else f' over {one.n:,}'}" for one in edge.evidence]
    return "\n".join([*evidence, *edge.notes])


@dataclass(frozen=True)
class Drawing:
    """How the nodes of a graph are drawn."""

    role: Callable[[GraphNode], data.GraphRole] = kind_role
    note: Callable[[GraphNode], str] = figures_note
    """What a pointer on a node reads."""
    label: Callable[[str], str] = str
    """What of a label fits under a node."""
    look: GraphLook = field(default_factory=lambda: GraphLook("what it is", signed=True))


PLAIN = Drawing()
"""By what nodes are, with signed links."""


def drawn(graph: LatentGraph, named: Named, how: Drawing = PLAIN) -> GraphPicture:
    """A graph, ready for the canvas: laid out once, and again only when it changes."""
    return get_picture(*canvas_graph(graph, named, how), how.look)


def canvas_graph(graph: LatentGraph, named: Named, how: Drawing = PLAIN) -> tuple[tuple[data.GraphNode, ...], tuple[data.GraphEdge, ...]]:
    """Its nodes and links in the order of the graph, without places."""
    last = max((node.site.layer for node in graph.nodes if node.site is not None), default=0)
    nodes = tuple(_node(node, node.id == graph.focus, last, named, how) for node in graph.nodes)
    edges = (data.GraphEdge(str(edge.source), str(edge.target), edge.weight, edge_note(edge), not edge.is_doubtful) for edge in graph.edges)
    return nodes, tuple(edges)


def _node(node: GraphNode, is_focus: bool, last: int, named: Named, how: Drawing) -> data.GraphNode:
    if node.site is not None:
        layer, row = node.site.layer, row_of(node.site)
    elif node.id.kind is NodeKind.LOGIT:
        layer, row = last, data.GraphRow.LOGIT
    else:
        layer, row = 0, data.GraphRow.EMBED
    if node.id.latent is not None:
        index, name, label = node.id.latent.index, "", how.label(named(node.id.latent) or node.label)
    elif node.id.token is not None:  # its text is its name
        index, name, label = node.id.token, node.label, ""
    else:
        index, name, label = 0, "error", node.label
    return data.GraphNode(
        node.key, layer, row, index, label, how.role(node), how.note(node), is_focus,
        data.GraphKind(node.id.kind.value), name, node.id.position,
    )  # fmt: skip


def choices(picture: GraphPicture) -> dict[str, str]:
    """What can be chosen instead of clicking: every node, then every link, by key, as people read it."""
    by_key = {node.key: node for node in picture.nodes}

    def name(key: str) -> str:
        node = by_key[key]
        at = "" if node.position is None else f" at {node.position}"
        return f"{node.layer} {ROW_NAMES[node.row]} {node.name or node.index}{at}"

    order = sorted(picture.nodes, key=lambda node: (-node.layer, list(data.GraphRow).index(node.row), node.index))
    nodes = {node.key: f"{name(node.key)}{f'  {node.label}' if node.label else ''}" for node in order}
    return nodes | {edge.key: f"{name(edge.source)} → {name(edge.target)}  {edge.weight:.2f}" for edge in picture.edges}


def about(picture: GraphPicture, key: str) -> str:
    """What a graph says of a node or a link, line by line."""
    for node in picture.nodes:
        if node.key == key:
            return "\n".join(filter(None, (node.key, node.label, node.note)))
    return next(
        (f"{edge.source} → {edge.target}\n{edge.note or f'cosine {edge.weight:.4f}'}" for edge in picture.edges if edge.key == key), ""
    )
