"""Choosing latents on the train split and showing them on the test split.

Steps: (1) leave out latents that fire on more than 2 % of random tokens; (2) rank the rest by their smallest separation
over the types on the train split; (3) give the first ones with their counts on the test split, which had no say;
(4) curves over layers: for every type and SAE the mean of the 5 best on train, shown on test, and the MaxMin.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 3. Differs from it: the published code ranks on all entities, here
the test entities take no part in a choice; and rows of random tokens that were never read do not count as silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Counts, Firing, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.separation import FrequencyPair, Separation, separation
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.stats.shares import Share

MOST_NOISE = 0.02
TOP_CURVE, TOP_RINGED = 5, 10


@dataclass(frozen=True, eq=False)
class NoiseRates:
    """On how many random tokens, one a document, each latent fires."""

    fires: Int64[np.ndarray, " columns"]
    n: int
    """Tokens read."""

    @classmethod
    def of(cls, found: Firing) -> "NoiseRates":
        """Count rows of random tokens."""
        return cls(np.bincount(found.column, minlength=found.n_columns).astype(np.int64), found.n_rows)

    def __add__(self, other: "NoiseRates") -> "NoiseRates":
        """Counts of more tokens put to these."""
        return NoiseRates(self.fires + other.fires, self.n + other.n)

    def kept(self, most: float = MOST_NOISE) -> Bool[np.ndarray, " columns"]:
        """The latents that fire on a share of at most `most`."""
        return self.fires / max(self.n, 1) <= most

    def share(self, column: int) -> Share:
        """How many tokens a latent fires on, of how many."""
        return Share(int(self.fires[column]), self.n)


@dataclass(frozen=True)
class Chosen:
    """A latent that train entities chose, and what it does on test entities."""

    latent: LatentId
    site: Site
    column: int
    side: Knowledge
    rank: int
    """0 for the first."""
    train: float
    """Its smallest separation over the types on the train split: what it was chosen by."""
    test: float | None
    """The same on the test split; None where the test split has no type with both sides."""
    weakest_kind: str | None
    """The type with that test separation."""
    pairs: tuple[FrequencyPair, ...]
    """Its test counts, type by type."""
    noise: Share | None
    """Random tokens on which it fires; None where that was not read."""


@dataclass(frozen=True)
class CurvePoint:
    """The best latents of one SAE for one type on one side."""

    sae: SaeId
    site: Site
    kind: str | None
    """None: over all types by the smallest, where the first latent is the MaxMin."""
    side: Knowledge
    columns: tuple[int, ...]
    """The best on the split that chooses, first the best."""
    chosen_by: tuple[float, ...]
    """Their separations there."""
    shown: tuple[float, ...]
    """Their separations on the split that is shown."""
    n_known: int
    """Entities of the split that is shown; over all types the fewest of a type."""
    n_unknown: int

    @property
    def mean(self) -> float:
        """Mean of what is shown."""
        return float(np.mean(self.shown))

    @property
    def low(self) -> float:
        """The least of what is shown."""
        return min(self.shown)

    @property
    def high(self) -> float:
        """The most of what is shown."""
        return max(self.shown)


def best_columns(score: np.ndarray, n: int, kept: np.ndarray | None = None) -> Int64[np.ndarray, " chosen"]:
    """Indices of the n largest scores among the kept, the largest first; of equal ones the first column."""
    columns = np.arange(len(score)) if kept is None else np.flatnonzero(kept)
    return columns[np.argsort(-np.asarray(score)[columns], kind="stable")[:n]].astype(np.int64)


def choose(
    counts: Counts,
    side: Knowledge,
    n: int = TOP_RINGED,
    noise: NoiseRates | None = None,
    most_noise: float = MOST_NOISE,
    among: np.ndarray | None = None,
) -> tuple[Chosen, ...]:
    """The n latents with the largest smallest separation on train, first the best; of equal ones that with the larger mean.

    `among` is a mask of columns that may be chosen, of some SAEs for instance.

    Raises:
        BadAsk: if no type has both sides on train.
    """
    train, test = separation(counts, Split.TRAIN), separation(counts, Split.TEST)
    weakest = train.weakest(side)
    kept = np.ones(len(weakest), dtype=bool) if noise is None else noise.kept(most_noise)
    columns = np.flatnonzero(kept if among is None else kept & among)
    order = np.lexsort((columns, -train.s(side).mean(axis=0)[columns], -weakest[columns]))
    return tuple(described(test, int(column), side, rank, float(weakest[column]), noise) for rank, column in enumerate(columns[order[:n]]))


def described(
    test: Separation, column: int, side: Knowledge, rank: int = 0, train: float = float("nan"), noise: NoiseRates | None = None
) -> Chosen:
    """One latent with its figures on a split."""
    pairs = tuple(test.pair(kind, column) for kind in test.kinds)
    signed = {pair.kind: (pair.separation or 0.0) * (1 if side is Knowledge.KNOWN else -1) for pair in pairs}
    weakest = min(signed, key=lambda kind: signed[kind], default=None)
    latent = test.columns.latent(column)
    site = test.columns.sites[test.columns.saes.index(latent.sae)]
    value = None if weakest is None else signed[weakest]
    return Chosen(latent, site, column, side, rank, train, value, weakest, pairs, None if noise is None else noise.share(column))


def layer_curves(
    counts: Counts, side: Knowledge, top: int = TOP_CURVE, chosen_on: Split | None = Split.TRAIN, shown_on: Split | None = Split.TEST
) -> tuple[CurvePoint, ...]:
    """For every type (and None: over all), then every SAE, the `top` best latents of one split shown on another.

    No noise filter, as in the paper. A type needs both sides in both splits.

    Raises:
        BadAsk: if no type has.
    """
    chooses, shows = separation(counts, chosen_on), separation(counts, shown_on)
    kinds = [kind for kind in chooses.kinds if kind in shows.kinds]
    if not kinds:
        raise BadAsk("0 types have known and unknown entities both where latents are chosen and where they are shown. Take more entities.")
    by, on = _rows(chooses, kinds, side), _rows(shows, kinds, side)
    n_known = [int(shows.n_known[shows.kinds.index(kind)]) for kind in kinds]
    n_unknown = [int(shows.n_unknown[shows.kinds.index(kind)]) for kind in kinds]
    every = [(kind, by[i], on[i], n_known[i], n_unknown[i]) for i, kind in enumerate(kinds)]
    lines = (*every, (None, by.min(axis=0), on.min(axis=0), min(n_known), min(n_unknown)))
    points: list[CurvePoint] = []
    for kind, scores, values, *n in lines:
        for sae, site in zip(counts.columns.saes, counts.columns.sites, strict=True):
            block = counts.columns.block(sae)
            found = block.start + best_columns(scores[block], top)
            shown = (tuple(map(float, scores[found])), tuple(map(float, values[found])))
            points.append(CurvePoint(sae, site, kind, side, tuple(map(int, found)), *shown, *n))
    return tuple(points)


def _rows(found: Separation, kinds: Sequence[str], side: Knowledge) -> np.ndarray:
    return found.s(side)[[found.kinds.index(kind) for kind in kinds]]
