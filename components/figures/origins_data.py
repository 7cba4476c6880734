"""Plain data of the figures of the flow on text: strings, whole numbers and finite floats only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from components.data import GraphRole

SHORT_ROLE = {
    GraphRole.NOWHERE: "nowhere",
    GraphRole.RES: "RES",
    GraphRole.MLP: "MLP",
    GraphRole.ATT: "ATT",
    GraphRole.RES_MLP: "RES & MLP",
    GraphRole.RES_ATT: "RES & ATT",
    GraphRole.MLP_ATT: "MLP & ATT",
    GraphRole.RES_MLP_ATT: "all three",
}
"""The eight groups of origins, in the paper's order, as they stand on axes."""

T = TypeVar("T")


def thinned(items: Sequence[T], most: int) -> list[T]:
    """As many of the items as can be drawn, evenly taken."""
    step = -(-len(items) // most)
    return list(items[::step]) if step > 1 else list(items)


@dataclass(frozen=True)
class OriginBar:
    """One piece of a bar: how much of what is active is of one group."""

    key: str
    """Comes back when it is clicked."""
    bar: str
    """Which bar it is part of: a layer, a kind of text."""
    role: GraphRole
    share: float
    """0 to 1; the pieces of a bar add up to 1."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    k: int
    n: int


@dataclass(frozen=True)
class ScoredLatent:
    """A latent in a group, and the cosine of its best match."""

    key: str
    role: GraphRole
    value: float


@dataclass(frozen=True)
class TestBar:
    """How many of some tests are significant."""

    __test__ = False
    module: str
    """RES, MLP, ATT: whose activity tells the pairs of groups apart."""
    sort: str
    """AO, AB or IB."""
    score: str
    """Whose cosine is compared."""
    k: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class PairPoint:
    """Two latents: how alike their rows are, and how alike they fire."""

    key: str
    """Both names with a space between; comes back when it is clicked."""
    group: str
    """RES, MLP or ATT: where the earlier one is."""
    cosine: float
    pearson: float
    n_fired: int


@dataclass(frozen=True)
class EffectBar:
    """What rescaling some predecessors did."""

    key: str
    """Comes back when it is clicked."""
    method: str
    """Its colour."""
    changed: str
    """Where it stands on the axis: RES, RES & MLP ..."""
    value: float
    low: float
    high: float
    n: int
