"""Layers x tokens: one shaded line a layer; a click returns the line and the token."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import MapRow

_mount = declare(Path(__file__).parent)


def layer_map(
    rows: Sequence[MapRow], texts: Sequence[str], special: Sequence[bool], *, selected: int | None, key: str, on_pick: Callable[[], None]
) -> None:
    """Draw rows from the deepest layer down. `on_pick` finds `{"row": key, "position": i}` in `st.session_state[key]["picked"]`."""
    data = {"rows": [asdict(row) for row in rows], "texts": list(texts), "special": list(special), "selected": selected}
    _mount(key=key, data=data, on_picked_change=on_pick)
