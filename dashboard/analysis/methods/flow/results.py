"""Values of the feature flow: which latents of one dictionary match which of another, and the graph that follows.

A node is a latent; its name in files, URLs and on screens is `str(LatentId)`. Every edge goes forward in the order of
`Site.forward_order`. Source: Laptev et al. 2025, arXiv:2502.03032, sections 3 and 4. Numbers only, no torch.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.asks.matching import MAX_TOP
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, Point, SaeId, Site

T_RES, T_MODULE = 0.5, 0.15
"""Thresholds of the paper: of a residual link for the span, and of a module's latent to be shown."""


@dataclass(frozen=True)
class FlowLayer:
    """The dictionaries of one layer of a flow; None where the release has none at that site."""

    layer: int
    resid: SaeId
    mlp: SaeId | None
    attn: SaeId | None
    previous: SaeId | None
    """The residual dictionary before: of the layer before, or further back."""
    gap: int = 0
    """Layers without a residual dictionary between `previous` and this one."""

    def before(self, point: Point) -> SaeId | None:
        """The dictionary in which a residual latent of this layer may have a predecessor: residual, mlp or attention."""
        return {Point.RESID_POST: self.previous, Point.MLP_OUT: self.mlp, Point.ATTN_OUT: self.attn}[point]


@dataclass(frozen=True)
class FlowSuite:
    """Dictionaries to match in, first layer first."""

    layers: tuple[FlowLayer, ...]
    notes: tuple[str, ...]
    """What is missing: sentences with numbers."""

    def of_sae(self, sae: SaeId) -> FlowLayer | None:
        """The layer that a dictionary of any point belongs to."""
        return next((layer for layer in self.layers if sae in (layer.resid, layer.mlp, layer.attn)), None)

    def after(self, layer: FlowLayer) -> FlowLayer | None:
        """The next layer that has a residual dictionary."""
        return next((other for other in self.layers if other.layer > layer.layer), None)


@dataclass(frozen=True)
class FlowAsk:
    """A flow graph."""

    seed: LatentId
    """Of a residual, mlp or attention dictionary; of a module the residual latent nearest to it in its layer is followed."""
    t_res: float = T_RES
    """Smallest cosine of a residual link inside the span."""
    t_module: float = T_MODULE
    """Smallest cosine of an MLP or attention latent to show."""
    top: int = 1
    """Predecessors shown at each point; the path continues through the best."""
    pruned: bool = True
    """True: only the span; False: everything, to both ends of the suite."""
    backward: bool = True
    forward: bool = True

    def __post_init__(self) -> None:
        for name, value in (("t_res", self.t_res), ("t_module", self.t_module)):
            if not -1 <= value <= 1:
                raise BadAsk(f"{name} is {value}; a cosine is -1 to 1.")
        if not 1 <= self.top <= MAX_TOP:
            raise BadAsk(f"{self.top} predecessors a point were asked for; 1 to {MAX_TOP} are possible.")


@dataclass(frozen=True)
class FlowNode:
    """A latent in a flow graph."""

    latent: LatentId
    site: Site
    on_path: bool
    """True: a residual latent of the path through the seed; False: shown because it feeds one."""
    in_span: bool
    """True: its layer is in the span."""
    s_res: float | None = None
    """Best cosine among the residual before it; None for a module's latent, and where there is no dictionary."""
    s_mlp: float | None = None
    s_att: float | None = None
    label: str = ""
    """From the index; empty where there is none."""
    density: float | None = None
    """Share of the index's tokens on which it fires, 0 to 1; None without an index."""
    maximum: float | None = None
    """Largest activation in the index."""

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.latent)


@dataclass(frozen=True)
class FlowEdge:
    """A link from an earlier latent to a later one."""

    source: LatentId
    target: LatentId
    cosine: float
    """Of their decoder rows."""
    back: LatentId
    """The target's best predecessor in the source's dictionary: the source itself, unless the match is asymmetric."""
    back_cosine: float
    forth: LatentId
    """The source's best successor in the target's dictionary: the target itself, unless the match is asymmetric."""
    forth_cosine: float
    rank: int | None = 0
    """The source's place among the target's predecessors in its dictionary, 0 for the best; None: found by looking forward
    only."""
    gap: int = 0
    """Layers skipped between the two."""

    @property
    def mutual(self) -> bool:
        """True if each is the other's best match."""
        return self.back == self.source and self.forth == self.target


@dataclass(frozen=True)
class FlowGraph:
    """A seed's path through the layers and what feeds it; nodes and edges in forward order."""

    ask: FlowAsk
    nodes: tuple[FlowNode, ...]
    edges: tuple[FlowEdge, ...]
    span: tuple[int, int]
    """First and last layer of the run around the seed in which every residual link is at least `t_res`."""
    notes: tuple[str, ...] = ()
    """Gaps and sites without a dictionary: sentences with numbers."""
    path: tuple[LatentId, ...] = field(default=())
    """The residual latents through the seed, first layer first."""

    def node(self, latent: LatentId) -> FlowNode | None:
        """The node of a latent; None if it is not in the graph: a click on it is stale."""
        return next((node for node in self.nodes if node.latent == latent), None)

    def into(self, latent: LatentId) -> tuple[FlowEdge, ...]:
        """Edges that end at a latent."""
        return tuple(edge for edge in self.edges if edge.target == latent)

    def out_of(self, latent: LatentId) -> tuple[FlowEdge, ...]:
        """Edges that start at a latent."""
        return tuple(edge for edge in self.edges if edge.source == latent)


@dataclass(frozen=True, eq=False)
class LitGraph:
    """The nodes of a graph on the tokens of a text."""

    texts: tuple[str, ...]
    """What each token shows."""
    special: tuple[bool, ...]
    values: dict[LatentId, Float32[np.ndarray, " tokens"]]
    """Activation of each node on each token, 0 where it does not fire."""
