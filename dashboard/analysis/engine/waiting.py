"""StudyRunner: an engine's answers for work that can wait, and that can be stopped from outside."""

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from dashboard.analysis.asks.ask import Ask, StreamAsk
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Place, Priority, Ticket
from dashboard.analysis.errors import Cancelled

A = TypeVar("A")
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
        """Cancel what is under way and refuse what comes; its callers get Cancelled."""
        with self._lock:
            self._stopped = True
            for ticket in self._open:
                ticket.cancel()

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        return self._only(self._engine.submit(lambda runner: iter([runner.describe()]), Priority.STUDY))

    def ask(self, ask: Ask[A]) -> A:
        """See `Runner.ask`."""
        return self._only(self._engine.ticket(ask, Priority.STUDY))

    def stream(self, ask: StreamAsk[A]) -> Iterator[A]:
        """See `Runner.stream`."""
        for turn in self._items(self._engine.ticket(ask, Priority.STUDY)):
            yield from turn

    def work(self, steps: Callable[[LocalRunner], Iterator[T]], priority: Priority = Priority.STUDY) -> Generator[T, None, None]:
        """Work that needs the model itself and is no ask, a step a turn."""
        yield from self._items(self._engine.submit(steps, priority))

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
