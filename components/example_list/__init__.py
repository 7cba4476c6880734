"""Pieces of text, one a row, all shaded on one scale; each with the token that it was chosen for and its value."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.assets import declare
from components.data import ExampleRow, Scale
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def example_list(
    rows: Sequence[ExampleRow],
    scale: Scale,
    *,
    legend: bool,
    wrapped: bool,
    action: str,
    key: str,
    on_act: Callable[[], None],
) -> None:
    """Draw rows. `on_act` is called with a row's key in `st.session_state[key]["acted"]` when its button, named `action`, is clicked.

    `legend` draws the scale above; `wrapped` keeps line breaks of the text. A hovered token says its value to every histogram
    that follows the latent `scale.label`.
    """
    _mount(key=key, data=list_data(rows, scale, legend=legend, wrapped=wrapped, action=action), on_acted_change=on_act)


def list_data(rows: Sequence[ExampleRow], scale: Scale, *, legend: bool, wrapped: bool, action: str) -> dict[str, Any]:
    """What the browser gets."""
    return {
        "rows": [
            {
                **{name: value for name, value in vars(row).items() if name != "tokens"},
                "texts": [cell.text for cell in row.tokens],
                "values": [cell.value for cell in row.tokens],
                "special": [cell.special for cell in row.tokens],
            }
            for row in rows
        ],
        "scale": asdict(scale),
        "legend": legend,
        "wrapped": wrapped,
        "action": action,
        "strong_from": STRONG_FROM,
    }
