"""Counterparts of one SAE's latents in another, by the cosine of decoder rows."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int32

from dashboard.analysis.asks.ask import Ask
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, SaeId

MAX_TOP = 20
"""Most matches of one latent in one dictionary."""


class MatchBy(StrEnum):
    """How a latent's counterparts in another dictionary are chosen."""

    COSINE = "cosine"
    """The largest signed cosines of decoder rows, each latent by itself: many may share one counterpart."""
    PERMUTATION = "permutation"
    """One each: the one-to-one assignment with the least sum of squared distances of decoder rows. Baseline, slow when large."""
    RANDOM = "random"
    """One of the 5 nearest, each as likely. Baseline."""


@dataclass(frozen=True)
class MatchAsk(Ask["MatchTable"]):
    """Counterparts of the latents of one SAE among those of another."""

    of: SaeId
    """Whose latents are looked up: one row of the answer each."""
    among: SaeId
    """Where counterparts are looked for."""
    latents: tuple[int, ...] | None = None
    """Only these rows, in this order; None: all."""
    top: int = 1
    """How many, nearest first; the baselines give 1."""
    by: MatchBy = MatchBy.COSINE
    folded: bool = False
    """True: decoder rows times thresholds (Balagansky et al. 2024). Cosines stay as they are; distances do not."""
    seed: int = 0
    """Of RANDOM."""

    def __post_init__(self) -> None:
        if not 1 <= self.top <= MAX_TOP:
            raise BadAsk(f"{self.top} matches a latent were asked for; 1 to {MAX_TOP} are possible.")
        if self.by is not MatchBy.COSINE and self.top > 1:
            raise BadAsk(f"{self.by.value} gives 1 match a latent; {self.top} were asked for. Take cosine for more.")


@dataclass(frozen=True)
class Match:
    """A counterpart."""

    latent: LatentId
    cosine: float


@dataclass(frozen=True, eq=False)
class MatchTable:
    """Counterparts of latents, nearest first. Cosines that are equal to 12 decimals go by the lower index."""

    of: SaeId
    among: SaeId
    latents: Int32[np.ndarray, " rows"]
    """Whose counterparts each row holds."""
    index: Int32[np.ndarray, "rows top"]
    """In `among`."""
    cosine: Float64[np.ndarray, "rows top"]
    """Signed, -1 to 1; 0 where a row of either is zero."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_row", {int(latent): row for row, latent in enumerate(self.latents)})

    def matches(self, latent: int) -> tuple[Match, ...]:
        """The counterparts of one latent, nearest first.

        Raises:
            KeyError: if it was not asked for.
        """
        row: int = getattr(self, "_row")[latent]  # noqa: B009 - set above on a frozen value
        return tuple(Match(LatentId(self.among, int(i)), float(c)) for i, c in zip(self.index[row], self.cosine[row], strict=True))
