"""Latents of one layer or of many as edits, with strengths that may fall off over the layers.

single(l) edits the chosen latents of layer l only; cumulative(l) those of every layer up to l. A strength s of the first
layer becomes s' at layer l: constant s' = s; linear s' = k l + b with k = (s* - s) / (l_end - l_start), b = s - k l_start,
which gives s* at the last layer; exponential s' = s exp(alpha l), with the absolute number of the layer as printed, so that
the first steered layer gets s only if it is layer 0. Activation adds s' times the decoder row on all tokens; deactivation
multiplies the latent's activation by r (below 1 weakens, below 0 reverses), and has no decay.

Source: Laptev et al. 2025, arXiv:2502.03032, section 6 and appendix B. Differs from it: strengths are in a unit that the
asker chooses where the paper folds; several latents of one site are multiplied one after another, each as those before it
have left the residual stream.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dashboard.analysis.asks.edits import Intervention, Op, Unit
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.results import FlowGraph
from dashboard.analysis.names import LatentId

ALPHA, LAST = -0.05, 1.0
"""alpha of the exponential and s* of the linear decay, as in the paper."""


class Decay(StrEnum):
    """How a strength depends on the layer."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Layers(StrEnum):
    """Which layers of a choice are steered at layer l."""

    SINGLE = "single"
    CUMULATIVE = "cumulative"


class Goal(StrEnum):
    """What steering is for."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


@dataclass(frozen=True)
class PlacedLatent:
    """A latent and its layer."""

    latent: LatentId
    layer: int


@dataclass(frozen=True)
class Schedule:
    """How latents become edits."""

    goal: Goal
    layers: Layers = Layers.CUMULATIVE
    decay: Decay = Decay.CONSTANT
    unit: Unit = Unit.RAW
    """Of an activation's strength."""
    alpha: float = ALPHA
    last: float = LAST
    """s*."""

    def __post_init__(self) -> None:
        if self.goal is Goal.DEACTIVATE and self.decay is not Decay.CONSTANT:
            raise BadAsk(f"Deactivation multiplies by one factor at all layers; the decay is {self.decay.value}. Choose constant.")
        if not math.isfinite(self.alpha) or not math.isfinite(self.last):
            raise BadAsk(f"alpha is {self.alpha} and s* is {self.last}; both must be finite.")

    def edits(self, latents: Sequence[PlacedLatent], strength: float, layer: int | None = None) -> tuple[Intervention, ...]:
        """The edits of a choice of latents at layer l, None for its last; latents in the order of their layers.

        Raises:
            BadAsk: if no latent is left.
        """
        chosen = sorted({*latents}, key=lambda one: (one.layer, one.latent))
        if layer is not None:
            chosen = [one for one in chosen if one.layer == layer or (self.layers is Layers.CUMULATIVE and one.layer < layer)]
        if not chosen:
            raise BadAsk(f"0 of {len(latents)} latents are steered at layer {layer}. Choose a layer that has one.")
        if self.goal is Goal.DEACTIVATE:
            return tuple(Intervention(one.latent, Op.SCALE, strength) for one in chosen)
        ends = (chosen[0].layer, chosen[-1].layer)
        return tuple(Intervention(one.latent, Op.ADD, self.at(strength, one.layer, *ends), self.unit) for one in chosen)

    def at(self, strength: float, layer: int, first: int, end: int) -> float:
        """s' at a layer of `first` to `end`."""
        return decayed(self.decay, strength, layer, first, end, self.alpha, self.last)


def decayed(decay: Decay, strength: float, layer: int, first: int, end: int, alpha: float = ALPHA, last: float = LAST) -> float:
    """s' of the card: linear runs from s at `first` to `last` at `end` (one layer: s), exponential is s exp(alpha * layer)."""
    match decay:
        case Decay.CONSTANT:
            return strength
        case Decay.LINEAR:
            return strength if end == first else strength + (last - strength) * (layer - first) / (end - first)
        case Decay.EXPONENTIAL:
            return strength * math.exp(alpha * layer)


def path_latents(graph: FlowGraph, modules: bool = False) -> tuple[PlacedLatent, ...]:
    """The latents of a graph's span: its residual path, with `modules` also what feeds it."""
    return tuple(PlacedLatent(node.latent, node.site.layer) for node in graph.nodes if node.in_span and (node.on_path or modules))


@dataclass(frozen=True)
class Setting:
    """One way to steer: a line of the figure, or a layer of one."""

    label: str
    latents: tuple[PlacedLatent, ...]
    schedule: Schedule
    layer: int | None = None
    """l of the schedule; None for the last."""

    def edits(self, strength: float) -> tuple[Intervention, ...]:
        """What is done to the model; nothing at the strength that changes nothing."""
        neutral = 1.0 if self.schedule.goal is Goal.DEACTIVATE else 0.0
        return () if strength == neutral else self.schedule.edits(self.latents, strength, self.layer)


SINGLE, INITIAL, FLOW = "single layer", "initial set", "flow set"


def settings_of(initial: Sequence[PlacedLatent], flow: Sequence[PlacedLatent], schedule: Schedule) -> tuple[Setting, ...]:
    """The paper's comparison: every single layer of the flow set, the initial set, and the flow set layer after layer."""
    if not initial or not flow:
        raise BadAsk(f"The initial set has {len(initial)} latents and the flow set {len(flow)}; each needs at least 1.")
    single = replace(schedule, layers=Layers.SINGLE, decay=Decay.CONSTANT)
    layers = sorted({one.layer for one in flow})
    answer = [Setting(SINGLE, tuple(flow), single, layer) for layer in layers]
    return (*answer, Setting(INITIAL, tuple(initial), schedule), Setting(FLOW, tuple(flow), replace(schedule, layers=Layers.CUMULATIVE)))
