"""The Runner answers asks. Its interface is asks and numpy."""

from collections.abc import Iterator
from typing import Protocol, TypeVar, runtime_checkable

from dashboard.analysis.asks.ask import Ask, StreamAsk
from dashboard.analysis.asks.model_card import ModelCard

A = TypeVar("A")


@runtime_checkable
class Runner(Protocol):
    """Answers in the caller's thread (`LocalRunner`) or on the device's own thread (`Engine`, `StudyRunner`), with equal numbers.

    Each refuses an ask that the device has too few bytes for before anything is allocated (OutOfMemory).
    """

    def describe(self) -> ModelCard:
        """The model that answers; loaded if necessary."""
        ...

    def ask(self, ask: Ask[A]) -> A:
        """The answer to a question."""
        ...

    def stream(self, ask: StreamAsk[A]) -> Iterator[A]:
        """The items of an answer as they come. Closing the iterator cancels the rest."""
        ...
