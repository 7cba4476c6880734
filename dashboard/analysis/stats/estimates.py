"""Estimates with their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap

_LEVEL = 0.95
_RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and how well they fix it."""

    mean: float
    interval: tuple[float, float] | None
    """95 %. None where the seeds do not tell: there is one, or a bootstrap has all the same values to draw from."""
    n: int


def mean_estimate(values: Sequence[float]) -> Estimate:
    """The mean with its bootstrap interval (BCa, or percentile where that is not defined). Their order means nothing."""
    data = np.sort(np.asarray(values, dtype=np.float64))
    mean = float(data.mean())
    if data[0] == data[-1]:
        return Estimate(mean, None, len(data))
    for method in ("BCa", "percentile"):
        rng = np.random.default_rng(0)
        found = bootstrap((data,), np.mean, n_resamples=_RESAMPLES, confidence_level=_LEVEL, method=method, rng=rng).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            return Estimate(mean, (float(found.low), float(found.high)), len(data))
    return Estimate(mean, None, len(data))


def share_estimate(matched: Sequence[bool]) -> Estimate:
    """The share of True with its Wilson interval."""
    n, share = len(matched), sum(matched) / len(matched)
    if n == 1:
        return Estimate(share, None, 1)
    found = binomtest(sum(matched), n).proportion_ci(_LEVEL, method="wilson")
    return Estimate(share, (float(found.low), float(found.high)), n)
