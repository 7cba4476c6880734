"""What the model is disposed to say at each layer: asks of the logit lens and of the Jacobian lens, and their answers.

A lens at layer l reads the residual stream h after block l as if the model ended there: softmax(W_U norm(J h)), with the
model's own final norm, unembedding and soft cap. In the logit lens J is the identity. In the Jacobian lens it is the mean
Jacobian of the last block's output in h over many texts, so that what later layers make of a direction is counted in to
first order. After the last block both are the model's own prediction.

Sources: logit lens, nostalgebraist 2020, "interpreting GPT: the logit lens"; Jacobian lens, Gurnee et al. 2026,
"Verbalizable Representations Form a Global Workspace in Language Models" (Transformer Circuits Thread).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float32, Int32

from dashboard.analysis.asks.ask import Ask
from dashboard.analysis.asks.edits import Direction
from dashboard.analysis.lenses.file import FittedLens, LensRecord
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


class LensKind(StrEnum):
    """How a layer's residual stream is brought to the final norm."""

    LOGIT = "logit"
    """As it is."""
    JACOBIAN = "jacobian"
    """Through the mean Jacobian of the layers that follow."""


@dataclass(frozen=True, eq=False)
class Lens:
    """The likeliest next tokens after each token, as each layer's residual stream gives them."""

    tokens: TokenizedPrompt
    kind: LensKind
    first: int
    """The position of the first token that was read; `n_read` of them follow each other."""
    ids: Int32[np.ndarray, "layers n_read top"]
    """Token ids, likeliest first; layers from the first block on. The last layer is the model's own prediction."""
    shares: Float32[np.ndarray, "layers n_read top"]
    """Probability of each."""
    kl: Float32[np.ndarray, "layers n_read"]
    """KL(the model's prediction || this layer's), nats."""
    texts: dict[int, str]
    """What each of the ids shows."""

    @property
    def agrees(self) -> Bool[np.ndarray, "layers n_read"]:
        """True where a layer's likeliest token is the model's own."""
        return self.ids[:, :, 0] == self.ids[-1, :, 0]


@dataclass(frozen=True)
class LensAsk(Ask[Lens]):
    """Read every layer of a prompt through a lens."""

    prompt: Prompt
    kind: LensKind = LensKind.LOGIT
    top: int = 5
    """Words kept for each token and layer."""
    first: int = 0
    """Position of the first token to be read."""
    most: int | None = None
    """Tokens to be read from there on; None for all."""
    fitted: str = ""
    """When the Jacobian lens that is meant was fitted: whoever remembers answers tells those of two lenses apart by it."""


@dataclass(frozen=True, eq=False)
class DirectionLens:
    """What a direction makes likelier and less likely, read at its own layer and at each one after it."""

    kind: LensKind
    layers: tuple[int, ...]
    likelier: Int32[np.ndarray, "layers top"]
    """Token ids, the largest effect first."""
    gains: Float32[np.ndarray, "layers top"]
    """What one unit of the direction adds to the logit of each beyond the mean of all tokens, without the final norm's division by
    the residual's size."""
    less_likely: Int32[np.ndarray, "layers top"]
    """Token ids, the most negative effect first."""
    losses: Float32[np.ndarray, "layers top"]
    texts: dict[int, str]
    """What each of the ids shows."""


@dataclass(frozen=True)
class DirectionLensAsk(Ask[DirectionLens]):
    """Read a latent's or another direction through a lens, at its own layer and at each one after it."""

    direction: Direction
    kind: LensKind = LensKind.LOGIT
    top: int = 5
    fitted: str = ""
    """See `LensAsk`."""


@dataclass(frozen=True, eq=False)
class LensCheck:
    """How near each layer of one text is to the model's own prediction. Only ordinary tokens are counted."""

    predicted: Int32[np.ndarray, " tokens"]
    """The model's likeliest next token."""
    top: Int32[np.ndarray, "layers tokens"]
    """The likeliest token of each layer."""
    kl: Float32[np.ndarray, "layers tokens"]
    """KL(the model's prediction || this layer's), nats."""
    top_elsewhere: Int32[np.ndarray, "layers tokens"]
    """The likeliest token of each layer at another token of the text: what agrees by chance."""
    kl_elsewhere: Float32[np.ndarray, "layers tokens"]


@dataclass(frozen=True)
class LensCheckAsk(Ask[LensCheck]):
    """Compare every layer of a row of token ids with the model's own prediction; a BOS is put before it."""

    row: tuple[int, ...]
    kind: LensKind = LensKind.LOGIT


@dataclass(frozen=True, eq=False)
class Jacobians:
    """The Jacobian of the last block's output in each earlier one's, averaged over the tokens of one text."""

    matrices: Float32[np.ndarray, "layers d_model d_model"] | None
    """One for each block but the last; None where the text cannot be used: it is
    too short, or the tokenizer reads it back as other tokens."""


@dataclass(frozen=True)
class JacobiansAsk(Ask[Jacobians]):
    """One text's share of a Jacobian lens: a forward pass, and a backward pass for each dimension of the residual stream."""

    row: tuple[int, ...]
    """Token ids of a document."""
    n_tokens: int
    """Of it, from its beginning, are read after a BOS."""


SKIPPED = 16
"""Tokens at the beginning of a text, with its BOS, that a fit leaves out, as TransformerLens does: attention sinks are unlike the rest."""


@dataclass(frozen=True, eq=False)
class KeepLensAsk(Ask[str]):
    """Read this model through this Jacobian lens from now on, on the machine that answers; the answer is where it is kept."""

    lens: FittedLens


@dataclass(frozen=True)
class LensRecordAsk(Ask[LensRecord | None]):
    """How the Jacobian lens of this model was made and how well it predicts; None if there is none."""
