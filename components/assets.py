"""Declares a component from the `component.js` and `component.css` that lie in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from streamlit.components.v2 import component

from components.palette import css_variables

HTML = "<div class='root'></div>"
"""What every component finds when it is mounted."""
_SHARED = Path(__file__).parent


class Source(NamedTuple):
    """Everything a browser needs to draw a component."""

    css: str
    js: str
    """A module whose default export mounts the component."""


def source(folder: Path) -> Source:
    """A component's own style and script, behind what all components share."""
    css = css_variables() + (_SHARED / "shared.css").read_text() + (folder / "component.css").read_text()
    return Source(css, (_SHARED / "shared.js").read_text() + (folder / "component.js").read_text())


def declare(folder: Path) -> Callable[..., Any]:
    """The mounting function of a component. Everything travels inline: no CDN, no build step."""
    css, js = source(folder)
    return component(folder.name, html=HTML, css=css, js=js)
