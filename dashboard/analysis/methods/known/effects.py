"""What comes of the two further parts of a study: causality and uncertainty. Frozen; every share has its counts."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from dashboard.analysis.asks.many_texts import Part
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.right_or_wrong import Detector
from dashboard.analysis.names import LatentId, Site
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.record import RunRecord

CAUSALITY, UNCERTAINTY = "known-unknown-causality", "known-unknown-uncertainty"
"""Kinds of results in the store."""


AMOUNTS = (0.25, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class CausalitySettings:
    """How latents are tried out. Empty latents take the best of the study."""

    known: str = option(
        "", "Latent for known entities, RELEASE/NAME/INDEX; default: the best of the study.", label="Known latent (empty: the best)"
    )
    unknown: str = option(
        "", "Latent for unknown entities, RELEASE/NAME/INDEX; default: the best of the study.", label="Unknown latent (empty: the best)"
    )
    n_questions: int = option(
        20,
        "Questions of the test split, for each type and side.",
        flag="--questions",
        low=1,
        high=500,
        label="Questions per type and side",
    )
    amount: float | None = option(
        None,
        "How much of a direction is added, in multiples of the mean residual norm at its site; default: tuned on validation.",
        label="Amount added, × mean residual norm (empty: tuned)",
    )
    amounts: tuple[float, ...] = option(AMOUNTS, "Amounts tried on the validation split, separated by commas; ignored with --amount.")
    n_tuning: int = option(6, "Questions of the validation split, for each type and side.", flag="--tuning", low=1)
    attention_amount: float = option(0.5, "The amount for attention.")
    n_random: int = option(10, "Random latents of the same SAE.", flag="--random", low=2, high=100, label="Random latents")
    new_tokens: int = option(30, "Longest answer, in tokens.", low=1, high=256, label="New tokens")
    part: Part = option(
        Part.MARKED_LAST_ON,
        "Which tokens of the questions are edited; for attention and self-report it is the last one of the name alone.",
        label="Tokens to add to",
    )
    chat: bool = option(True, "Ask questions as chat messages, which a model may decline to answer.", label="Ask as a chat message")
    seed: int = option(0, "Seed of all random choices.", low=0)

    def __post_init__(self) -> None:
        if not self.amounts or min(self.amounts) <= 0 or self.n_tuning < 1:
            raise BadAsk(f"{self.n_tuning} questions and the amounts {self.amounts} are to be tried; at least 1 each, amounts above 0.")
        if not 1 <= self.n_questions <= 500 or not 2 <= self.n_random <= 100 or not 1 <= self.new_tokens <= 256:
            raise BadAsk(
                f"{self.n_questions} questions, {self.n_random} random latents and {self.new_tokens} new tokens were asked for; "
                "1 to 500, 2 to 100 and 1 to 256 are possible."
            )

    def with_amount(self, amount: float | None, seed: int = 0) -> "CausalitySettings":
        """The same with another amount, for attention too if one is given, and another seed."""
        return replace(self, amount=amount, attention_amount=self.attention_amount if amount is None else amount, seed=seed)

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "part": self.part.value, "amounts": list(self.amounts)}


CAUSALITY_PREVIEW = CausalitySettings(n_questions=4, n_random=3, new_tokens=16, n_tuning=2, amounts=(0.5, 1.0, 2.0))


class Condition(StrEnum):
    """What was done to the model."""

    ORIGINAL = "original"
    KNOWN = "+ known latent"
    UNKNOWN = "+ unknown latent"
    RANDOM = "+ random latent"
    WITHOUT = "unknown latent taken out of the weights"


@dataclass(frozen=True)
class AmountTrial:
    """What one amount does on the validation split."""

    amount: float
    """0 for the model as it is."""
    condition: Condition
    refused: Share
    right: Share
    readable: Share
    """Answers that read like text."""


@dataclass(frozen=True)
class Generation:
    """One answer under one condition."""

    condition: Condition
    latent: str | None
    """What was added or taken out."""
    kind: str
    name: str
    knowledge: Knowledge
    attribute: str
    prompt: str
    right: tuple[str, ...]
    text: str
    verdict: Verdict
    """Correct, refusal, or error (which is a hallucination); after overruling."""
    graded: Verdict
    """By the matchers."""

    @property
    def place(self) -> tuple[str, str, str, None]:
        """What an `Overrule` of it names."""
        return (self.kind, self.name, f"{self.attribute} / {self.condition} / {self.latent or ''}", None)


@dataclass(frozen=True)
class RatePoint:
    """How answers of one type came out under one condition."""

    kind: str
    knowledge: Knowledge
    condition: Condition
    refused: Share
    """Over all random latents together for RANDOM."""
    hallucinated: Share
    """Neither refused nor right."""
    of_latents: tuple[tuple[str, int, int, int], ...] = ()
    """For RANDOM: latent, refusals, hallucinations, answers of each."""

    @property
    def refused_each(self) -> tuple[float, ...]:
        """Rate of refusal under each random latent."""
        return tuple(refused / n for _, refused, _, n in self.of_latents if n)

    @property
    def hallucinated_each(self) -> tuple[float, ...]:
        """Rate of hallucination under each random latent."""
        return tuple(wrong / n for _, _, wrong, n in self.of_latents if n)


@dataclass(frozen=True)
class SelfReport:
    """Log-odds of "Yes" against "No" to the question whether the model is sure to know an entity."""

    kind: str
    knowledge: Knowledge
    condition: Condition
    n: int
    mean: float
    """Nats; above 0 leans to Yes."""
    sd: float | None
    """Over entities, n - 1; None below 2."""


@dataclass(frozen=True)
class HeadChange:
    """What one head's attention from the last token to the name's last token does."""

    layer: int
    head: int
    original: float
    """Mean weight, 0 to 1."""
    steered: float
    difference: float
    """Mean of steered - original over the prompts."""
    sd: float | None
    n: int


@dataclass(frozen=True)
class AttentionTest:
    """A latent's effect on attention to the name, against that of random latents."""

    side: Knowledge
    """Of the latent; it is added where the other side's entities are asked about."""
    latent: LatentId
    random: tuple[LatentId, ...]
    """As frequent on train entities, of the same SAE."""
    n_prompts: int
    pooled: float
    """Mean difference over all heads from the latent's layer on and all prompts."""
    random_pooled: tuple[float, ...]
    """The same for each random latent."""
    p: tuple[float, ...]
    """Welch's t, one-sided, against each random latent: for a known latent that attention rises more, for an unknown that it falls more."""
    heads: tuple[HeadChange, ...]
    """Every head from the latent's layer on."""

    @property
    def n_significant(self) -> Share:
        """Random latents against which p is below 5 %."""
        return Share(sum(p < 0.05 for p in self.p), len(self.p))


