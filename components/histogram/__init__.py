"""A histogram; a click on a bar returns it. It marks the value of a token that an example list is hovered at."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import Histogram

_mount = declare(Path(__file__).parent)


def histogram(
    counts: Histogram,
    *,
    log: bool,
    selected: int | None = None,
    follows: str | None = None,
    key: str,
    on_pick: Callable[[], None] | None = None,
) -> None:
    """Draw bars, their heights on a logarithmic scale if `log`.

    With `on_pick`, a click on a bar, or Enter on a focused one, calls it with the bin in `st.session_state[key]["picked"]`.
    `follows` is the name of the latent whose values are marked while a token of it is hovered in an `example_list`.
    """
    data = {**asdict(counts), "log": log, "selected": selected, "follows": follows, "clickable": on_pick is not None}
    _mount(key=key, data=data, on_picked_change=on_pick or (lambda: None))
