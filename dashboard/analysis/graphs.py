"""Graphs over a model: latents, errors, tokens and logits, joined by signed edges that carry the evidence which made them.

One value for the flow of a latent and for circuits: made by methods, kept as plain data (`plain.to_plain`), drawn by the canvas. Every
edge goes forward: from what comes earlier in a forward pass to what comes later. Numbers only, no torch.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from dashboard.analysis.names import NodeId, NodeKind, Site
from dashboard.analysis.studies.record import RunRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """Something that was measured of a node."""

    name: str
    value: float | None
    """None: not known."""


@dataclass(frozen=True)
class Evidence:
    """A measurement that speaks for an edge, or against it."""

    measure: str
    """What was measured: "cosine", "attribution", "change of the logit when it is removed" ..."""
    value: float
    """In the measure's own unit, with its sign."""
    n: int | None = None
    """Texts or tokens that it rests on; None where weights alone were read."""


@dataclass(frozen=True)
class GraphNode:
    """A latent, an error, a token or a logit."""

    id: NodeId
    site: Site | None
    """Where it is in the model; None for a token, which comes before all sites, and for a logit, which comes after them."""
    label: str = ""
    """What it seems to be about; empty if unknown."""
    figures: tuple[Figure, ...] = ()
    tags: tuple[str, ...] = ()
    """What it is a part of: "path", "span" ..."""

    def __post_init__(self) -> None:
        is_placed = self.id.kind in (NodeKind.LATENT, NodeKind.ERROR)
        if is_placed is not (self.site is not None) or (self.id.site is not None and self.id.site != self.site):
            raise ValueError(f"{self.id} cannot stand at {self.site}.")

    @property
    def key(self) -> str:
        """Its name."""
        return str(self.id)

    @property
    def forward_order(self) -> tuple[int, int, int]:
        """Where it comes in a forward pass; a token before all sites, a logit after them."""
        if self.site is None:
            return (0 if self.id.kind is NodeKind.TOKEN else 2), 0, 0
        return 1, *self.site.forward_order

    def figure(self, name: str) -> float | None:
        """What was measured of it by that name; None if nothing was."""
        return next((one.value for one in self.figures if one.name == name), None)


@dataclass(frozen=True)
class GraphEdge:
    """An effect, or a likeness, of an earlier node on a later one."""

    source: NodeId
    target: NodeId
    weight: float
    """Its strength, with its sign: below 0 the source works against the target."""
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is known of it, for people."""
    is_doubtful: bool = False
    """True: something speaks against it, for example that an end has a better match elsewhere."""

    @property
    def key(self) -> str:
        """Its name: those of its ends with a space between."""
        return f"{self.source} {self.target}"


@dataclass(frozen=True)
class LatentGraph:
    """Nodes and edges, each once, with what was left out and how it was made."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    focus: NodeId | None = None
    """What the graph is about: a seed, a logit; None for nothing in particular."""
    notes: tuple[str, ...] = ()
    """What is missing: sentences with numbers."""
    record: RunRecord | None = None
    """How it was made; None while it is being looked for."""

    def __post_init__(self) -> None:
        nodes = _once((node.key, node) for node in self.nodes)
        _once((edge.key, edge) for edge in self.edges)
        for edge in self.edges:
            ends = [nodes.get(str(end)) for end in (edge.source, edge.target)]
            source, target = ends
            if source is None or target is None:
                raise ValueError(f"The edge {edge.key!r} ends at a node that is not in the graph.")
            if not source.forward_order < target.forward_order:
                raise ValueError(f"The edge {edge.key!r} goes backward in the model.")
            if not all(math.isfinite(value) for value in (edge.weight, *(one.value for one in edge.evidence))):
                raise ValueError(f"The edge {edge.key!r} has a weight or evidence that is not a finite number.")
        if self.focus is not None and str(self.focus) not in nodes:
            raise ValueError(f"{self.focus}, which the graph is about, is not in it.")

    @cached_property
    def _by_id(self) -> dict[NodeId, GraphNode]:
        return {node.id: node for node in self.nodes}

    def node(self, id: NodeId) -> GraphNode | None:
        """The node of a name; None if it is not in the graph: a click on it is stale."""
        return self._by_id.get(id)

    def into(self, id: NodeId) -> tuple[GraphEdge, ...]:
        """Edges that end at a node."""
        return tuple(edge for edge in self.edges if edge.target == id)

    def out_of(self, id: NodeId) -> tuple[GraphEdge, ...]:
        """Edges that start at a node."""
        return tuple(edge for edge in self.edges if edge.source == id)

    @property
    def has_positions(self) -> bool:
        """True if a node stands at a position of a text."""
        return any(node.id.position is not None for node in self.nodes)


def _once(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for key, one in pairs:
        if key in found:
            raise ValueError(f"{key} is in the graph twice.")
        found[key] = one
    return found
