"""The Engine: one thread owns the model; all other code holds tickets.

Jobs wait by priority (interactive before study before training), then by arrival. A generation gives up its turn after
every token, and those that wait together are written together. Leaving a ticket's `with` block cancels it before its
next token. An error goes to whoever asked; the thread lives on. The model is loaded on the thread, at the first job.
What was asked lately is answered from memory, in the thread that asks and without a turn: answers are frozen.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from dashboard.analysis.asks.ask import AnyAsk, Ask, StreamAsk
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.engine.handlers import HANDLERS
from dashboard.analysis.engine.last_answers import LastAnswers
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Place, Priority, Ticket
from dashboard.analysis.errors import AnalysisError, Cancelled, ModelClosed, QueueFull
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.system.memory import is_out_of_memory, refusal, release

MAX_WAITING = 256
"""Jobs that may wait; one more is refused."""

A = TypeVar("A")
T = TypeVar("T")


class Engine:
    """A `Runner` that may be asked from any thread, and answers on one thread of its own."""

    def __init__(self, load: Callable[[], LocalRunner]) -> None:
        self._load = load
        self._runner: LocalRunner | None = None
        self._waiting: list[tuple[int, int, Ticket[Any]]] = []
        self._orders = itertools.count()
        self._changed = threading.Condition()
        self._closed = self._is_at_work = False
        self._memories: dict[type[AnyAsk], LastAnswers] = {}
        self._remembering = threading.Lock()
        self._card: ModelCard | None = None
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def describe(self) -> ModelCard:
        """See `Runner.describe`. Asked once: the model stays the same."""
        if self._card is None:
            with self.submit(lambda runner: iter([runner.describe()])) as ticket:
                self._card = ticket.result()
        return self._card

    def ask(self, ask: Ask[A]) -> A:
        """See `Runner.ask`."""
        with self.ticket(ask) as ticket:
            return ticket.result()

    def stream(self, ask: StreamAsk[A]) -> Iterator[A]:
        """See `Runner.stream`."""
        with self.ticket(ask) as ticket:
            for turn in ticket:
                if not isinstance(turn, Place):
                    yield from turn

    @overload
    def ticket(self, ask: Ask[A], priority: Priority = ...) -> Ticket[A]: ...
    @overload
    def ticket(self, ask: StreamAsk[A], priority: Priority = ...) -> Ticket[tuple[A, ...]]: ...
    def ticket(self, ask: AnyAsk, priority: Priority = Priority.INTERACTIVE) -> Ticket[Any]:
        """A ticket for an answer, for whoever shows a place in the queue; of a stream, for its turns: tuples of items.

        What is remembered is in the ticket already: nothing is queued. A stream that was answered to its end lately comes in
        one turn. The rows of a generation are always written
        together, also where one of them is known from another ask: in bfloat16 the same text again needs the same company.
        """
        if (known := self._recall(ask)) is not None:
            return Ticket.answered(known[0])
        if isinstance(ask, Ask):
            return self.submit(lambda runner: self._answer(runner, ask, priority), priority)
        return self.submit(lambda runner: self._turns(runner, ask, priority), priority)

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
        """True while no request is waiting or running."""
        with self._changed:
            return not self._waiting and not self._is_at_work

    def renew(self, catalog: Catalog) -> None:
        """Answer for the SAEs of another catalogue from now on; what is loaded stays, what was answered before is forgotten."""

        def start(runner: LocalRunner) -> Iterator[None]:
            runner.renew(catalog)
            self._forget()
            yield

        with self.submit(start) as ticket:
            ticket.result()

    def close(self) -> None:
        """Stop the thread after its current step and let go of the model; waiting callers get Cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._runner = self._card = None
        self._forget()
        release()

    def _answer(self, runner: LocalRunner, ask: Ask[A], priority: Priority) -> Iterator[A]:
        if (known := self._recall(ask)) is not None:  # somebody else's turn may have answered it since it was queued
            yield known[0]
            return
        answer = runner.ask(ask)
        self._keep(ask, answer, priority)
        yield answer

    def _turns(self, runner: LocalRunner, ask: StreamAsk[A], priority: Priority) -> Iterator[tuple[A, ...]]:
        if (known := self._recall(ask)) is not None:
            yield known[0]
            return
        items: list[A] = []
        for turn in runner.turns(ask, lane=priority):
            items += turn
            yield turn
        self._keep(ask, tuple(items), priority)

    def _recall(self, ask: AnyAsk) -> tuple[Any] | None:
        """The answer that is remembered, alone in a tuple; None for none."""
        with self._remembering:
            memory = self._memories.get(type(ask))
            return (memory.recall(ask),) if memory is not None and ask in memory else None

    def _keep(self, ask: AnyAsk, answer: object, priority: Priority) -> None:
        """Remember an answer of the kinds that are worth it.

        What is asked interactively is kept: thousands of a study's answers would push out what pages come back to.
        """
        n_kept = HANDLERS[type(ask)].n_kept
        if n_kept and priority is Priority.INTERACTIVE:
            with self._remembering:
                self._memories.setdefault(type(ask), LastAnswers(n_kept)).keep(ask, answer)

    def _forget(self) -> None:
        with self._remembering:
            self._memories.clear()

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
