"""Frozen requests to a Runner. An ask says everything that its answer depends on, and can be a key."""

import math
from dataclasses import dataclass

from dashboard.analysis.asks.ask import Ask, StreamAsk
from dashboard.analysis.asks.edits import Intervention
from dashboard.analysis.asks.weights import Dose
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.tokens import Prompt

MAX_NEW_TOKENS = 512
"""Longest text that a generation may be asked for."""
MIN_TEMPERATURE = 1e-6
"""Smallest temperature above 0: logits divided by less are not finite."""


MAX_SEED = 2**53 - 1
"""Largest seed: what JSON and browsers keep exactly."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int = 40
    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with at least this probability, above 0 to 1."""
    seed: int = 0
    """Every row draws from its own generator with this seed."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= MAX_NEW_TOKENS:
            raise BadAsk(f"{self.max_new_tokens} new tokens were asked for; 1 to {MAX_NEW_TOKENS} are possible.")
        if not (self.temperature == 0 or MIN_TEMPERATURE <= self.temperature < math.inf):
            raise BadAsk(f"The temperature is {self.temperature}; it must be 0 or more, and not between 0 and {MIN_TEMPERATURE:g}.")
        if not 0 < self.top_p <= 1:
            raise BadAsk(f"top-p is {self.top_p}; it must be above 0 and at most 1.")
        if not 0 <= self.seed <= MAX_SEED:
            raise BadAsk(f"The seed is {self.seed}; it must be 0 to {MAX_SEED}.")


@dataclass(frozen=True)
class Variant:
    """One row of a generation, with its own edits. No edits: the plain model."""

    label: str
    interventions: tuple[Intervention, ...] = ()
    seed: int | None = None
    """Instead of the sampling's."""


@dataclass(frozen=True)
class GenerationAsk(StreamAsk["TokenDelta"]):
    """Continue one prompt in several variants."""

    prompt: Prompt
    variants: tuple[Variant, ...]
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        labels = [variant.label for variant in self.variants]
        if len({*labels}) != len(labels):
            raise BadAsk(f"The variants need different labels; they are {', '.join(labels)}.")


@dataclass(frozen=True)
class ScoreAsk(Ask["TextScore"]):
    """Read a text that has been written, once with edits and once without, and compare the two models token by token."""

    prompt: Prompt
    """Its `continuation` is what is scored."""
    interventions: tuple[Intervention, ...] = ()
    top: int = 10
    """How many of the most likely next tokens are kept at each place."""
    words: tuple[str, ...] = ()
    """Words whose probability as the first new token is wanted."""


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
