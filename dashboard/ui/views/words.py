"""Typed state of a search by word <-> session and address bar. With `state.py`, one of the places where keys are spelt."""

from dataclasses import dataclass, replace

import streamlit as st

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts.sae_sources import SourceKeys, Sources, from_url
from dashboard.ui.shell import address
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.tab import has_acted, note_change
from dashboard.ui.views import search

QUERY, HOW, ROWS, LIST, PART, SOURCES = "word_query", "word_how", "word_rows", "word_list", "word_part", "word_sources"
SOURCES_KEYS = SourceKeys("word_releases", "word_layers", "word_points")
EXACT, MEANING = "Exact", "By meaning"
EXAMPLES = ("months of the year", "Paris", "medicine", "because", "colours")
"""The first is what a tab opens with."""
MAX_ROWS, PER_PAGE = 100, 25
_SAID = "word_said"
_BAR = address.Bar("word")
_HOWS = {"exact": EXACT, "meaning": MEANING}


@dataclass(frozen=True)
class WordState:
    """Everything that the panel shows."""

    query: str
    meaning: bool
    """By meaning, instead of exactly."""
    into: str
    """The list that is being filled."""
    sources: Sources


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong, for people."""
    kept, url = st.session_state, address.read()
    if (_BAR.stands(url, acted=has_acted()) or "word" not in url) and QUERY in kept:
        return _BAR.problems()
    kept[QUERY] = url.get("word", [EXAMPLES[0]])[-1]
    kept[HOW] = _HOWS.get(url.get("how", ["meaning"])[-1], MEANING)
    kept.setdefault(LIST, None)
    # The address of a search by text chooses for that one alone.
    chosen, problems = from_url(url if url.get(search.FIND_IN_URL) == [search.WORD_IN_URL] else {}, catalog)
    chosen.keep(SOURCES_KEYS)
    return _BAR.took(url, problems)


def word_state() -> WordState:
    """The state of this tab."""
    kept = st.session_state
    into = (kept[LIST] or search.FIRST_LIST).strip() or search.FIRST_LIST
    return WordState(kept[QUERY], kept[HOW] == MEANING, into, Sources.read(SOURCES_KEYS))


def write_url(view: WordState) -> None:
    """Make the address bar say what is on the screen."""
    how = "meaning" if view.meaning else "exact"
    url = {search.FIND_IN_URL: [search.WORD_IN_URL], "word": [view.query], "how": [how], **view.sources.in_url()}
    _BAR.say(url)


def use_example(query: str) -> None:
    """Callback: search for an example."""
    changed()
    st.session_state[QUERY] = query


def changed() -> None:
    """Callback of the inputs: another answer is looked at from its beginning."""
    note_change()
    st.session_state[PART] = 1


def turn_to(n_parts: int) -> int:
    """The part of the answer that is shown, from 1; there may be fewer than there were."""
    kept = st.session_state
    if not 1 <= kept.get(PART, 1) <= max(1, n_parts):
        kept[PART] = 1
    return int(kept.get(PART, 1))


def toggle_listed(into: str) -> None:
    """Callback of the rows: put a latent into a list, which is made if it is new, or take it out."""
    note_change()
    picked = st.session_state[ROWS].get("listed")
    if not picked:
        return
    entry, book = ListEntry(LatentId.parse(str(picked))), get_notebook()

    def toggled(old: LatentList) -> LatentList:
        rest = tuple(other for other in old.entries if other.latent != entry.latent)
        return replace(old, entries=rest) if len(rest) < len(old.entries) else old.with_entries(entry)

    try:
        if into in {known.name for known in book.lists()}:
            now = book.change_list(into, toggled)
        else:
            now = LatentList(into, entries=(entry,))
            book.save_list(now)
        said_of = "is now in" if entry in now.entries else "was taken out of"
        st.session_state[_SAID] = f"{entry.latent} {said_of} the list {into}."
    except AnalysisError as error:
        st.session_state[_SAID] = str(error)


def said() -> str | None:
    """What a callback had to say, once."""
    return st.session_state.pop(_SAID, None)
