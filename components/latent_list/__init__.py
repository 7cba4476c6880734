"""Latents as a list with bars; a click shows one, a pin keeps it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import LatentRow

_mount = declare(Path(__file__).parent)


def latent_list(rows: Sequence[LatentRow], *, key: str, on_show: Callable[[], None], on_pin: Callable[[], None], keep: str = "pin") -> None:
    """Draw latents. `on_show` and `on_pin` find the row's key in `st.session_state[key]["shown"]` and `["pinned"]`.

    `keep` is the word on the button that calls `on_pin`.
    """
    _mount(key=key, data={"rows": [asdict(row) for row in rows], "keep": keep}, on_shown_change=on_show, on_pinned_change=on_pin)
