"""A grid of words, shaded: what each layer says after each token, say. Hovering a cell tells more; a click returns its column."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.assets import declare
from components.data import GridColumn, GridRow
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def word_grid(
    columns: Sequence[GridColumn],
    rows: Sequence[GridRow],
    *,
    corner: str,
    legend: str,
    selected: int | None = None,
    signed: bool = False,
    key: str,
    on_pick: Callable[[], None] | None = None,
) -> None:
    """Draw rows from the top down. `on_pick` finds the key of the column in `st.session_state[key]["picked"]`.

    Args:
        corner: what the labels of the rows are.
        legend: what a full shade, and bold type, stand for.
        selected: key of the column that is chosen.
        signed: shares are from -1 to 1, drawn in the two colours of signed scales.
    """
    _mount(key=key, data=grid_data(columns, rows, corner, legend, selected, signed), on_picked_change=on_pick or _ignore)


def grid_data(
    columns: Sequence[GridColumn], rows: Sequence[GridRow], corner: str, legend: str, selected: int | None, signed: bool
) -> dict[str, Any]:
    """What the browser is given."""
    return {
        "columns": [asdict(column) for column in columns],
        "rows": [asdict(row) for row in rows],
        "corner": corner,
        "legend": legend,
        "selected": selected,
        "signed": signed,
        "strong_from": STRONG_FROM,
    }


def _ignore() -> None:
    """A grid in which there is nothing to choose."""
