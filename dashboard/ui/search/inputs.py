"""Inputs of the search page."""

from typing import Any

import streamlit as st

from dashboard.analysis.methods.search.by_text import By
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.search import present as present_search
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.tab import note_change
from dashboard.ui.views import search

_KEPT: dict[str, Any] = {"persist_state": "session"}


def find() -> str:
    """Which search is open: by text or by word."""
    search.follow_find()
    return st.segmented_control(
        "Search", [search.BY_TEXT, search.BY_WORD], key=search.FIND, required=True, label_visibility="collapsed",
        on_change=search.found, **_KEPT,
    )  # fmt: skip


def text_box() -> None:
    """The text, its mode, and examples."""
    box, options = st.columns([5, 1], vertical_alignment="bottom")
    box.text_area(
        "Text", key=search.TEXT, height=80, label_visibility="collapsed", on_change=note_change,
        placeholder="Type a sentence, then Read", **_KEPT,
    )  # fmt: skip
    with options:
        chat_help = "Read the text as a user message, through the model's chat template."
        st.toggle("Chat", key=search.CHAT, on_change=note_change, help=chat_help, **_KEPT)
        st.button("Read", key=search.READ, on_click=search.read_now, width="stretch")
    with st.container(horizontal=True):
        for name in search.EXAMPLES:
            st.button(name, on_click=search.use_example, args=(name,), type="tertiary", icon=":material/notes:")


def more(catalog: Catalog, n_chosen: int) -> None:
    """Which SAEs are searched, a second text, and the list that is filled: what is chosen once lies folded away."""
    title = f"{sources.how_many(n_chosen, catalog)} · second text · list"
    with st.expander(title, icon=":material/tune:", key=search.SOURCES):
        saes, second = st.columns(2, gap="large")
        with saes:
            sources.inputs(catalog, search.SOURCES_KEYS, search.reranked)
        second.text_area(
            "In the text above (A) but not in this one (B)", key=search.WITHOUT, height=80, on_change=note_change,
            placeholder="Empty: no comparison", **_KEPT,
            help="Latents are ranked by their score in A minus their score in B, 0 where they do not fire.",
        )  # fmt: skip
        names = [known.name for known in get_notebook().lists()]
        second.selectbox(
            "List that “+ list” fills", names, index=None, key=search.LIST, accept_new_options=True, on_change=note_change,
            placeholder=search.FIRST_LIST, **_KEPT,
        )  # fmt: skip


def ranking() -> None:
    """What the ranking goes by, its filters, and its scale. None of it needs the model."""
    shared: dict[str, Any] = {"on_change": search.reranked, **_KEPT}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        help_by = "  \n".join(f"**{name}**: {present_search.HELP[by]}" for by, name in present_search.NAMES.items())
        st.segmented_control(
            "Rank by", list(By), key=search.BY, format_func=present_search.NAMES.__getitem__, required=True, help=help_by, **shared
        )
        st.segmented_control(
            "Fires on at most", list(search.DENSITIES), key=search.DENSITY, required=True, help=present_search.DENSITY, **shared
        )
        st.toggle("Special tokens", key=search.SPECIAL, help=f"Count them too. {TERMS['special token']}", **shared)
        common_help = "Shade all rows on the scale of the strongest; off: each on the scale of its own largest activation."
        st.toggle("Common scale", key=search.COMMON, on_change=note_change, help=common_help, **_KEPT)


def leaf(page: int, n_pages: int) -> None:
    """Leaf through the ranking. Each page has a leafing of its own: one that stays could not be turned back from here."""
    if n_pages > 1:
        key = f"{search.PAGE}_{page}_{n_pages}"
        st.pagination(n_pages, default=page, key=key, on_change=search.turn, args=(key,))


def stale_strip(changed: str) -> None:
    """What is shown belongs to what was read before; one click reads again."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/history: **Stale.** Since it was read, {failures.plain(changed)} changed. Below is what was read before.")
        st.button("Read again", key=search.AGAIN, on_click=search.read_now, type="primary")
