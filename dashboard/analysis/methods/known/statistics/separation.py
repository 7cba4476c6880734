"""How well each latent tells known entities from unknown ones, within a type and over all of them.

Steps: (1) f = share of entities on which the latent fires, of the known and of the unknown of a type; (2) separation
s_known = f_known - f_unknown, and s_unknown = -s_known; (3) over types the smallest of a side's separations, so that one
type alone cannot make a latent; (4) MaxMin of an SAE = the largest of these.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 3, equations for f, s and MaxMin. Differs from it: a type without
a known or without an unknown entity in the split takes no part and is missing from `kinds`.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.stats import binom, norm

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, Counts, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.significance import two_sided
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.stats.shares import Share, wilson

POWER, ALPHA = 0.8, 0.05
_MOST_TABLES = 250_000
"""Pairs of counts for which the power is worked out exactly; above, by Cohen's arcsine."""


@dataclass(frozen=True, eq=False)
class Separation:
    """Frequencies of one split."""

    kinds: tuple[str, ...]
    """Types with known and with unknown entities in the split."""
    columns: Columns
    n_known: Int64[np.ndarray, " kinds"]
    n_unknown: Int64[np.ndarray, " kinds"]
    known: Int64[np.ndarray, "kinds columns"]
    """Known entities on which each latent fires."""
    unknown: Int64[np.ndarray, "kinds columns"]

    @property
    def f_known(self) -> Float64[np.ndarray, "kinds columns"]:
        """Share of known entities, 0 to 1."""
        return self.known / self.n_known[:, None]

    @property
    def f_unknown(self) -> Float64[np.ndarray, "kinds columns"]:
        """Share of unknown entities, 0 to 1."""
        return self.unknown / self.n_unknown[:, None]

    def s(self, side: Knowledge) -> Float64[np.ndarray, "kinds columns"]:
        """Separation to one side, -1 to 1."""
        return self.f_known - self.f_unknown if _is_known(side) else self.f_unknown - self.f_known

    def weakest(self, side: Knowledge) -> Float64[np.ndarray, " columns"]:
        """The smallest separation over the types, -1 to 1.

        Raises:
            BadAsk: if no type has both kinds of entities.
        """
        if not self.kinds:
            raise BadAsk("0 types have both known and unknown entities in this split. Take more entities, or other thresholds.")
        return min_over_types(self.s(side))

    def pair(self, kind: str, column: int) -> "FrequencyPair":
        """The counts of one latent in one type."""
        i = self.kinds.index(kind)
        known = Share(int(self.known[i, column]), int(self.n_known[i]))
        return FrequencyPair(kind, known, Share(int(self.unknown[i, column]), int(self.n_unknown[i])))

    def intervals(self, side: Knowledge) -> tuple[Float64[np.ndarray, "kinds columns"], Float64[np.ndarray, "kinds columns"]]:
        """95 % bounds, Wilson, of the frequency on known or on unknown entities."""
        known = _is_known(side)
        return wilson(self.known if known else self.unknown, (self.n_known if known else self.n_unknown)[:, None])


@dataclass(frozen=True)
class FrequencyPair:
    """How often one latent fires on the known and the unknown entities of one type."""

    kind: str
    known: Share
    unknown: Share

    @property
    def separation(self) -> float | None:
        """f_known - f_unknown, -1 to 1; None if a group is empty."""
        if self.known.value is None or self.unknown.value is None:
            return None
        return self.known.value - self.unknown.value


@dataclass(frozen=True)
class MaxMin:
    """The most general latent of one SAE on one side."""

    sae: SaeId
    site: Site
    side: Knowledge
    column: int
    value: float
    """Its smallest separation over the types, -1 to 1."""


def separation(counts: Counts, split: Split | None) -> Separation:
    """Frequencies of a split; None takes all entities together."""
    n_known, n_unknown = counts.n_of(Knowledge.KNOWN, split), counts.n_of(Knowledge.UNKNOWN, split)
    rows = (n_known > 0) & (n_unknown > 0)
    kinds = tuple(kind for kind, both in zip(counts.kinds, rows, strict=True) if both)
    known, unknown = counts.fires_of(Knowledge.KNOWN, split), counts.fires_of(Knowledge.UNKNOWN, split)
    return Separation(kinds, counts.columns, n_known[rows], n_unknown[rows], known[rows], unknown[rows])


def frequencies(activations: np.ndarray) -> Float64[np.ndarray, " latents"]:
    """Share of rows, 0 to 1, on which each latent is above 0; from dense activations, entities by latents."""
    return (np.asarray(activations) > 0).mean(axis=0)


def min_over_types(s: np.ndarray) -> Float64[np.ndarray, " columns"]:
    """The smallest value of each column over the types."""
    return np.asarray(s, dtype=np.float64).min(axis=0)


def max_min(scores: Separation, side: Knowledge, kept: Bool[np.ndarray, " columns"] | None = None) -> tuple[MaxMin, ...]:
    """The MaxMin of every SAE, in the order of the columns; an SAE of which no latent is `kept` has none.

    The curve over layers takes all latents (`kept` None), as the paper's does; a choice of latents takes the filtered.
    """
    weakest, columns = scores.weakest(side), scores.columns
    found: list[MaxMin] = []
    for place, sae in enumerate(columns.saes):
        block = np.arange(columns.starts[place], columns.starts[place + 1])
        block = block if kept is None else block[kept[block]]
        if len(block):
            best = int(block[np.argmax(weakest[block])])
            found.append(MaxMin(sae, columns.sites[place], side, best, float(weakest[best])))
    return tuple(found)


def smallest_separation(n_known: int, n_unknown: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The least difference of frequencies that so many entities show with probability `power` by Fisher's two-sided test.

    Taken for frequencies the same distance above and below one half, the hardest ones: a latent that is nearly silent on
    one side needs less. None if even a latent that fires on all of one side and none of the other would be missed.
    For one latent named beforehand; to find it among m, give alpha / m.
    """
    if min(n_known, n_unknown) < 1:
        return None
    if (n_known + 1) * (n_unknown + 1) > _MOST_TABLES:
        h = float(norm.isf(alpha / 2) + norm.isf(1 - power)) * math.sqrt(1 / n_known + 1 / n_unknown)
        return math.sin(h / 2) if h < math.pi else None
    rejected = _rejected(n_known, n_unknown, alpha)
    if not rejected[n_known, 0]:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(rejected, middle) >= power else (middle, high)
    return high


def _rejected(n_first: int, n_second: int, alpha: float) -> Bool[np.ndarray, "first second"]:
    """For every pair of counts whether Fisher's test finds a difference."""
    rejected = np.zeros((n_first + 1, n_second + 1), dtype=bool)
    for total in range(n_first + n_second + 1):
        low, p = two_sided(total, n_first, n_second)
        first = np.arange(low, low + len(p))
        rejected[first, total - first] = p <= alpha
    return rejected


def _power(rejected: Bool[np.ndarray, "first second"], difference: float) -> float:
    high, low = (1 + difference) / 2, (1 - difference) / 2
    n_first, n_second = rejected.shape[0] - 1, rejected.shape[1] - 1
    first = binom.pmf(np.arange(n_first + 1), n_first, high)
    return float(first @ rejected @ binom.pmf(np.arange(n_second + 1), n_second, low))


def _is_known(side: Knowledge) -> bool:
    if side is Knowledge.ASIDE:
        raise BadAsk("Entities that are set aside count in no score: ask for the known or the unknown side.")
    return side is Knowledge.KNOWN
