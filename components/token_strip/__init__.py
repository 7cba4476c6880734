"""The prompt as a strip of tokens, shaded by one latent, underlined by the pinned ones; a click returns a position."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from components.assets import declare
from components.data import Lane, Scale, TokenCell
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def token_strip(
    cells: Sequence[TokenCell],
    scale: Scale,
    lanes: Sequence[Lane] = (),
    *,
    selected: int | None,
    key: str,
    on_pick: Callable[[], None],
    on_unpin: Callable[[], None],
) -> None:
    """Draw tokens. A click, or Enter on a focused token, calls `on_pick` with the position in `st.session_state[key]["picked"]`;
    a click on a lane's legend calls `on_unpin` with its key in `["unpinned"]`."""
    data = {
        "texts": [cell.text for cell in cells],
        "values": [cell.value for cell in cells],
        "special": [cell.special for cell in cells],
        "lane_values": [list(cell.lanes) for cell in cells],
        "scale": asdict(scale),
        "lanes": [asdict(lane) for lane in lanes],
        "selected": selected,
        "strong_from": STRONG_FROM,
    }
    _mount(key=key, data=data, on_picked_change=on_pick, on_unpinned_change=on_unpin)
