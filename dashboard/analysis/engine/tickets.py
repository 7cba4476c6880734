"""Tickets: what a caller holds while the engine works for it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import Cancelled

_POLL_S = 0.2

T = TypeVar("T")


class Priority(IntEnum):
    """Smaller goes first."""

    INTERACTIVE = 0
    STUDY = 1
    TRAINING = 2


@dataclass(frozen=True)
class Place:
    """A ticket's place while it waits."""

    ahead: int
    """Jobs that will have a turn before this one."""


class _End:
    """Marks the end of a job's items."""


class Ticket(Generic[T]):
    """A job in the engine. Use it in `with`; iterate it for `Place`s and answers, or ask for its one `result()`."""

    def __init__(
        self, start: Callable[[LocalRunner], Iterator[T]], priority: Priority, order: int, ahead: Callable[["Ticket[T]"], int]
    ) -> None:
        self._start, self._ahead = start, ahead
        self.priority, self.order = priority, order
        self._steps: Iterator[T] | None = None
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._cancelled = threading.Event()
        self._ended = False

    @classmethod
    def answered(cls, item: T) -> "Ticket[T]":
        """A ticket whose one answer is already known: no work is queued."""
        ticket = cls(lambda runner: iter(()), Priority.INTERACTIVE, 0, lambda ticket: 0)
        ticket._items.put(item)
        ticket._items.put(_End)
        return ticket

    def __enter__(self) -> "Ticket[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    def __iter__(self) -> Iterator[T | Place]:
        """Answers as they come; while none comes, this ticket's `Place` five times a second.

        Raises:
            AnalysisError: whatever went wrong on the engine's thread.
        """
        while not self._ended:
            try:
                item = self._items.get(timeout=_POLL_S)
            except Empty:
                yield Place(self._ahead(self))
                continue
            if isinstance(item, BaseException):
                self._ended = True
                raise item
            if item is _End:
                self._ended = True
                return
            yield item

    def result(self) -> T:
        """Wait for the one answer of a job that has one."""
        for item in self:
            if not isinstance(item, Place):
                return item
        raise Cancelled

    def cancel(self) -> None:
        """Stop before the next step. Does nothing to a job that has ended."""
        self._cancelled.set()

    def advance(self, runner: LocalRunner) -> bool:
        """One step, on the engine's thread. True while there is more to do."""
        if self._cancelled.is_set():
            self.fail(Cancelled())
            return False
        if self._steps is None:
            self._steps = self._start(runner)
        try:
            self._items.put(next(self._steps))
        except StopIteration:
            self._items.put(_End)
            return False
        return True

    def leave(self) -> None:
        """Let go of what the job holds in the runner, before anybody else's turn."""
        steps, self._steps = self._steps, None
        close = getattr(steps, "close", None)
        if close is not None:
            close()

    def fail(self, error: BaseException) -> None:
        """End with an error for the caller. The traceback is dropped: it would keep tensors alive."""
        self.leave()
        self._items.put(error.with_traceback(None))
