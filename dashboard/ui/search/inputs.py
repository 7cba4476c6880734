"""Inputs of the search page."""

import streamlit as st

from dashboard.analysis.methods.search.by_text import By
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts import list_box
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.search import present as present_search
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.views import search
from dashboard.ui.views.search import PAGE


def find() -> str:
    """Which search is open: by text or by word."""
    shown = search.found_by()
    st.segmented_control(
        "Search", [search.BY_TEXT, search.BY_WORD], required=True, label_visibility="collapsed",
        **PAGE.widget("find", shown, search.find_by),
    )  # fmt: skip
    return shown


def text_box() -> None:
    """The text, its mode, and examples."""
    box, options = st.columns([5, 1], vertical_alignment="bottom")
    box.text_area(
        "Text", height=80, label_visibility="collapsed", placeholder="Type a sentence, then Ctrl+Enter", **PAGE.bind("text")
    )  # fmt: skip
    with options:
        st.toggle("Chat", help="Format the text as a user message with the model's chat template.", **PAGE.bind("chat"))
        st.button("Run", key=PAGE.key("run"), on_click=search.read_now, width="stretch")
    with st.container(horizontal=True):
        for name in search.EXAMPLES:
            key = PAGE.key(f"example {name}")
            st.button(name, key=key, on_click=search.use_example, args=(name,), type="tertiary", icon=":material/notes:")


def more(catalog: Catalog, n_chosen: int) -> None:
    """Which SAEs are searched, a second text, and the list that is filled: what is chosen once lies folded away."""
    title = f"{sources.how_many(n_chosen, catalog)} · second text · list"
    with st.expander(title, icon=":material/tune:", key=PAGE.key("sources")):
        saes, second = st.columns(2, gap="large")
        with saes:
            sources.boxes(PAGE, catalog, part=1)
        second.text_area(
            "In the text above (A) but not in this one (B)", height=80, placeholder="Empty: no comparison",
            help="Latents are ranked by their score in A minus their score in B, 0 where they do not fire.", **PAGE.bind("without"),
        )  # fmt: skip
        with second:
            list_box.into_box(PAGE, "List that “+ list” fills")


def ranking() -> None:
    """What the ranking goes by, its filters, and its scale. None of it needs the model."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        help_by = "  \n".join(f"**{name}**: {present_search.HELP[by]}" for by, name in present_search.NAMES.items())
        st.segmented_control(
            "Rank by", list(By), format_func=present_search.NAMES.__getitem__, required=True, help=help_by, **PAGE.bind("by", part=1)
        )  # fmt: skip
        st.segmented_control(
            "Fires on at most", list(search.DENSITIES), required=True, help=present_search.DENSITY, **PAGE.bind("density", part=1)
        )  # fmt: skip
        st.toggle("Special tokens", help=f"Count them too. {TERMS['special token']}", **PAGE.bind("with_special", part=1))
        common_help = "Shade all rows on the scale of the strongest; off: each on the scale of its own largest activation."
        st.toggle("Common scale", help=common_help, **PAGE.bind("is_common"))


def pager(part: int, n_parts: int) -> None:
    """Turn to another part of the ranking."""
    if n_parts > 1:
        st.pagination(n_parts, **PAGE.widget("part", part, lambda turned: PAGE.change(part=int(turned))))


def stale_strip(changed: str) -> None:
    """What is shown belongs to what was read before; one click reads again."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/history: **Stale.** Changed since the last run: {failures.plain(changed)}. Below are its results.")
        st.button("Run again", key=PAGE.key("again"), on_click=search.read_now, type="primary")
