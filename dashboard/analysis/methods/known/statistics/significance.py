"""Whether a latent fires on other shares of known and unknown entities than chance would let it.

Steps: (1) Fisher's exact test of every latent and type on whole-number counts; the two-sided p sums all tables with the
same margins that are as likely or less; (2) over several types, the one-sided p that the latent leans to one side in every
one of them is the largest of the types' (Berger 1982: all parts must hold); (3) Benjamini-Hochberg over all latents of all
layers together, those that fire nowhere too (p = 1).

Sources: Fisher 1935; Benjamini and Hochberg 1995; Berger 1982, "Multiparameter hypothesis testing and acceptance sampling".
Differs from them: none. q assumes independent or positively dependent tests; the latents of neighbouring layers are not
independent, which is why `permutation.py` exists as well.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import false_discovery_control, hypergeom

from dashboard.analysis.methods.known.statistics.entity_counts import Counts, Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge

_SAME = 1 + 1e-10
"""Tables whose probabilities differ by less than this factor are as likely as one another."""


@dataclass(frozen=True, eq=False)
class Significance:
    """How surprising the counts of one split are, for every type and latent."""

    kinds: tuple[str, ...]
    """Types with known and with unknown entities in the split."""
    n_known: tuple[int, ...]
    n_unknown: tuple[int, ...]
    p: Float64[np.ndarray, "kinds columns"]
    """Two-sided, Fisher."""
    q: Float64[np.ndarray, "kinds columns"]
    """Benjamini-Hochberg over all latents of all SAEs, type by type."""
    p_known: Float64[np.ndarray, " columns"]
    """That the latent fires more on known entities in every type: one-sided, the largest of the types."""
    q_known: Float64[np.ndarray, " columns"]
    p_unknown: Float64[np.ndarray, " columns"]
    q_unknown: Float64[np.ndarray, " columns"]


def significance(counts: Counts, split: Split | None = Split.TEST) -> Significance:
    """Test every latent of every SAE on one split (None: on all entities)."""
    n_known, n_unknown = counts.n_of(Knowledge.KNOWN, split), counts.n_of(Knowledge.UNKNOWN, split)
    rows = np.flatnonzero((n_known > 0) & (n_unknown > 0))
    known, unknown = counts.fires_of(Knowledge.KNOWN, split), counts.fires_of(Knowledge.UNKNOWN, split)
    p = np.ones((len(rows), counts.columns.n))
    more, less = p.copy(), p.copy()
    for place, i in enumerate(rows):
        sizes = int(n_known[i]), int(n_unknown[i])
        p[place] = fisher_exact(known[i], unknown[i], *sizes)
        more[place] = fisher_greater(known[i], unknown[i], *sizes)
        less[place] = fisher_greater(unknown[i], known[i], *sizes[::-1])
    known_p, unknown_p = (side.max(axis=0, initial=0) if len(rows) else np.ones(counts.columns.n) for side in (more, less))
    return Significance(
        tuple(counts.kinds[i] for i in rows),
        tuple(int(n_known[i]) for i in rows),
        tuple(int(n_unknown[i]) for i in rows),
        p,
        np.array([corrected(row) for row in p]).reshape(p.shape),
        known_p,
        corrected(known_p),
        unknown_p,
        corrected(unknown_p),
    )


def corrected(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Benjamini-Hochberg q of every p; none of none."""
    return np.asarray(false_discovery_control(p, method="bh"), dtype=np.float64) if len(p) else p


def fisher_exact(first: np.ndarray, second: np.ndarray, n_first: int, n_second: int) -> Float64[np.ndarray, " tests"]:
    """Two-sided p of `first` of `n_first` against `second` of `n_second`, elementwise: each distinct total is worked out once."""
    first, second = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    p = np.ones(len(first))
    totals, which = np.unique(first + second, return_inverse=True)
    order = np.argsort(which, kind="stable")
    for total, members in zip(totals, np.split(order, np.cumsum(np.bincount(which))[:-1]), strict=True):
        low, table = two_sided(int(total), n_first, n_second)
        p[members] = table[first[members] - low]
    return p


def two_sided(total: int, n_first: int, n_second: int) -> tuple[int, Float64[np.ndarray, " tables"]]:
    """Smallest possible count in the first group at a total, and the two-sided p of that count and each after it."""
    low, high = max(0, total - n_second), min(total, n_first)
    likely = hypergeom.pmf(np.arange(low, high + 1), n_first + n_second, n_first, total)
    rising = np.sort(likely)
    sums = np.cumsum(rising)
    return low, np.minimum(sums[np.searchsorted(rising, likely * _SAME, side="right") - 1], 1.0)


def fisher_greater(first: np.ndarray, second: np.ndarray, n_first: int, n_second: int) -> Float64[np.ndarray, " tests"]:
    """One-sided p that `first` of `n_first` is as many or more, given the margins, elementwise."""
    pairs, which = np.unique(np.asarray(first, dtype=np.int64) * (n_second + 1) + second, return_inverse=True)
    k, other = np.divmod(pairs, n_second + 1)
    p = hypergeom.sf(k - 1, n_first + n_second, n_first, k + other)
    return np.minimum(p, 1.0)[which]
