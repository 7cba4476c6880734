"""What fires on a text: asks that read and encode, and their answers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from dashboard.analysis.asks.ask import Ask
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


@dataclass(frozen=True)
class CaptureAsk(Ask["Capture"]):
    """Read the sites of some SAEs on one prompt and encode them."""

    prompt: Prompt
    saes: tuple[SaeId, ...]
    fidelity: bool = False
    """True: also measure, for each SAE, what the model loses when it runs on the SAE's reconstruction."""


@dataclass(frozen=True)
class TraceAsk(Ask["tuple[TracedRow, ...]"]):
    """What some latents do on each token of several texts that are given as token ids."""

    rows: tuple[tuple[int, ...], ...]
    """Each is read from its first id on, after a BOS where the model has one and the row does not begin with it."""
    latents: tuple[LatentId, ...]


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
    the ablated baseline is the SAE's reconstruction with every latent off, because zeros are not activations that the
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
