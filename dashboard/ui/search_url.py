"""The search page's address: everything that is on the screen of a search by text, and back."""

from collections.abc import Sequence

import streamlit as st

from dashboard.analysis.methods.search.by_text import By
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts import sae_sources as sources
from dashboard.ui.shell import address
from dashboard.ui.shell.tab import has_acted
from dashboard.ui.shell.view import fits_url, text_of
from dashboard.ui.views import search

_MAX_TOKENS = 500
_BAR = address.Bar("search")


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong, for people.

    Where the tab comes from another page, an address that says nothing leaves everything as it was.
    """
    kept, url, arrived = st.session_state, address.read(), address.arrived()
    if url.get(search.FIND_IN_URL) == [search.WORD_IN_URL]:  # of the other search, which was open until now
        url = {}
        arrived = True
    if _BAR.stands(url, acted=has_acted()) and search.TEXT in kept:
        return _BAR.problems()
    if not url and arrived and search.TEXT in kept:
        return _BAR.took(url)
    problems: list[str] = []
    text = text_of(url, "prompt", search.TEXT)
    search.clear()
    kept[search.TEXT] = text
    if not url.keys() - {search.FIND_IN_URL}:
        kept[search.TEXT] = next(iter(search.EXAMPLES.values()))
    elif "prompt" not in url and not text:
        problems.append("This link does not carry its text: it was too long, or was left out. Put it in again, then Read.")
        search.give_up()
    kept[search.CHAT] = url.get("chat") == ["1"]
    kept[search.WITHOUT] = url.get("without", [""])[-1]
    kept[search.SPECIAL] = url.get("special") == ["1"]
    kept[search.COMMON] = url.get("shade") == ["common"]

    def choice(name: str, choices: Sequence[str], otherwise: str) -> str:
        text = url.get(name, [otherwise])[-1]
        if text in choices:
            return text
        problems.append(f"{name}={text[:20]!r} is none of {', '.join(choices)}.")
        return otherwise

    kept[search.BY] = By(choice("by", [*By], By.RARITY))
    percents = {_percent(name): name for name in search.DENSITIES}
    kept[search.DENSITY] = percents[choice("density", [*percents], _percent(search.FIRST_DENSITY))]
    chosen, unknown = sources.from_url(url, catalog)
    chosen.keep(search.SOURCES_KEYS)
    problems += unknown
    tokens = dict.fromkeys(url.get("token", [])[:_MAX_TOKENS])
    if wrong := [text[:20] for text in tokens if not _is_number(text)]:
        problems.append(f"token={wrong[0]!r} is not a position. Give a whole number from 0.")
    kept[search.CHOSEN] = tuple(sorted(int(text) for text in tokens if _is_number(text)))
    page = url.get("part", ["1"])[-1]
    kept[search.PAGE] = max(1, int(page)) if _is_number(page) else 1
    return _BAR.took(url, problems)


def write_url(view: search.SearchState, read: search.Reading, positions: tuple[int, ...], page: int) -> None:
    """Make the address bar say what is on the screen: the text that was read, not one that is still being typed."""
    prompt = read.ask.prompt
    url: dict[str, list[str]] = {}
    if fits_url(prompt):
        url["prompt"] = [prompt.text]
    if prompt.chat:
        url["chat"] = ["1"]
    if read.ask.without and fits_url(Prompt(prompt.text + read.ask.without)):
        url["without"] = [read.ask.without]
    if view.by is not By.RARITY:
        url["by"] = [view.by.value]
    if view.density != search.FIRST_DENSITY:
        url["density"] = [_percent(view.density)]
    if view.with_special:
        url["special"] = ["1"]
    if view.is_common:
        url["shade"] = ["common"]
    url |= view.sources.in_url()
    if positions:
        url["token"] = [str(position) for position in positions]
    if page > 1:
        url["part"] = [str(page)]
    _BAR.say(url)


def _percent(density: str) -> str:
    """A choice of the density filter as the address writes it."""
    return density.removesuffix(" %")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 6
