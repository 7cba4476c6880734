"""Search by word: drawn inside the search page."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from components.list_rows import list_rows
from dashboard.analysis.errors import NoSae
from dashboard.analysis.index.file import read_index
from dashboard.analysis.methods.search.by_word import WordAnswer
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts import cautions, list_box
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.search import word_present as present_word
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_notebook, get_word_search
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views import words
from dashboard.ui.views.words import PAGE, WordView

_HELP = (
    "**Exact**: the word, or a part of one, in labels, notes, promoted tokens, and the tokens and words at the strongest examples.  \n"
    "**By meaning**: also by shared letters, by the model's token embeddings, and by what the model lists as examples."
)


def word_panel(catalog: Catalog) -> None:
    """The query, how it is taken, and what was found."""
    PAGE.open(catalog)
    _inputs()
    PAGE.tell()
    view = PAGE.view
    saes = view.sources.saes(catalog)
    with st.expander(sources.how_many(len(saes), catalog), icon=":material/tune:", key=PAGE.key("sources")):
        sources.boxes(PAGE, catalog, part=1)
    PAGE.write()
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
        st.text_input("Word", placeholder="A word, part of one, or a few words", width="stretch", **PAGE.bind("word", part=1))
        st.segmented_control("How", [words.MEANING, words.EXACT], required=True, help=_HELP, **PAGE.bind("how", part=1))
        list_box.into_box(PAGE, "List to fill", width=190)
    with st.container(horizontal=True):
        for query in words.EXAMPLES:
            act = partial(PAGE.change, word=query, part=1)
            st.button(query, key=PAGE.key(f"example {query}"), on_click=act, type="tertiary", icon=":material/search:")


def _find(view: WordView, saes: Sequence[SaeId]) -> WordAnswer:
    with st.spinner("reading the words of every latent", show_time=True):
        return get_word_search().search(view.word, get_notebook().notes(), meaning=view.is_by_meaning, saes=saes, top=words.MAX_ROWS)


def _results(view: WordView, found: WordAnswer, catalog: Catalog) -> None:
    st.caption(present_word.what_was_found(found, meaning=view.is_by_meaning))
    if not found.n_latents:
        st.info("None of the selected SAEs has an index. Select other layers or sites.", icon=":material/search_off:")
        return
    if not found.rows:
        st.info("No match. Try a part of the word, or search by meaning.", icon=":material/search_off:")
        return
    indexes = {sae: read_index(catalog.get(sae)) for sae in dict.fromkeys(hit.latent.sae for hit in found.rows)}
    n_parts = -(-len(found.rows) // words.PER_PAGE)
    part = min(view.part, n_parts)
    hits = found.rows[words.PER_PAGE * (part - 1) : words.PER_PAGE * part]
    opened = list_rows(
        (),
        (),
        present_word.COLUMNS,
        present_word.rows(hits, list_box.listed(PAGE), indexes, get_notebook().notes()),
        key=PAGE.key("rows"),
        note="found in",
        on_list=partial(list_box.toggle_listed, PAGE, "rows"),
    )
    if opened:
        latent_state.show(LatentId.parse(opened))
    if n_parts > 1:
        st.pagination(n_parts, **PAGE.widget("part", part, lambda turned: PAGE.change(part=int(turned))))