@dataclass(frozen=True)
class Causality:
    """What adding the chosen latents, or taking one out, does."""

    study: str
    """Key of the study."""
    key: str
    settings: CausalitySettings
    """With the latents and the amount that were used."""
    record: RunRecord
    known: LatentId
    unknown: LatentId
    random: tuple[LatentId, ...]
    """Half of them as frequent as the known latent, half as the unknown one, each of that one's SAE."""
    doses: tuple[tuple[str, float], ...]
    """For each latent the length of what is added, over the mean residual norm."""
    rates: tuple[RatePoint, ...]
    generations: tuple[Generation, ...]
    self_reports: tuple[SelfReport, ...]
    attention: tuple[AttentionTest, ...]
    tuning: tuple[AmountTrial, ...]
    """By which the amount was chosen; empty if it was given."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class UncertaintySettings:
    """How latents before right and wrong answers are compared."""

    n_questions: int = option(
        300,
        "Questions per type, drawn by entity: all attributes of an entity that has right answers.",
        flag="--questions",
        low=1,
        high=100_000,
        label="Questions per type",
    )
    new_tokens: int = option(32, "Longest answer, in tokens.", low=1, high=256, label="New tokens")
    chat: bool = option(True, "Ask questions as chat messages.", label="Ask as a chat message")
    n_chosen: int = option(10, "Number of latents to choose.", flag="--latents", low=1)
    seed: int = option(0, "Seed of all random choices.", low=0)

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class AnswerTally:
    """Greedy answers of one type."""

    kind: str
    n_right: int
    n_wrong: int
    n_refused: int
    """Left out of everything else."""


@dataclass(frozen=True)
class UncertaintyLatent:
    """A latent that is stronger before wrong answers, chosen on train."""

    latent: LatentId
    site: Site
    rank: int
    score: float
    """The smallest -t over the types on train."""
    t: tuple[tuple[str, float], ...]
    """Welch's t, right against wrong, on train, type by type."""
    n_train: tuple[tuple[str, int, int], ...]
    """Right and wrong answers of each type on train."""
    figures: Detector | None
    """None where validation or test lacks a class."""


@dataclass(frozen=True)
class Uncertainty:
    """What tells wrong answers before they are given."""

    study: str
    key: str
    settings: UncertaintySettings
    record: RunRecord
    tallies: tuple[AnswerTally, ...]
    latents: tuple[UncertaintyLatent, ...]
    """First the best."""
    linear: Detector | None
    """Logistic regression on the residual at the best latent's site."""
    test: tuple[tuple[str, str, str, bool, float], ...]
    """Each test answer: type, name, attribute, whether it is wrong, activation of the best latent."""
    promoted: tuple[str, ...]
    """Tokens that the best latent promotes."""
    notes: tuple[str, ...]
