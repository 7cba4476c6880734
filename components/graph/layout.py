"""Where the nodes of a graph over layers stand: layers left to right, rows by site, no physics.

In a column the residual node stands at the right end; modules stand a little to the left of it and below, the MLP further left
than attention, so that no link runs behind a node of the row between. Every link that goes forward in a pass goes right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.data import GraphEdge, GraphNode, GraphRow

PITCH = 120
"""From one layer's column to the next, px at full size."""
GAP = 60
"""Added where layers are left out between two columns, px."""
STACK = 82
"""From one node to the next in the same cell, px: a disc and two lines of text."""
ROW_GAP = 14
"""Between two rows, beyond what their tallest cell needs, px."""
_BACK = {GraphRow.RESID: 0.0, GraphRow.ATTN: 0.22, GraphRow.MLP: 0.5}
"""How far left of its column's right end a node of each row stands, in pitches."""

_DOWN = {GraphRow.RESID: 0.78, GraphRow.ATTN: 0.3, GraphRow.MLP: 0.3}
"""How far down its place in a cell a node stands. Residual labels stand above, where no link comes from a module; others below."""


@dataclass(frozen=True)
class Column:
    """A layer's place."""

    layer: int
    x: float
    """Of its residual nodes, px."""
    after_gap: bool
    """Layers are left out between this column and the one before."""


@dataclass(frozen=True)
class Band:
    """A row's place."""

    row: GraphRow
    top: float
    bottom: float


@dataclass(frozen=True)
class Layout:
    """Where everything stands, px, y downwards."""

    at: dict[str, tuple[float, float]]
    """Of each node's centre."""
    columns: tuple[Column, ...]
    bands: tuple[Band, ...]
    """Rows that hold a node, from the top."""


def lay_out(nodes: Sequence[GraphNode], edges: Iterable[GraphEdge] = ()) -> Layout:
    """Places for all nodes. In a cell, nodes stand in the order in which they come, the first nearest to the row's top.

    Raises:
        ValueError: if two nodes have the same key or an edge has an end that is not a node, or goes backward.
    """
    cells: dict[tuple[int, GraphRow], list[str]] = {}
    by_key: dict[str, GraphNode] = {}
    for node in nodes:
        if node.key in by_key:
            raise ValueError(f"{node.key} is in the graph twice.")
        by_key[node.key] = node
        cells.setdefault((node.layer, node.row), []).append(node.key)
    _check(by_key, edges)
    columns = _columns(sorted({node.layer for node in nodes}))
    x_of = {column.layer: column.x for column in columns}
    bands: list[Band] = []
    for row in GraphRow:
        tallest = max((len(keys) for (_, each), keys in cells.items() if each is row), default=0)
        if tallest:
            top = bands[-1].bottom + ROW_GAP if bands else 0.0
            bands.append(Band(row, top, top + tallest * STACK))
    top_of = {band.row: band.top for band in bands}
    at = {
        key: (x_of[layer] - _BACK[row] * PITCH, top_of[row] + (place + _DOWN[row]) * STACK)
        for (layer, row), keys in cells.items()
        for place, key in enumerate(keys)
    }
    return Layout(at, columns, tuple(bands))


def forward_order(node: GraphNode) -> tuple[int, int]:
    """Where a node comes in a forward pass: by layer, then attention < MLP < residual."""
    return node.layer, (GraphRow.ATTN, GraphRow.MLP, GraphRow.RESID).index(node.row)


def _check(by_key: dict[str, GraphNode], edges: Iterable[GraphEdge]) -> None:
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in by_key:
                raise ValueError(f"The link {edge.key!r} ends at {end}, which is not in the graph.")
        if not forward_order(by_key[edge.source]) < forward_order(by_key[edge.target]):
            raise ValueError(f"The link {edge.key!r} goes backward in the model.")


def _columns(layers: Sequence[int]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for layer in layers:
        gap = bool(columns) and layer > columns[-1].layer + 1
        x = columns[-1].x + PITCH + GAP * gap if columns else 0.0
        columns.append(Column(layer, x, gap))
    return tuple(columns)
