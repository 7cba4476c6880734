"""Declares a component from the `component.js` and `component.css` that lie in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

from components.palette import css_variables

_SHARED = Path(__file__).with_name("shared.css")


def declare(folder: Path) -> Callable[..., Any]:
    """The mounting function of a component. Everything travels inline: no CDN, no build step."""
    css = css_variables() + _SHARED.read_text() + (folder / "component.css").read_text()
    return component(folder.name, html="<div class='root'></div>", css=css, js=(folder / "component.js").read_text())
