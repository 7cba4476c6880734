"""The vis-network library in the browser, from the file that pyvis ships: mounted beside each canvas, sent once.

It travels as a component without data of its own: what never changes is not sent again when a canvas changes.
"""

from functools import cache
from pathlib import Path

from streamlit.components.v2 import component

from components.graph.picture import vis_library


@cache
def _mount():
    script = f"{vis_library()}\n{(Path(__file__).parent / 'component.js').read_text()}"
    return component("vis_network", html="<i hidden></i>", js=script)


def vis_network(*, key: str) -> None:
    """Make `globalThis.vis` available in the page."""
    _mount()(key=key, height=1)
