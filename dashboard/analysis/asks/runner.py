"""The Runner: the questions that methods may put to a model. Every method is these and numpy."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from dashboard.analysis.asks.capture import Capture, CaptureAsk, TraceAsk, TracedRow
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, RescaleAsk, Rescaled, SampledActivity
from dashboard.analysis.asks.edits import Intervention, NamedVector
from dashboard.analysis.asks.generation import GenerationAsk, ScoreAsk, TextScore, TokenDelta
from dashboard.analysis.asks.many_texts import (
    Answer,
    AnsweringAsk,
    AttentionAsk,
    AttentionChunk,
    ChoiceAsk,
    ChoiceScores,
    ReadChunk,
    ReadingAsk,
)
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.asks.weights import AssembleAsk, Dose, Neighbour, NeighbourAsk, PromotedAsk, Vocabulary, VocabularyAsk


@runtime_checkable
class Runner(Protocol):
    """Answered in the caller's thread by `LocalRunner` and on the device's own thread by `Engine`, with equal numbers."""

    def describe(self) -> ModelCard:
        """The model that answers; loads it if need be."""
        ...

    def capture(self, ask: CaptureAsk) -> Capture:
        """Read sites, encode them, keep what fires."""
        ...

    def trace(self, ask: TraceAsk) -> tuple[TracedRow, ...]:
        """The activations of some latents on each token of several rows."""
        ...

    def vocabulary(self, ask: VocabularyAsk) -> Vocabulary:
        """Texts and embedding rows of some tokens, without reading anything: what word search compares words by."""
        ...

    def neighbours(self, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
        """Decoder rows nearest to one latent's, by SAE in the order asked, nearest first."""
        ...

    def matches(self, ask: MatchAsk) -> MatchTable:
        """Counterparts of one SAE's latents in another."""
        ...

    def generate(self, ask: GenerationAsk) -> Iterator[TokenDelta]:
        """Continue a prompt in several rows, each with its own edits and random generator."""
        ...

    def score(self, ask: ScoreAsk) -> TextScore:
        """Read a written text with and without edits, and compare the two token by token."""
        ...

    def doses(self, interventions: tuple[Intervention, ...]) -> tuple[Dose, ...]:
        """What each intervention amounts to, without reading a prompt."""
        ...

    def promoted(self, ask: PromotedAsk) -> tuple[str, ...]:
        """The tokens that a direction makes likelier, most first."""
        ...

    def assemble(self, ask: AssembleAsk) -> NamedVector:
        """A vector put together from decoder rows."""
        ...

    def activity(self, ask: ActivityAsk) -> SampledActivity:
        """What all latents of some SAEs do at chosen tokens of several rows."""
        ...

    def rescale(self, ask: RescaleAsk) -> Rescaled:
        """Rescale latents at one token of a row in several ways, run what follows, and read some latents there."""
        ...

    def read(self, ask: ReadingAsk) -> Iterator[ReadChunk]:
        """What some SAEs give at one token of each of many short texts, a batch at a time, shortest first."""
        ...

    def answer(self, ask: AnsweringAsk) -> Iterator[Answer]:
        """Greedy answers and samples for many prompts, each when it has ended."""
        ...

    def weigh(self, ask: ChoiceAsk) -> Iterator[ChoiceScores]:
        """How likely the choices after each of many prompts are."""
        ...

    def attend(self, ask: AttentionAsk) -> Iterator[AttentionChunk]:
        """How much each head attends from the last token of many texts to their marked part."""
        ...
