"""Answers of a Runner: frozen, plain numpy, with their units."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from dashboard.analysis.names import LatentId, ModelId, SaeId
from dashboard.analysis.tokens import TokenizedPrompt


@dataclass(frozen=True)
class ModelCard:
    """What is loaded, and how it computes."""

    model: ModelId
    path: Path
    """The Hugging Face folder that it was loaded from."""
    device: str
    dtype: str
    n_layers: int
    d_model: int
    max_tokens: int


@dataclass(frozen=True, eq=False)
class LatentActivations:
    """Which latents of one SAE fire on one prompt: sparse, sorted by position, then latent. Zeros are never stored."""

    sae: SaeId
    n_tokens: int
    n_latents: int
    position: Int32[np.ndarray, " active"]
    latent: Int32[np.ndarray, " active"]
    value: Float32[np.ndarray, " active"]
    """Activation as the SAE's `encode` gives it, above 0."""

    def of_latent(self, index: int) -> Float32[np.ndarray, " tokens"]:
        """The activation of one latent on every token."""
        dense = np.zeros(self.n_tokens, dtype=np.float32)
        chosen = self.latent == index
        dense[self.position[chosen]] = self.value[chosen]
        return dense

    def at_position(self, position: int) -> list[tuple[int, float]]:
        """(latent, activation) of everything that fires on one token, strongest first; ties by latent."""
        chosen = self.position == position
        latents, values = self.latent[chosen], self.value[chosen]
        order = np.lexsort((latents, -values))
        return [(int(latents[i]), float(values[i])) for i in order]

    def counts(self) -> Int32[np.ndarray, " tokens"]:
        """How many latents fire on each token: the L0 of the token."""
        return np.bincount(self.position, minlength=self.n_tokens).astype(np.int32)


MIN_HARM = 0.1
"""Nats a token that ablation must cost before CE recovered says anything: a share of nearly nothing is noise."""


@dataclass(frozen=True)
class Fidelity:
    """How well an SAE keeps what the model knows, on the ordinary tokens of one text. Unknown is None.

    Source: FVU and CE recovered as in Karvonen et al. 2025, arXiv:2503.09532, section 3 and appendix. Differs from it:
    the ablated baseline is the SAE's reconstruction with every latent off, because zeros are no activation that the
    model ever sees and the mean of a short text still tells much of it; special tokens are left as they are.
    """

    l0: float | None
    """Mean number of latents that fire on a token."""
    fvu: float | None
    """Fraction of variance unexplained: squared error / squared distance to this text's mean activation."""
    ce_clean: float | None
    """Next-token cross-entropy of the model as it is, nats."""
    ce_spliced: float | None
    """The same with the site replaced by the SAE's reconstruction."""
    ce_ablated: float | None
    """The same with the site replaced by the reconstruction from no latents (for most SAEs the decoder bias)."""

    @property
    def ce_recovered(self) -> float | None:
        """(ablated - spliced) / (ablated - clean): 1 is lossless, 0 no better than no latents.

        None when ablating does less harm than MIN_HARM.
        """
        if self.ce_clean is None or self.ce_spliced is None or self.ce_ablated is None:
            return None
        return recovered(self.ce_clean, self.ce_spliced, self.ce_ablated, MIN_HARM)


def recovered(ce_clean: float, ce_spliced: float, ce_ablated: float, min_harm: float = 0.0) -> float | None:
    """(ablated - spliced) / (ablated - clean); None where ablating does no harm of that size, so that there is nothing to recover."""
    harm = ce_ablated - ce_clean
    return (ce_ablated - ce_spliced) / harm if harm > 0 and harm >= min_harm else None


@dataclass(frozen=True, eq=False)
class Capture:
    """What some SAEs read on one prompt."""

    tokens: TokenizedPrompt
    activations: dict[SaeId, LatentActivations]
    fidelity: dict[SaeId, Fidelity]
    """Of every SAE asked for; cross-entropies are None unless the ask wanted them."""


@dataclass(frozen=True, eq=False)
class TracedRow:
    """A row of token ids and what latents do on it; a BOS that was put before it is left out."""

    texts: tuple[str, ...]
    """What each token shows, as in `TokenizedPrompt.texts`."""
    special: tuple[bool, ...]
    values: Float32[np.ndarray, "latents tokens"]
    """Activations, 0 where a latent does not fire; latents in the order asked."""


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
class TokenDelta:
    """One token of one row of a generation."""

    variant: str
    step: int
    """0 for the first new token."""
    token_id: int
    text: str
    """What this token adds to the row's text; empty while a character is not complete."""
    logprob: float
    """Log-probability under the row's own (edited) model at temperature 1, nats."""
    last: bool
    """True for the row's last token."""


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


@dataclass(frozen=True)
class NextToken:
    """A token that could come next."""

    text: str
    logprob: float
    """Nats, at temperature 1."""


@dataclass(frozen=True)
class ScoredToken:
    """One token of a text, as the edited and the plain model see it after the same tokens."""

    logprob: float
    """Under the edited model, nats."""
    plain_logprob: float
    kl: float
    """KL(edited || plain) of the two next-token distributions at this place, nats."""
    top: tuple[NextToken, ...]
    """Most likely next tokens of the edited model, first to last."""
    plain_top: tuple[NextToken, ...]


@dataclass(frozen=True)
class TextScore:
    """A text as two models see it."""

    tokens: tuple[ScoredToken, ...]
    """One an id of the continuation."""
    doses: tuple[Dose, ...]
    """One an intervention."""
    words: tuple[tuple[float, float], ...]
    """For each word asked for, the log-probability of its first token at the first new place: edited, plain."""

    @property
    def perplexity(self) -> float | None:
        """exp of the mean negative log-probability under the plain model; None for a text without tokens."""
        if not self.tokens:
            return None
        return math.exp(-sum(token.plain_logprob for token in self.tokens) / len(self.tokens))


@dataclass(frozen=True)
class RunRecord:
    """What a result was made with: enough to make it again."""

    kind: str
    """steer, sweep ..."""
    ask: dict[str, Any]
    model: str
    saes: dict[str, str]
    """SHA-256 of each SAE's weights by its name."""
    device: str
    dtype: str
    code: str
    """Version of this project."""
    libraries: dict[str, str]
    created: str
    """UTC, ISO 8601."""
    seconds: float | None
    """How long it took; None where that was not measured."""
