"""Typed state of the search page <-> session. With `state.py`, one of the places where keys are spelt."""

from dataclasses import dataclass, replace

import streamlit as st

from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.search.by_text import By, RankAsk
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts.sae_sources import SourceKeys, Sources
from dashboard.ui.shell import address
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.tab import note_change

FIND, BY_TEXT, BY_WORD = "search_find", "By text", "By word"
FIND_IN_URL, WORD_IN_URL = "find", "word"
TEXT, CHAT, WITHOUT = "search_text", "search_chat", "search_without"
SOURCES_KEYS = SourceKeys("search_releases", "search_layers", "search_points")
BY, DENSITY, SPECIAL, COMMON, PAGE, LIST = "search_by", "search_density", "search_special", "search_common", "search_page", "search_list"
READ, AGAIN, SOURCES, RESULTS = "search_read", "search_again", "search_sources", "search_results"
READ_NOW, CHOSEN, _READING, _SAID, _FIND_SEEN = (
    "search_read_now", "search_chosen", "search_reading", "search_said", "search_find_seen",
)  # fmt: skip
DENSITIES: dict[str, float | None] = {"any": None, "5 %": 0.05, "1 %": 0.01}
"""Choices of the density filter."""
FIRST_DENSITY = "1 %"
"""Of some 5,000 latents that fire on a sentence a handful are at a height seldom seen by chance alone, and those are the ones
that fire on everything: with them first, a search shows commas and articles."""
PER_PAGE = 50
FIRST_LIST = "My latents"
"""The list that is filled when none was named."""
EXAMPLES = {
    "Landmark": "The Eiffel Tower was finished in 1889, in time for the World's Fair in Paris.",
    "Recipe": "Whisk the eggs with the sugar, then fold in the flour and bake for 25 minutes at 180 °C.",
    "Diagnosis": "The patient was treated with antibiotics for a bacterial infection of the lungs.",
    "Code": "for i in range(10):\n    print(i, total / len(values))",
}


