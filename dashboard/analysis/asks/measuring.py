"""How good SAEs are on the held-out documents of a text."""

from dataclasses import dataclass

from dashboard.analysis.asks.ask import StreamAsk
from dashboard.analysis.names import SaeId


@dataclass(frozen=True)
class Prefix:
    """Figures of the first latents of an SAE, used alone."""

    width: int
    l0: float
    fvu: float
    ce_recovered: float | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of one SAE; shares are 0 to 1."""

    l0: float
    fvu: float
    ce_recovered: float | None
    """None where the model does no worse without what the site carries."""
    ce_clean: float
    """Nats a token, as are the next two."""
    ce_spliced: float
    ce_ablated: float
    dead_share: float
    """Share of latents that never fired on `n_tokens`."""
    decoder_cosine: float
    n_tokens: int
    """Tokens behind l0, fvu and dead_share."""
    n_loss_tokens: int
    """Tokens behind the cross-entropies."""
    prefixes: tuple[Prefix, ...] = ()
    """Of a Matryoshka SAE, narrowest first."""


@dataclass(frozen=True)
class Absorption:
    """Means over the letters that the model says linearly; None if there are none."""

    n_letters: int
    probe_f1: float | None
    """Of the probes on activations."""
    latents_per_letter: float | None
    """1 is unsplit."""
    main_f1: float | None
    """Of the probes on the main latents."""
    absorption: float | None
    """Mean fraction of the letter's direction that other latents carry, 0 to 1."""
    max_cosine: float
    """Mean over all latents of the largest cosine with another decoder row: high where latents are compositions of others."""
    n_tokens: int


@dataclass(frozen=True)
class Measured:
    """A turn of an `EvaluationAsk` or an `AbsorptionAsk`."""

    share: float
    """Of the work that is done, 0 to 1."""
    evaluations: tuple[tuple[SaeId, Evaluation], ...] = ()
    absorptions: tuple[tuple[SaeId, Absorption], ...] = ()


@dataclass(frozen=True)
class EvaluationAsk(StreamAsk[Measured]):
    """What some SAEs keep of the model, and how many latents they use for it. See `sae.measure.evaluation`."""

    saes: tuple[SaeId, ...]
    text: tuple[str, ...]
    """Files, folders or hf:DATASET, as the machine that answers knows them."""
    n_tokens: int = 300_000
    """Held-out tokens for L0, FVU and dead share."""
    n_loss_tokens: int = 30_000
    """Of these, how many for CE recovered."""
    dialogues_as_chat: bool = False


@dataclass(frozen=True)
class AbsorptionAsk(StreamAsk[Measured]):
    """How far some SAEs split and absorb the first letter of a word. See `sae.measure.absorption`."""

    saes: tuple[SaeId, ...]
    text: tuple[str, ...]
    n_tokens: int = 150_000
