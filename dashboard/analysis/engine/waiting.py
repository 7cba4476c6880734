"""StudyRunner: an engine's answers for work that can wait, and that can be stopped from outside."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

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
    each_of,
)
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.asks.weights import AssembleAsk, Dose, Neighbour, NeighbourAsk, PromotedAsk, Vocabulary, VocabularyAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Place, Priority, Ticket
from dashboard.analysis.errors import Cancelled

T = TypeVar("T")


class StudyRunner:
    """A `Runner` whose questions go to an engine after everything interactive.

    Made for one study: once stopped it answers nothing more. Closing the iterator of a generation, or `stop` from any
    thread, ends the generation before its next token.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._stopped = False
        self._open: set[Ticket[Any]] = set()

    def stop(self) -> None:
        """Cancel what is under way and refuse what comes; whoever asked hears Cancelled."""
        with self._lock:
            self._stopped = True
            for ticket in self._open:
                ticket.cancel()

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        return self._answer(lambda runner: runner.describe())

    def capture(self, ask: CaptureAsk) -> Capture:
        """See `Runner.capture`."""
        return self._only(self._engine.ask_capture(ask, Priority.STUDY))

    def trace(self, ask: TraceAsk) -> tuple[TracedRow, ...]:
        """See `Runner.trace`."""
        return self._answer(lambda runner: runner.trace(ask))

    def vocabulary(self, ask: VocabularyAsk) -> Vocabulary:
        """See `Runner.vocabulary`."""
        return self._answer(lambda runner: runner.vocabulary(ask))

    def neighbours(self, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
        """See `Runner.neighbours`."""
        return self._answer(lambda runner: runner.neighbours(ask))

    def matches(self, ask: MatchAsk) -> MatchTable:
        """See `Runner.matches`."""
        return self._answer(lambda runner: runner.matches(ask))

    def generate(self, ask: GenerationAsk) -> Iterator[TokenDelta]:
        """See `Runner.generate`."""
        return each_of(self._items(self._engine.ask_generation(ask, Priority.STUDY)))

    def score(self, ask: ScoreAsk) -> TextScore:
        """See `Runner.score`."""
        return self._only(self._engine.ask_score(ask, Priority.STUDY))

    def doses(self, interventions: tuple[Intervention, ...]) -> tuple[Dose, ...]:
        """See `Runner.doses`."""
        return self._answer(lambda runner: runner.doses(interventions))

    def promoted(self, ask: PromotedAsk) -> tuple[str, ...]:
        """See `Runner.promoted`."""
        return self._answer(lambda runner: runner.promoted(ask))

    def assemble(self, ask: AssembleAsk) -> NamedVector:
        """See `Runner.assemble`."""
        return self._answer(lambda runner: runner.assemble(ask))

    def activity(self, ask: ActivityAsk) -> SampledActivity:
        """See `Runner.activity`."""
        return self._answer(lambda runner: runner.activity(ask))

    def rescale(self, ask: RescaleAsk) -> Rescaled:
        """See `Runner.rescale`."""
        return self._answer(lambda runner: runner.rescale(ask))

    def read(self, ask: ReadingAsk) -> Iterator[ReadChunk]:
        """See `Runner.read`."""
        return self._stream(lambda runner: runner.read(ask))

    def answer(self, ask: AnsweringAsk) -> Iterator[Answer]:
        """See `Runner.answer`."""
        return each_of(self._stream(lambda runner: runner.answer_steps(ask)))

    def weigh(self, ask: ChoiceAsk) -> Iterator[ChoiceScores]:
        """See `Runner.weigh`."""
        return each_of(self._stream(lambda runner: runner.weigh_steps(ask)))

    def attend(self, ask: AttentionAsk) -> Iterator[AttentionChunk]:
        """See `Runner.attend`."""
        return self._stream(lambda runner: runner.attend(ask))

    def _stream(self, start: Callable[[LocalRunner], Iterator[T]]) -> Iterator[T]:
        return self._items(self._engine.submit(start, Priority.STUDY))

    def _answer(self, answer: Callable[[LocalRunner], T]) -> T:
        return self._only(self._engine.submit(lambda runner: iter([answer(runner)]), Priority.STUDY))

    def _only(self, ticket: Ticket[T]) -> T:
        for item in self._items(ticket):
            return item
        raise Cancelled

    def _items(self, ticket: Ticket[T]) -> Iterator[T]:
        with ticket:
            with self._lock:
                if self._stopped:
                    raise Cancelled
                self._open.add(ticket)
            try:
                for item in ticket:
                    # A cancelled ticket may wait long for the turn in which it ends: its asker does not.
                    if self._stopped:
                        raise Cancelled
                    if not isinstance(item, Place):
                        yield item
            finally:
                with self._lock:
                    self._open.discard(ticket)
