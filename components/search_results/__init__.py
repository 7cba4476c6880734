"""A text whose tokens can be chosen, and the latents found in it: a row each, with the text shaded by the latent."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import Column, FoundRow, LayerCount
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def search_results(
    texts: Sequence[str],
    special: Sequence[bool],
    chosen: Sequence[int],
    layers: Sequence[LayerCount],
    columns: Sequence[Column],
    rows: Sequence[FoundRow],
    *,
    counts_special: bool,
    submit: tuple[str, str],
    key: str,
    on_pick: Callable[[], None],
    on_layer: Callable[[], None],
    on_list: Callable[[], None],
) -> None:
    """Draw the text, the layers and the rows.

    In `st.session_state[key]`, `on_pick` finds the positions that are chosen now in `["picked"]`, `on_layer` the layer that
    was clicked in `["layer"]`, and `on_list` the key of the row whose list button was clicked in `["listed"]`. The key of the row
    whose name was clicked stands in `["opened"]` during the next run, before anything is drawn. `submit` names a text box and a
    button by their Streamlit keys: Ctrl+Enter in the one presses the other.
    """
    data = {
        "texts": list(texts),
        "special": list(special),
        "chosen": list(chosen),
        "layers": [asdict(layer) for layer in layers],
        "columns": [asdict(column) for column in columns],
        "rows": [asdict(row) for row in rows],
        "counts_special": counts_special,
        "submit": list(submit),
        "strong_from": STRONG_FROM,
    }
    _mount(
        key=key,
        data=data,
        on_picked_change=on_pick,
        on_layer_change=on_layer,
        on_listed_change=on_list,
        on_opened_change=_nothing,
    )


def _nothing() -> None:
    """Opening a row leaves the page, which no callback may."""
