"""Latents as a list with bars; a click shows one, a pin keeps it, a link leads to its own page."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import LatentRow

_mount = declare(Path(__file__).parent)


def latent_list(
    rows: Sequence[LatentRow],
    *,
    key: str,
    on_show: Callable[[], None],
    on_pin: Callable[[], None] | None = None,
    on_open: Callable[[], None] | None = None,
    keep: str = "pin",
) -> str | None:
    """Draw latents; returns the key of the row whose link was clicked, once.

    `on_show` and `on_pin` find the row's key in `st.session_state[key]["shown"]` and `["pinned"]`. `keep` is the word on the
    button that calls `on_pin`. Rows with an `href` get a link if there is an `on_open`.
    """
    data = {"rows": [asdict(row) for row in rows], "keep": keep if on_pin else "", "links": on_open is not None}
    found = _mount(key=key, data=data, on_shown_change=on_show, on_pinned_change=on_pin or _nothing, on_opened_change=on_open or _nothing)
    return found.opened


def _nothing() -> None:
    """Default for callbacks that are not given."""