@dataclass(frozen=True)
class ReadAsk:
    """What the model has to read for a search."""

    prompt: Prompt
    without: str
    """The other text; empty for none."""
    saes: tuple[SaeId, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """What the model has read: all that a ranking needs."""

    ask: ReadAsk
    capture: Capture
    other: Capture | None
    """Of the other text."""
    refused: tuple[str, ...]
    """Why some SAEs were not read."""


@dataclass(frozen=True)
class SearchState:
    """Everything that the page shows of a search by text, but for what was read."""

    wanted: ReadAsk
    """What the boxes say."""
    by: By
    density: str
    """One of DENSITIES."""
    with_special: bool
    is_common: bool
    """One scale for all rows, instead of each latent's own maximum."""
    positions: tuple[int, ...]
    page: int
    """From 1."""
    into: str
    """The list that is being filled."""
    sources: Sources

    def rank_ask(self, positions: tuple[int, ...]) -> RankAsk:
        """How what was read is ranked."""
        return RankAsk(self.by, positions, self.with_special, DENSITIES[self.density], self.wanted.saes)


def search_state(catalog: Catalog) -> SearchState:
    """The state of this tab."""
    kept = st.session_state
    sources = Sources.read(SOURCES_KEYS)
    wanted = ReadAsk(Prompt(kept[TEXT], kept[CHAT]), kept[WITHOUT], sources.saes(catalog))
    return SearchState(
        wanted,
        By(kept[BY]),
        kept[DENSITY],
        kept[SPECIAL],
        kept[COMMON],
        kept[CHOSEN],
        kept[PAGE],
        (kept[LIST] or FIRST_LIST).strip() or FIRST_LIST,
        sources,
    )


def follow_find() -> None:
    """Open the search that the address names, whenever it comes to name another."""
    kept, url = st.session_state, address.read()
    named = url.get(FIND_IN_URL, [""])[-1] if url else kept.get(_FIND_SEEN, "")
    if FIND not in kept or kept.get(_FIND_SEEN) != named:
        kept[FIND] = BY_WORD if named == WORD_IN_URL else BY_TEXT
    kept[_FIND_SEEN] = named


def found() -> None:
    """Callback: a person opened the other search, whatever the address still names."""
    note_change()
    st.session_state[_FIND_SEEN] = address.read().get(FIND_IN_URL, [""])[-1]


def turn(key: str) -> None:
    """Callback of the leafing."""
    note_change()
    st.session_state[PAGE] = int(st.session_state[key])


def clear() -> None:
    """An empty search in all SAEs, which is to be read at once."""
    kept = st.session_state
    kept[TEXT], kept[CHAT], kept[WITHOUT] = "", False, ""
    Sources().keep(SOURCES_KEYS)
    kept[BY], kept[DENSITY], kept[SPECIAL], kept[COMMON] = By.RARITY, FIRST_DENSITY, False, False
    kept[CHOSEN], kept[PAGE] = (), 1
    kept.setdefault(LIST, None)
    kept[_READING], kept[READ_NOW] = None, True


def reading() -> Reading | None:
    """What was read last in this tab."""
    return st.session_state.get(_READING)


def keep(read: Reading) -> None:
    """Search in this from now on. Tokens that were chosen in another text are not in this one."""
    kept, before = st.session_state, reading()
    if before and before.ask.prompt != read.ask.prompt:
        kept[CHOSEN], kept[PAGE] = (), 1
    kept[_READING], kept[READ_NOW] = read, False


def must_read() -> bool:
    """Whether somebody asked for a reading that has not come yet."""
    return st.session_state[READ_NOW]


def give_up() -> None:
    """Do not read again by itself what could not be read."""
    st.session_state[READ_NOW] = False


def stale(read: Reading, wanted: ReadAsk) -> str:
    """What the boxes say that was not read, in words; empty if everything was."""
    missing = {*wanted.saes} - {*read.ask.saes}
    changes = (
        ("the text", read.ask.prompt.text != wanted.prompt.text),
        ("its mode", read.ask.prompt.chat != wanted.prompt.chat),
        ("the second text", read.ask.without != wanted.without),
        (f"{len(missing)} SAEs more" if len(missing) > 1 else "1 SAE more", bool(missing)),
    )
    return ", ".join(words for words, changed in changes if changed)


def read_now() -> None:
    """Callback: read what the boxes say."""
    note_change()
    st.session_state[READ_NOW] = True


def use_example(name: str) -> None:
    """Callback: read an example."""
    read_now()
    kept = st.session_state
    kept[TEXT], kept[CHAT], kept[WITHOUT] = EXAMPLES[name], False, ""


def reranked() -> None:
    """Callback of everything that changes the ranking: it is looked at from its beginning."""
    note_change()
    st.session_state[PAGE] = 1


def opened() -> tuple[LatentId, Prompt] | None:
    """The latent whose row was clicked just now, and the text in which it was found."""
    seen, key = reading(), st.session_state.get(RESULTS, {}).get("opened")
    return (LatentId.parse(key), seen.ask.prompt) if seen and key else None


def pick_tokens() -> None:
    """Callback of the text: these tokens count."""
    picked = st.session_state[RESULTS].get("picked")
    if picked is not None:
        reranked()
        st.session_state[CHOSEN] = tuple(int(position) for position in picked)


def pick_layer() -> None:
    """Callback of the bars: search in this layer too, or no longer."""
    layer = st.session_state[RESULTS].get("layer")
    if layer is not None:
        reranked()
        chosen = {*st.session_state[SOURCES_KEYS.layers]} ^ {int(layer)}
        st.session_state[SOURCES_KEYS.layers] = sorted(chosen)


def toggle_listed(into: str) -> None:
    """Callback of the rows: put a latent into a list, or take it out."""
    note_change()
    name = st.session_state[RESULTS].get("listed")
    if not name:
        return
    latent, notebook = LatentId.parse(str(name)), get_notebook()

    def toggled(known: LatentList) -> LatentList:
        rest = tuple(entry for entry in known.entries if entry.latent != latent)
        return replace(known, entries=rest) if len(rest) < len(known.entries) else known.with_entries(ListEntry(latent))

    try:
        if into in {known.name for known in notebook.lists()}:
            now = notebook.change_list(into, toggled)
        else:
            now = toggled(LatentList(into))
            notebook.save_list(now)
        is_in = latent in {entry.latent for entry in now.entries}
        st.session_state[_SAID] = f"{latent} {'is now in' if is_in else 'was taken out of'} the list {now.name}."
    except AnalysisError as error:
        st.session_state[_SAID] = str(error)


def said() -> str | None:
    """What a callback had to say, once."""
    return st.session_state.pop(_SAID, None)
