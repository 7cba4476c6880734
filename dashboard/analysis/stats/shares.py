"""A share with the counts it is made of, and its 95 % interval.

Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Differs from it: none; at 0
and at n the bound that is 0 or 1 is set exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm

LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """k of n."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n:
            raise ValueError(f"{self.k} of {self.n} is not a share.")

    @property
    def value(self) -> float | None:
        """0 to 1; None for 0 of 0."""
        return self.k / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, Wilson; None for 0 of 0."""
        if not self.n:
            return None
        low, high = wilson(np.array([self.k]), np.array([self.n]))
        return float(low[0]), float(high[0])

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"


def wilson(k: np.ndarray, n: np.ndarray, level: float = LEVEL) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
    """Lower and upper bounds of k of n, elementwise, each 0 to 1; 0 to 1 where n is 0."""
    k, n = np.broadcast_arrays(np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64))
    z = float(norm.isf((1 - level) / 2))
    safe = np.maximum(n, 1)
    centre = (k + z * z / 2) / (safe + z * z)
    half = z / (safe + z * z) * np.sqrt(np.maximum(k * (safe - k) / safe + z * z / 4, 0))
    low = np.where((n == 0) | (k == 0), 0.0, centre - half)
    high = np.where((n == 0) | (k == n), 1.0, centre + half)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
