"""Questions and answers of the feature flow on text: what fires at chosen tokens, and what rescaling latents there does.

Frozen; no torch. Source: Laptev et al. 2025, arXiv:2502.03032, sections 4 and 5.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32

from dashboard.analysis.asks.ask import Ask
from dashboard.analysis.asks.edits import MAX_AMOUNT
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, SaeId

MAX_VARIANTS = 4096
"""Ways of rescaling in one ask."""
MAX_AFTER = 256
"""Tokens after the edited one whose loss may be measured."""


@dataclass(frozen=True)
class ActivityAsk(Ask["SampledActivity"]):
    """Everything that the latents of some SAEs do at chosen tokens of texts that are given as token ids."""

    rows: tuple[tuple[int, ...], ...]
    """Each is read from its first id on, after a BOS where the model has one and the row does not begin with it."""
    positions: tuple[tuple[int, ...], ...]
    """Of each row, counted through its ids as they are given."""
    saes: tuple[SaeId, ...]

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.positions):
            raise BadAsk(f"{len(self.rows)} rows have {len(self.positions)} lists of positions; each row needs one.")
        for row, chosen in zip(self.rows, self.positions, strict=True):
            for position in chosen:
                check_position(position, row)

    @property
    def n_samples(self) -> int:
        """Tokens that are looked at."""
        return sum(map(len, self.positions))


def check_position(position: int, row: tuple[int, ...]) -> None:
    """Raises: BadAsk: if a position is not in a row."""
    if not 0 <= position < len(row):
        raise BadAsk(f"Token {position} is not in a text of {len(row)} tokens (0 to {len(row) - 1}).")


@dataclass(frozen=True, eq=False)
class Activity:
    """What fires of one SAE at some tokens: sparse, sorted by sample, then latent. Zeros are never stored."""

    sae: SaeId
    n_samples: int
    n_latents: int
    sample: Int32[np.ndarray, " active"]
    """Counted through the rows of the ask and the positions of each."""
    latent: Int32[np.ndarray, " active"]
    value: Float32[np.ndarray, " active"]
    """Above 0."""


@dataclass(frozen=True, eq=False)
class SampledActivity:
    """The answer to an ActivityAsk."""

    special: Bool[np.ndarray, " samples"]
    """True for BOS, EOS and the like, which stay out of statistics."""
    of_sae: dict[SaeId, Activity]


@dataclass(frozen=True)
class Rescale:
    """Latents whose activation at one token is multiplied, all at once: h + (factor - 1) a V at the site of each."""

    latents: tuple[LatentId, ...]
    """Of any sites."""
    factor: float
    """0 removes, 1 leaves everything as it is, bit for bit, below 0 reverses, above 1 boosts."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.factor) or abs(self.factor) > MAX_AMOUNT:
            raise BadAsk(f"The factor is {self.factor:g}; it must be between -{MAX_AMOUNT:g} and {MAX_AMOUNT:g}.")

    @property
    def changes_nothing(self) -> bool:
        """True for a factor of 1, and for no latents."""
        return self.factor == 1 or not self.latents


@dataclass(frozen=True)
class RescaleAsk(Ask["Rescaled"]):
    """Rescale latents at one token of a text in several ways; each way, run the rest of the model and read some latents there."""

    row: tuple[int, ...]
    """Token ids, read as in an ActivityAsk."""
    position: int
    """The one token that is edited and read, counted through the row as it is given."""
    variants: tuple[Rescale, ...]
    targets: tuple[LatentId, ...]
    """Read at that token in each variant, after the edits."""
    n_after: int = 0
    """Tokens after it whose loss is measured, fewer where the text ends before."""

    def __post_init__(self) -> None:
        check_position(self.position, self.row)
        if not 0 < len(self.variants) <= MAX_VARIANTS:
            raise BadAsk(f"{len(self.variants):,} ways of rescaling were asked for; 1 to {MAX_VARIANTS:,} are possible.")
        if not 0 <= self.n_after <= MAX_AFTER:
            raise BadAsk(f"The loss of {self.n_after} tokens was asked for; 0 to {MAX_AFTER} are possible.")


@dataclass(frozen=True, eq=False)
class Rescaled:
    """The answer to a RescaleAsk."""

    plain: Float32[np.ndarray, " targets"]
    """Activations of the targets without any edit, read in the same way."""
    values: Float32[np.ndarray, "variants targets"]
    """Their activations in each variant."""
    plain_loss: float | None
    """Mean cross-entropy of the tokens that follow, nats; None where none was asked for or none follows."""
    losses: Float32[np.ndarray, " variants"] | None
    """The same in each variant."""
    n_losses: int
    """Tokens behind each mean."""
