"""Search by word: drawn inside the search page."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from components.list_rows import list_rows
from dashboard.analysis.errors import NoSae
from dashboard.analysis.index.file import read_index
from dashboard.analysis.methods.search.by_word import WordAnswer
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts import cautions
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.search import word_present as present_word
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_notebook, get_word_search
from dashboard.ui.shell.tab import note_change
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views import search, words

_KEPT: dict[str, Any] = {"persist_state": "session"}
_HELP = (
    "**Exact**: the word, or a part of one, in labels, notes, promoted tokens, and the tokens and words at the strongest examples.  \n"
    "**By meaning**: also by shared letters, by the model's token embeddings, and by what the model lists as examples."
)


def word_panel(catalog: Catalog) -> None:
    """The query, how it is taken, and what was found."""
    problems = words.open_url(catalog)
    _inputs()
    for problem in problems:
        st.warning(failures.plain(problem), icon=":material/link_off:")
    view = words.word_state()
    saes = view.sources.saes(catalog)
    with st.expander(sources.how_many(len(saes), catalog), icon=":material/tune:", key=words.SOURCES):
        sources.inputs(catalog, words.SOURCES_KEYS, words.changed)
    words.write_url(view)
    if said := words.said():
        st.toast(failures.plain(said), icon=":material/list:")
    with failures.shown():
        if not catalog.specs:
            raise NoSae
        found = _find(view, saes)
        for notice in found.notices[:3]:
            st.caption(failures.plain(notice))
        cautions.shown(catalog, {hit.latent.sae for hit in found.rows})
        _results(view, found, catalog)


def _inputs() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.text_input(
            "Word", key=words.QUERY, on_change=words.changed, placeholder="A word, a part of one, or a few", width="stretch", **_KEPT
        )  # fmt: skip
        st.segmented_control(
            "How", [words.MEANING, words.EXACT], key=words.HOW, required=True, on_change=words.changed, help=_HELP, **_KEPT
        )
        names = [known.name for known in get_notebook().lists()]
        st.selectbox(
            "List to fill", names, index=None, key=words.LIST, accept_new_options=True, on_change=note_change,
            placeholder=search.FIRST_LIST, width=190, **_KEPT,
        )  # fmt: skip
    with st.container(horizontal=True):
        for query in words.EXAMPLES:
            st.button(query, on_click=words.use_example, args=(query,), type="tertiary", icon=":material/search:")


def _find(view: words.WordState, saes: Sequence[SaeId]) -> WordAnswer:
    with st.spinner("reading the words of every latent", show_time=True):
        return get_word_search().search(view.query, get_notebook().notes(), meaning=view.meaning, saes=saes, top=words.MAX_ROWS)


def _results(view: words.WordState, found: WordAnswer, catalog: Catalog) -> None:
    st.caption(present_word.what_was_found(found, meaning=view.meaning))
    if not found.n_latents:
        st.info("No SAE with an index is among those chosen. Choose other layers or sites.", icon=":material/search_off:")
        return
    if not found.rows:
        st.info("No latent has it. Try a part of the word, or search by meaning.", icon=":material/search_off:")
        return
    notebook = get_notebook()
    listed = {entry.latent for known in notebook.lists() if known.name == view.into for entry in known.entries}
    indexes = {sae: read_index(catalog.get(sae)) for sae in dict.fromkeys(hit.latent.sae for hit in found.rows)}
    n_parts = -(-len(found.rows) // words.PER_PAGE)
    part = words.turn_to(n_parts)
    hits = found.rows[words.PER_PAGE * (part - 1) : words.PER_PAGE * part]
    opened = list_rows(
        (),
        (),
        present_word.COLUMNS,
        present_word.rows(hits, listed, indexes, notebook.notes()),
        key=words.ROWS,
        note="found in",
        on_list=partial(words.toggle_listed, view.into),
    )
    if opened:
        latent_state.show(LatentId.parse(opened))
    if n_parts > 1:
        st.pagination(n_parts, key=words.PART, on_change=note_change, **_KEPT)
