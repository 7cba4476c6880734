"""What a chosen latent is compared with: latents as frequent as it, latents that say nothing, random directions.

Steps: (1) frequency-matched latents: of the same SAE, those whose share of train entities is nearest to the chosen one's;
(2) latents whose smallest separation is exactly 0, drawn at random, as in the paper; (3) random unit vectors: the
residual's projection on each, with a threshold at which it is exceeded on train as often as the chosen latent fires. A
baseline's separations on test are then counted as a latent's are.

Source: for (2) Ferrando et al. 2024, arXiv:2411.14257, published code. Differs from it: (1) and (3) are added, because
most latents of (2) are dead and therefore easy to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Counts, Firing, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.separation import separation

N_BASELINE = 10
_NEAREST = 5
"""Matched latents are drawn from so many times as many nearest ones."""


@dataclass(frozen=True)
class Comparison:
    """A chosen value among those of its baselines."""

    value: float
    baselines: tuple[float, ...]

    @property
    def n(self) -> int:
        """Baselines."""
        return len(self.baselines)

    @property
    def mean(self) -> float | None:
        """None without baselines."""
        return float(np.mean(self.baselines)) if self.baselines else None

    @property
    def sd(self) -> float | None:
        """With n - 1; None below 2 baselines."""
        return float(np.std(self.baselines, ddof=1)) if self.n > 1 else None

    @property
    def n_at_least(self) -> int:
        """Baselines that are as large or larger."""
        return sum(value >= self.value for value in self.baselines)


def rates(counts: Counts, split: Split | None = Split.TRAIN) -> Float64[np.ndarray, " columns"]:
    """Share of a split's known and unknown entities, 0 to 1, on which each latent fires; every type and side weighs the same."""
    found = separation(counts, split)
    if not found.kinds:
        raise BadAsk("0 types have both known and unknown entities in this split, so no frequency can be matched. Take more entities.")
    return (found.f_known.mean(axis=0) + found.f_unknown.mean(axis=0)) / 2


def frequency_matched(
    counts: Counts, column: int, without: Sequence[int] = (), n: int = N_BASELINE, seed: int = 0
) -> Int64[np.ndarray, " drawn"]:
    """Columns of n latents of the same SAE that fire about as often on train entities, the nearest rate first.

    They are drawn from the 5n nearest; `without` names columns that may not be drawn, as the other chosen ones. Fewer come
    back if the SAE has fewer.
    """
    rate = rates(counts)
    block = _same_sae(counts, column)
    others = block[~np.isin(block, [column, *without])]
    generator = np.random.default_rng([seed, column])
    others = generator.permutation(others)  # of equal rates any may come first
    near = others[np.argsort(np.abs(rate[others] - rate[column]), kind="stable")[: _NEAREST * n]]
    drawn = generator.choice(near, min(n, len(near)), replace=False)
    return drawn[np.lexsort((drawn, np.abs(rate[drawn] - rate[column])))].astype(np.int64)


def saying_nothing(counts: Counts, column: int, side: Knowledge, n: int = N_BASELINE, seed: int = 0) -> Int64[np.ndarray, " drawn"]:
    """Columns, rising, of n latents of the same SAE whose smallest separation on train is exactly 0: mostly dead ones."""
    block = _same_sae(counts, column)
    none = block[(separation(counts, Split.TRAIN).weakest(side)[block] == 0) & (block != column)]
    return np.sort(np.random.default_rng([seed, column]).choice(none, min(n, len(none)), replace=False)).astype(np.int64)


def random_directions(n: int, width: int, seed: int = 0) -> Float32[np.ndarray, "n width"]:
    """Unit vectors, every direction as likely."""
    vectors = np.random.default_rng(seed).normal(size=(n, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def thresholds_at(projections: np.ndarray, rate: float) -> Float64[np.ndarray, " directions"]:
    """For each direction the value that its projections on some (train) rows exceed on the share `rate` of them, as nearly as can be.

    Raises:
        BadAsk: if there are no rows, or the rate is none.
    """
    rows = np.sort(np.asarray(projections, dtype=np.float64), axis=0)[::-1]
    if not len(rows) or not 0 <= rate <= 1:
        raise BadAsk(f"{len(rows)} rows are to be exceeded at a rate of {rate:g}; at least 1 row and 0 to 1 are needed.")
    n_above = round(rate * len(rows))
    above = rows[n_above - 1] if n_above else np.full(rows.shape[1], np.inf)
    below = rows[n_above] if n_above < len(rows) else np.full(rows.shape[1], -np.inf)
    # The middle of two finite neighbours; at the ends just the finite one.
    return np.where(np.isinf(above), below, np.where(np.isinf(below), np.nextafter(above, -np.inf), (above + below) / 2))


def firing_above(projections: np.ndarray, thresholds: np.ndarray) -> Firing:
    """Rows as the codes of an SAE: a direction fires where its projection is above its threshold."""
    fires: Bool[np.ndarray, "rows directions"] = np.asarray(projections) > thresholds
    start = np.concatenate([[0], np.cumsum(fires.sum(axis=1))]).astype(np.int64)
    return Firing(start, np.nonzero(fires)[1].astype(np.int32), fires.shape[1])


def compared(
    counts: Counts, column: int, side: Knowledge, baselines: Counts, columns: np.ndarray, split: Split | None = Split.TEST
) -> Comparison:
    """The smallest separation of a latent among those of baselines, whose counts may be its own or those of directions."""
    own, other = separation(counts, split).weakest(side), separation(baselines, split).weakest(side)
    return Comparison(float(own[column]), tuple(float(other[i]) for i in columns))


def _same_sae(counts: Counts, column: int) -> Int64[np.ndarray, " columns"]:
    block = counts.columns.block(counts.columns.latent(column).sae)
    return np.arange(block.start, block.stop, dtype=np.int64)
