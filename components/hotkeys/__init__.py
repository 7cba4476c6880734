"""Keys of the keyboard that press a button of the page or go to one of its fields."""

from collections.abc import Mapping
from pathlib import Path

from components.assets import declare

_mount = declare(Path(__file__).parent)


def hotkeys(keys: Mapping[str, str], *, key: str) -> None:
    """Each key presses the button, or focuses the field, of the widget whose Streamlit key it is mapped to.

    Nothing happens while the user types, or with Ctrl, Alt or Meta held.
    """
    _mount(key=key, data={"keys": dict(keys)})
