"""Where the nodes of a graph over a model stand: layers left to right, rows by site, no physics.

In a column the residual node stands at the right end; modules stand a little to the left of it and below, the MLP further left
than attention, so that no link runs behind a node of the row between. Every link that goes forward in a pass goes right, but for those
between the modules of a layer, which go up.

A graph whose nodes stand at positions of a text has a column a position instead, and from the bottom up a row for the tokens, one for
each part of each layer that holds a node, and one for the logits. Links go up there.
"""

from collections.abc import Iterable, Mapping, Sequence
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
ROW_NAMES = {
    GraphRow.LOGIT: "logits",
    GraphRow.RESID: "residual",
    GraphRow.MLP: "MLP",
    GraphRow.MID: "middle",
    GraphRow.ATTN: "attention",
    GraphRow.EMBED: "tokens",
}
_BACK = {GraphRow.LOGIT: -0.3, GraphRow.RESID: 0.0, GraphRow.ATTN: 0.22, GraphRow.MID: 0.36, GraphRow.MLP: 0.5, GraphRow.EMBED: 0.7}
"""How far left of its column's right end a node of each row stands, in pitches."""

_DOWN = dict.fromkeys(GraphRow, 0.3) | {GraphRow.RESID: 0.78}
"""How far down its place in a cell a node stands. Residual labels stand above, where no link comes from a module; others below."""


@dataclass(frozen=True)
class Column:
    """A layer's place, or a position's."""

    number: int
    x: float
    """Of its residual nodes, px."""
    after_gap: bool
    """Some are left out between this column and the one before."""
    title: str


@dataclass(frozen=True)
class Band:
    """A row's place."""

    row: GraphRow
    top: float
    bottom: float
    title: str


@dataclass(frozen=True)
class Layout:
    """Where everything stands, px, y downwards."""

    at: dict[str, tuple[float, float]]
    """Of each node's centre."""
    columns: tuple[Column, ...]
    bands: tuple[Band, ...]
    """Rows that hold a node, from the top."""


@dataclass(frozen=True)
class _Cell:
    """Where a node belongs: a column and a band, which stand in the order of their numbers."""

    column: int
    depth: tuple[int, int]
    """Of the band: its layer where columns are positions, else 0, and its row, counted from the bottom up."""


def lay_out(nodes: Sequence[GraphNode], edges: Iterable[GraphEdge] = (), titles: Mapping[int, str] | None = None) -> Layout:
    """Places for all nodes. In a cell, nodes stand in the order in which they come, the first nearest to the row's top. `titles` say
    what positions are called; their numbers do otherwise.

    Raises:
        ValueError: if two nodes have the same key or an edge has an end that is not a node, or goes backward.
    """
    on_text = any(node.position is not None for node in nodes)
    layers = [node.layer for node in nodes if node.row not in _OUTSIDE] or [0]
    ends = {GraphRow.EMBED: min(layers), GraphRow.LOGIT: max(layers)}
    cells: dict[_Cell, list[GraphNode]] = {}
    by_key: dict[str, GraphNode] = {}
    for node in nodes:
        if node.key in by_key:
            raise ValueError(f"{node.key} is in the graph twice.")
        by_key[node.key] = node
        layer, row = forward_order(node)
        position = -1 if node.position is None else node.position
        cell = _Cell(position, (layer, row)) if on_text else _Cell(ends.get(node.row, node.layer), (0, row))
        cells.setdefault(cell, []).append(node)
    _check(by_key, edges)
    columns = _columns(sorted({cell.column for cell in cells}), "token" if on_text else "layer", titles or {})
    x_of = {column.number: column.x for column in columns}
    bands: list[Band] = []
    top_of: dict[tuple[int, int], float] = {}
    for depth in sorted({cell.depth for cell in cells}, reverse=True):
        tallest = max(len(keys) for cell, keys in cells.items() if cell.depth == depth)
        row = _FORWARD[depth[1]]
        top_of[depth] = top = bands[-1].bottom + ROW_GAP if bands else 0.0
        name = f"{depth[0]} {ROW_NAMES[row]}" if on_text and row not in _OUTSIDE else ROW_NAMES[row]
        bands.append(Band(row, top, top + tallest * STACK, name))
    at = {
        node.key: (x_of[cell.column] - (0 if on_text else _BACK[node.row] * PITCH), top_of[cell.depth] + (place + _DOWN[node.row]) * STACK)
        for cell, inside in cells.items()
        for place, node in enumerate(inside)
    }
    return Layout(at, columns, tuple(bands))


_FORWARD = tuple(reversed(GraphRow))
"""Rows in the order of a forward pass through a layer."""
_OUTSIDE = {GraphRow.EMBED: -1, GraphRow.LOGIT: 1 << 30}
"""Rows that belong to no layer, with one that is before, or behind, all layers."""


def forward_order(node: GraphNode) -> tuple[int, int]:
    """Where a node comes in a forward pass: tokens, then by layer attention < the middle < MLP < residual, then logits."""
    return _OUTSIDE.get(node.row, node.layer), _FORWARD.index(node.row)


def _check(by_key: dict[str, GraphNode], edges: Iterable[GraphEdge]) -> None:
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in by_key:
                raise ValueError(f"The link {edge.key!r} ends at {end}, which is not in the graph.")
        if not forward_order(by_key[edge.source]) < forward_order(by_key[edge.target]):
            raise ValueError(f"The link {edge.key!r} goes backward in the model.")


def _columns(numbers: Sequence[int], of: str, titles: Mapping[int, str]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for number in numbers:
        gap = bool(columns) and number > columns[-1].number + 1
        x = columns[-1].x + PITCH + GAP * gap if columns else 0.0
        title = "any" if number < 0 else f"{number}" if any(column.number >= 0 for column in columns) else f"{of} {number}"
        columns.append(Column(number, x, gap, titles.get(number, title)))
    return tuple(columns)
