"""Latents as rows: figures, a note, a label, and where there is one a text shaded by each. Rows can be moved and taken out, or listed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import Column, ListedRow
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def list_rows(
    texts: Sequence[str],
    special: Sequence[bool],
    columns: Sequence[Column],
    rows: Sequence[ListedRow],
    *,
    key: str,
    note: str = "note",
    wrapped: bool = True,
    on_move: Callable[[], None] | None = None,
    on_remove: Callable[[], None] | None = None,
    on_note: Callable[[], None] | None = None,
    on_list: Callable[[], None] | None = None,
) -> str | None:
    """Draw rows; returns the key of the one whose name was clicked, once.

    In `st.session_state[key]`, `on_move` finds `["moved"]` = {key, by}, `on_remove` the key of a row in `["removed"]`, `on_note`
    `["noted"]` = {key, note}, and `on_list` the key of the row whose list button was clicked in `["listed"]`. What nobody listens
    to cannot be done. `note` heads the column of notes. Without `texts` rows have no text; `wrapped` breaks it into lines.
    """
    data = {
        "texts": list(texts),
        "special": list(special),
        "columns": [asdict(column) for column in columns],
        "rows": [asdict(row) for row in rows],
        "note": note,
        "wrapped": wrapped,
        "editable": on_move is not None,
        "listable": on_list is not None,
        "strong_from": STRONG_FROM,
    }
    found = _mount(
        key=key,
        data=data,
        on_moved_change=on_move or _nothing,
        on_removed_change=on_remove or _nothing,
        on_noted_change=on_note or _nothing,
        on_listed_change=on_list or _nothing,
        on_opened_change=_nothing,
    )
    return found.opened


def _nothing() -> None:
    """What happens where nobody listens; opening a row is for the page to see in what `list_rows` returns."""
