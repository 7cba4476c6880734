"""Two written texts side by side, plain and steered: what each token did to the two models, and where the texts part."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.assets import declare
from components.data import Scale, WrittenText
from components.palette import STRONG_FROM

_mount = declare(Path(__file__).parent)


def generation_pair(
    prompt: str,
    plain: WrittenText,
    steered: WrittenText,
    scale: Scale | None,
    *,
    first_difference: int | None,
    selected: tuple[str, int] | None,
    key: str,
    on_pick: Callable[[], None],
) -> None:
    """Draw both texts behind their prompt. A click, or Enter on a focused token, calls `on_pick` with
    `{"side": "plain" | "steered", "index": i}` in `st.session_state[key]["picked"]`."""
    data = pair_data(prompt, plain, steered, scale, first_difference=first_difference, selected=selected)
    _mount(key=key, data=data, on_picked_change=on_pick)


def pair_data(
    prompt: str,
    plain: WrittenText,
    steered: WrittenText,
    scale: Scale | None,
    *,
    first_difference: int | None,
    selected: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """What the browser gets, for `generation_pair` and for `standalone.page`. Without a scale nothing is shaded."""
    return {
        "prompt": prompt,
        "plain": _columns(plain),
        "steered": _columns(steered),
        "scale": None if scale is None else asdict(scale),
        "first_difference": first_difference,
        "selected": None if selected is None else dict(zip(("side", "index"), selected, strict=True)),
        "strong_from": STRONG_FROM,
    }


def _columns(written: WrittenText) -> dict[str, Any]:
    """A text as one list a field."""
    return {
        "title": written.title,
        "note": written.note,
        "ended": written.ended,
        "texts": [token.text for token in written.tokens],
        "shades": [token.shade for token in written.tokens],
        "kl": [token.kl for token in written.tokens],
        "differences": [token.difference for token in written.tokens],
        "special": [token.special for token in written.tokens],
    }
