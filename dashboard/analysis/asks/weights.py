"""Asks about weights: nothing is read, and their answers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.asks.ask import Ask
from dashboard.analysis.asks.edits import Direction, Intervention, NamedVector
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, SaeId


@dataclass(frozen=True)
class VocabularyAsk(Ask["Vocabulary"]):
    """What some tokens are to the model: their texts and their vectors."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class NeighbourAsk(Ask["tuple[Neighbour, ...]"]):
    """The latents of other SAEs whose decoder rows point most nearly the way of one latent's."""

    latent: LatentId
    among: tuple[SaeId, ...]
    top: int = 1
    """How many of each SAE."""


@dataclass(frozen=True)
class DosesAsk(Ask["tuple[Dose, ...]"]):
    """What each of some interventions amounts to, in their order; no prompt is read."""

    interventions: tuple[Intervention, ...]


@dataclass(frozen=True)
class AssembleAsk(Ask[NamedVector]):
    """A vector put together from latents of one site: the sum of coefficient times decoder row."""

    name: str
    parts: tuple[tuple[LatentId, float], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise BadAsk("A vector needs at least 1 latent; 0 were given.")


@dataclass(frozen=True)
class PromotedAsk(Ask[tuple[str, ...]]):
    """The tokens whose logits a direction raises most, through the final norm's weights and the unembedding."""

    direction: Direction
    top: int = 5


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Some tokens of a model's vocabulary, in the order asked."""

    texts: tuple[str, ...]
    """Each on its own; U+FFFD stands for part of a character."""
    special: tuple[bool, ...]
    vectors: Float32[np.ndarray, "tokens d_model"]
    """Rows of the token embedding."""


@dataclass(frozen=True)
class Neighbour:
    """A latent and how nearly its decoder row points the same way."""

    latent: LatentId
    cosine: float
    """-1 to 1."""


@dataclass(frozen=True)
class Dose:
    """An intervention with its amount in figures."""

    amount: float
    """In units of the direction: what the arithmetic uses. 0 where the operation takes none."""
    direction_norm: float
    """|d|."""
    mean_norm: float
    """Mean norm of the residual stream at the site, over the ordinary tokens of the calibration text."""

    @property
    def share_of_norm(self) -> float:
        """amount * |d| / mean |x|."""
        return self.amount * self.direction_norm / self.mean_norm
