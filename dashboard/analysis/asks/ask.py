"""What every question to a model is: a frozen value that carries the type of its answer."""

from typing import Any, Generic, TypeVar

A = TypeVar("A", covariant=True)


class Ask(Generic[A]):
    """A question with one answer, of type `A`.

    Subclasses are frozen dataclasses of plain values: they can be keys, and `dashboard.analysis.plain` writes them as JSON
    and reads them back. How each kind is answered, and what that costs, says its line in `dashboard.analysis.engine.handlers`.
    """


class StreamAsk(Generic[A]):
    """A question whose answer comes in items of type `A`, some with each turn of the model; otherwise like `Ask`."""


AnyAsk = Ask[Any] | StreamAsk[Any]
