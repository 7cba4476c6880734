"""The answers that were asked for last, by their asks."""

from collections import OrderedDict
from typing import Any


class LastAnswers(OrderedDict[object, Any]):
    """At most `size` answers. One thread at a time may use it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def keep(self, ask: object, answer: object) -> None:
        """Remember an answer; the oldest is dropped."""
        self[ask] = answer
        while len(self) > self._size:
            self.popitem(last=False)

    def recall(self, ask: object) -> Any:
        """An answer that is remembered, which now was asked for last."""
        self.move_to_end(ask)
        return self[ask]
