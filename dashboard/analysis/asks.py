"""Frozen requests to a Runner. An ask says everything that its answer depends on, and can be a key."""

from dataclasses import dataclass
from enum import StrEnum

from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenSpan


@dataclass(frozen=True)
class CaptureAsk:
    """Read the sites of some SAEs on one prompt and encode them."""

    prompt: Prompt
    saes: tuple[SaeId, ...]
    fidelity: bool = False
    """True: also measure, for each SAE, what the model loses when it runs on the SAE's reconstruction."""


@dataclass(frozen=True)
class NeighbourAsk:
    """The latents of other SAEs whose decoder rows point most nearly the way of one latent's."""

    latent: LatentId
    among: tuple[SaeId, ...]
    top: int = 1
    """How many of each SAE."""


class Op(StrEnum):
    """What an intervention does to a latent; the arithmetic is in `model/edits.py`."""

    ADD = "add"
    """Add `amount` times the decoder row."""
    CLAMP = "clamp"
    """Set the latent's activation to `amount`, keeping the SAE's error."""
    SCALE = "scale"
    """Multiply the latent's activation by `amount`, keeping the SAE's error."""
    ABLATE = "ablate"
    """Set the latent's activation to 0, keeping the SAE's error; `amount` is not used."""


class Where(StrEnum):
    """Which tokens are edited."""

    PROMPT = "prompt"
    GENERATED = "generated"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True)
class Intervention:
    """One edit of the residual stream along one latent."""

    latent: LatentId
    op: Op
    amount: float = 0.0
    """In units of the latent's activation."""
    where: Where | TokenSpan = Where.EVERYWHERE


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int = 40
    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with at least this probability, 0 to 1."""
    seed: int = 0
    """Every row draws from its own generator with this seed."""


@dataclass(frozen=True)
class Variant:
    """One row of a generation, with its own edits. No edits: the plain model."""

    label: str
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True)
class GenerationAsk:
    """Continue one prompt in several variants."""

    prompt: Prompt
    variants: tuple[Variant, ...]
    sampling: Sampling = Sampling()
