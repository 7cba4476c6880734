"""The Engine: one thread owns the model; everybody else holds tickets.

Jobs wait by priority (interactive before study before training), then by arrival. A generation gives up its turn after
every token, and those that wait together are written together. Leaving a ticket's `with` block cancels it before its
next token. An error goes to whoever asked; the thread lives on. The model is loaded on the thread, at the first job.
"""

import heapq
import itertools
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
from dashboard.analysis.engine.last_answers import LastAnswers
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Place, Priority, Ticket
from dashboard.analysis.errors import AnalysisError, Cancelled, ModelClosed, QueueFull
from dashboard.analysis.model.costs import capture_bytes, generation_bytes, traced_bytes
from dashboard.analysis.model.generation import Step
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.system.memory import is_out_of_memory, refusal, release
from dashboard.analysis.system.room import admit

MAX_WAITING = 256
"""Jobs that may wait; one more is refused."""
_KEPT_ANSWERS = 48
_KEPT_TEXTS = 256

T = TypeVar("T")


class Engine:
    """Answers a Runner's questions from any thread, on one thread of its own."""

    def __init__(self, load: Callable[[], LocalRunner]) -> None:
        self._load = load
        self._runner: LocalRunner | None = None
        self._waiting: list[tuple[int, int, Ticket[Any]]] = []
        self._orders = itertools.count()
        self._changed = threading.Condition()
        self._closed = self._is_at_work = False
        self._answers, self._texts = LastAnswers(_KEPT_ANSWERS), LastAnswers(_KEPT_TEXTS)
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        with self.submit(lambda runner: iter([runner.describe()])) as ticket:
            return ticket.result()

    def capture(self, ask: CaptureAsk) -> Capture:
        """See `Runner.capture`. The same ask twice is answered from memory."""
        with self.ask_capture(ask) as ticket:
            return ticket.result()

    def trace(self, ask: TraceAsk) -> tuple[TracedRow, ...]:
        """See `Runner.trace`. The same ask twice is answered from memory."""
        with self.ask_trace(ask) as ticket:
            return ticket.result()

    def vocabulary(self, ask: VocabularyAsk) -> Vocabulary:
        """See `Runner.vocabulary`."""
        with self.submit(lambda runner: iter([runner.vocabulary(ask)])) as ticket:
            return ticket.result()

    def neighbours(self, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
        """See `Runner.neighbours`."""
        with self.submit(lambda runner: self._once(ask, lambda: runner.neighbours(ask))) as ticket:
            return ticket.result()

    def matches(self, ask: MatchAsk) -> MatchTable:
        """See `Runner.matches`. What is asked twice comes from the disk or is little work."""
        with self.submit(lambda runner: iter([runner.matches(ask)])) as ticket:
            return ticket.result()

    def generate(self, ask: GenerationAsk) -> Iterator[TokenDelta]:
        """See `Runner.generate`. Closing the iterator cancels."""
        with self.ask_generation(ask) as ticket:
            for item in ticket:
                if not isinstance(item, Place):
                    yield from item

    def score(self, ask: ScoreAsk) -> TextScore:
        """See `Runner.score`. The same ask twice is answered from memory."""
        with self.ask_score(ask) as ticket:
            return ticket.result()

    def promoted(self, ask: PromotedAsk) -> tuple[str, ...]:
        """See `Runner.promoted`."""
        with self.submit(lambda runner: self._once(ask, lambda: runner.promoted(ask))) as ticket:
            return ticket.result()

    def doses(self, interventions: tuple[Intervention, ...]) -> tuple[Dose, ...]:
        """See `Runner.doses`."""
        with self.submit(lambda runner: iter([runner.doses(interventions)])) as ticket:
            return ticket.result()

    def assemble(self, ask: AssembleAsk) -> NamedVector:
        """See `Runner.assemble`."""
        with self.submit(lambda runner: iter([runner.assemble(ask)])) as ticket:
            return ticket.result()

    def activity(self, ask: ActivityAsk) -> SampledActivity:
        """See `Runner.activity`."""

        def start(runner: LocalRunner) -> Iterator[SampledActivity]:
            longest = max(map(len, ask.rows), default=0)
            admit(traced_bytes(runner.model, len(ask.rows), longest, [0] * len(ask.saes)), runner.model.device)
            yield runner.activity(ask)

        with self.submit(start) as ticket:
            return ticket.result()

    def rescale(self, ask: RescaleAsk) -> Rescaled:
        """See `Runner.rescale`."""
        with self.submit(lambda runner: iter([runner.rescale(ask)])) as ticket:
            return ticket.result()

    def read(self, ask: ReadingAsk) -> Iterator[ReadChunk]:
        """See `Runner.read`. Closing the iterator of this and the next three cancels."""
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

    def ask_generation(self, ask: GenerationAsk, priority: Priority = Priority.INTERACTIVE) -> Ticket[Step]:
        """A ticket for a generation: one new token for each row a turn.

        An ask that was written to its end lately comes at once. Its rows are always written together, also where one of
        them is known from another ask: in bfloat16 the same text again needs the same company.
        """

        def start(runner: LocalRunner) -> Iterator[Step]:
            if ask in self._texts:
                yield self._texts.recall(ask)
                return
            n_prompt = len(runner.tokens(ask.prompt))
            admit(generation_bytes(runner.model, n_prompt, ask.sampling.max_new_tokens, len(ask.variants)), runner.model.device)
            written: list[TokenDelta] = []
            for step in runner.write(ask, lane=priority):
                written += step
                yield step
            self._texts.keep(ask, tuple(written))

        return self.submit(start, priority)

    def ask_score(self, ask: ScoreAsk, priority: Priority = Priority.INTERACTIVE) -> Ticket[TextScore]:
        """A ticket for a score."""

        def start(runner: LocalRunner) -> Iterator[TextScore]:
            tokens = len(runner.tokens(ask.prompt))
            admit(generation_bytes(runner.model, tokens, 0, 2, len(ask.prompt.continuation) + 1), runner.model.device)
            # Thousands of a study's scores would push out what pages come back to.
            return self._once(ask, lambda: runner.score(ask)) if priority is Priority.INTERACTIVE else iter([runner.score(ask)])

        return self.submit(start, priority)

    def ask_trace(self, ask: TraceAsk) -> Ticket[tuple[TracedRow, ...]]:
        """A ticket for a trace."""

        def start(runner: LocalRunner) -> Iterator[tuple[TracedRow, ...]]:
            widths = [runner.catalog.get(latent.sae).n_latents for latent in ask.latents]
            admit(traced_bytes(runner.model, len(ask.rows), max(map(len, ask.rows), default=0), widths), runner.model.device)
            return self._once(ask, lambda: runner.trace(ask))

        return self.submit(start)

    def ask_capture(self, ask: CaptureAsk, priority: Priority = Priority.INTERACTIVE) -> Ticket[Capture]:
        """A ticket for a capture, for pages that show their place in the queue."""

        def start(runner: LocalRunner) -> Iterator[Capture]:
            tokens = runner.tokens(ask.prompt)
            widths = [runner.catalog.get(sae).n_latents for sae in ask.saes]
            admit(capture_bytes(runner.model, len(tokens), widths, ask.fidelity), runner.model.device)
            return self._once(ask, lambda: runner.capture(ask))

        return self.submit(start, priority)

    def submit(self, start: Callable[[LocalRunner], Iterator[T]], priority: Priority = Priority.INTERACTIVE) -> Ticket[T]:
        """Queue a job. `start` runs on the engine's thread; each item of its iterator is one turn.

        Raises:
            QueueFull: if too many wait.
            ModelClosed: if the engine was closed.
        """
        with self._changed:
            if self._closed:
                raise ModelClosed
            if len(self._waiting) >= MAX_WAITING:
                raise QueueFull(len(self._waiting))
            ticket = Ticket(start, priority, next(self._orders), self.ahead_of)
            heapq.heappush(self._waiting, (ticket.priority, ticket.order, ticket))
            self._changed.notify()
        return ticket

    def ahead_of(self, ticket: Ticket[Any]) -> int:
        """How many waiting jobs go before this one."""
        with self._changed:
            return sum((priority, order) < (ticket.priority, ticket.order) for priority, order, _ in self._waiting)

    @property
    def is_idle(self) -> bool:
        """True while nobody waits for anything."""
        with self._changed:
            return not self._waiting and not self._is_at_work

    def renew(self, catalog: Catalog) -> None:
        """Answer for the SAEs of another catalogue from now on; what is loaded stays."""
        with self.submit(lambda runner: iter([runner.renew(catalog)])) as ticket:
            ticket.result()

    def close(self) -> None:
        """Stop the thread after its current step and let go of the model; whoever waits hears Cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._runner = None
        self._answers.clear()
        self._texts.clear()
        release()

    def _stream(self, start: Callable[[LocalRunner], Iterator[T]]) -> Iterator[T]:
        with self.submit(start) as ticket:
            for item in ticket:
                if not isinstance(item, Place):
                    yield item

    def _once(self, ask: object, answer: Callable[[], T]) -> Iterator[T]:
        """The answer to an ask, from memory if it was given lately. On the engine's thread only."""
        if ask not in self._answers:
            self._answers.keep(ask, answer())
        yield self._answers.recall(ask)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    for _, _, ticket in self._waiting:
                        ticket.fail(Cancelled())
                    return
                _, _, ticket = heapq.heappop(self._waiting)
                self._is_at_work = True
            is_open = self._turn(ticket)
            with self._changed:
                self._is_at_work = False
                if is_open:
                    ticket.order = next(self._orders)
                    heapq.heappush(self._waiting, (ticket.priority, ticket.order, ticket))
            del ticket

    def _turn(self, ticket: Ticket[Any]) -> bool:
        try:
            if self._runner is None:
                self._runner = self._load()
            return ticket.advance(self._runner)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked; this thread must live on
            if isinstance(error, AnalysisError) or not is_out_of_memory(error):
                ticket.fail(error)
            else:
                ticket.leave()
                ticket.fail(refusal(error, self._runner.model.device if self._runner else None))
                if self._runner:
                    self._runner.release_memory()
        return False
