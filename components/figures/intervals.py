"""Intervals as Plotly draws them."""

from collections.abc import Iterable
from typing import Any

Ends = tuple[float | None, float | None, float | None]
"""A value with its lower and its upper bound."""


def intervals(ends: Iterable[Ends], *, thickness: float, width: float, colour: str | None = None) -> dict[str, Any]:
    """Error bars between bounds; of a value or a bound that is not there nothing is drawn. Without a colour they have that of the marks."""
    ends = tuple(ends)
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if value is None or high is None else high - value for value, _, high in ends],
        "arrayminus": [0.0 if value is None or low is None else value - low for value, low, _ in ends],
        "thickness": thickness,
        "width": width,
        **({"color": colour} if colour else {}),
    }
