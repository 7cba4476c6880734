"""A runner for laws whose answers are written down: it has no model."""

from collections.abc import Iterator
from typing import Any

from dashboard.analysis.asks.model_card import ModelCard


class OnlyAsked:
    """Says what it was asked instead of answering; subclasses answer in `ask` what their law is about."""

    def describe(self) -> ModelCard:
        raise AssertionError("The model was asked for.")

    def ask(self, ask: Any) -> Any:
        raise AssertionError(f"This was asked: {ask}")

    def stream(self, ask: Any) -> Iterator[Any]:
        raise AssertionError(f"This was asked: {ask}")
