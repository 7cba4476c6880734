"""Typed state of the latent page <-> session and address bar. With `state.py`, one of the places where keys are spelt."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard.analysis.errors import AnalysisError, NoSae
from dashboard.analysis.index.facts import N_BINS
from dashboard.analysis.index.file import read_index
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import address
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.tab import has_acted, note_change
from dashboard.ui.shell.view import fits_url, text_of

PAGE = "app_pages/latent.py"
SAE, NAME, TEST, CHAT, LOG, SHOWN = "latent_sae", "latent_name", "latent_test", "latent_chat", "latent_log", "latent_shown"
SNIPPET, FULL = "Snippets", "Full texts"
PREVIOUS, NEXT, RANDOM, STEER, HIGHLIGHT, VECTOR, FLOW = (
    "latent_previous", "latent_next", "latent_random", "latent_steer", "latent_highlight", "latent_vector", "latent_flow",
)  # fmt: skip
LABEL, NOTE, LISTS, ALL, HOTKEYS = "latent_label", "latent_note", "latent_lists", "latent_all", "latent_hotkeys"
LOGITS, BINS, LOGIT_BINS, TESTS, BAND, FURTHER = "logits", "bins", "logit_bins", "tests", "band", "latent_further"
EARLIER, EARLIER_TESTS = "latent_earlier", "earlier_tests"
WITHIN, ACROSS, TOGETHER = "within", "across", "together"
MAX_TESTS = 5
_EXAMPLE = next(iter(EXAMPLES.values()))
_LATENT, _BIN, _TESTED = "latent_shown_now", "latent_bin", "latent_tested"
_SAID = "latent_said"
_BAR = address.Bar("latent")


@dataclass(frozen=True)
class LatentState:
    """Everything that the latent page shows."""

    latent: LatentId
    test: Prompt
    """The text in the test box."""
    tested: tuple[Prompt, ...]
    """What was tested, the last first."""
    is_log: bool
    """Heights of histograms are on a logarithmic scale."""
    is_full: bool
    """Whole documents instead of snippets."""
    bin: int | None
    """Only examples in this bin of the activation histogram."""


def latent_state() -> LatentState:
    """The state of this tab."""
    kept = st.session_state
    test = Prompt(kept[TEST], kept[CHAT])
    return LatentState(LatentId.parse(kept[_LATENT]), test, kept[_TESTED], kept[LOG], kept[SHOWN] == FULL, kept[_BIN])


def show(latent: LatentId, test: Prompt | None = None) -> None:
    """Leave for the page of a latent, taking a text along to test it on; without one the page keeps its own."""
    kept = st.session_state
    if test is None or not test.text or not fits_url(test):
        test = Prompt(kept.get(TEST, ""), kept.get(CHAT, False))
    view = LatentState(latent, test, (), kept.get(LOG, False), kept.get(SHOWN) == FULL, None)
    address.go(PAGE, query(view))


def go(latent: LatentId) -> None:
    """Callback: show another latent."""
    note_change()
    st.session_state[_LATENT], st.session_state[_BIN] = str(latent), None


def go_named(catalog: Catalog, latent: LatentId) -> None:
    """Callback of the name box: an index of the same SAE, or a whole name."""
    note_change()
    text = str(st.session_state[NAME]).strip()
    try:
        whole = text if "/" in text else f"{latent.sae}/{text}"
        go(catalog.latent(LatentId.parse(whole)))
    except AnalysisError as error:
        complain(str(error))


def go_listed(key: str) -> None:
    """Callback of a list of latents: show the one that was clicked."""
    if shown := st.session_state[key].get("shown"):
        go(LatentId.parse(shown))


def step(spec: SaeSpec, latent: LatentId, by: int) -> None:
    """Callback: the latent before or behind this one, round the ends."""
    go(LatentId(latent.sae, (latent.index + by) % spec.n_latents))


def go_random(spec: SaeSpec, latent: LatentId) -> None:
    """Callback: another latent of this SAE, drawn from those that fire; from all where no index says which do."""
    go(another(spec, latent, random.SystemRandom()))


def another(spec: SaeSpec, latent: LatentId, draw: random.Random) -> LatentId:
    """One of the other latents of an SAE that fire, all equally likely."""
    try:
        firing: Sequence[int] = np.flatnonzero(read_index(spec).n_fired).tolist()
    except AnalysisError:
        firing = range(spec.n_latents)
    others = [index for index in firing if index != latent.index]
    return LatentId(spec.id, draw.choice(others)) if others else latent


def pick_bin() -> None:
    """Callback of the histogram: only examples of this bin; the same bin again: all."""
    note_change()
    picked = st.session_state[BINS].get("picked")
    if picked is not None:
        st.session_state[_BIN] = None if st.session_state[_BIN] == int(picked) else int(picked)


def show_all() -> None:
    """Callback: examples of every bin."""
    note_change()
    st.session_state[_BIN] = None


def tested() -> None:
    """Callback of the test box: remember what was tested."""
    note_change()
    kept = st.session_state
    _remember_test(Prompt(kept[TEST], kept[CHAT]))


def test_again(earlier: Sequence[Prompt]) -> None:
    """Callback of the tests made before: put one of them back into the box."""
    note_change()
    acted = st.session_state[EARLIER_TESTS].get("acted")
    if acted is not None:
        _take_test(earlier[int(acted)])


def test_example(key: str, texts: Mapping[str, str]) -> None:
    """Callback of a band: put the text of one of its examples into the box."""
    note_change()
    acted = st.session_state[key].get("acted")
    if acted is not None:
        _take_test(Prompt(texts[str(acted)]))


def complain(problem: str) -> None:
    """Say something with the next drawing of the page."""
    st.session_state[_SAID] = problem


def complaint() -> str | None:
    """What is to be said, once."""
    return st.session_state.pop(_SAID, None)


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong.

    Where the tab comes from another page, an address that says nothing leaves everything as it was.
    """
    url = address.read()
    kept = st.session_state
    if _BAR.stands(url, acted=has_acted()):
        return _BAR.problems()
    if address.arrived() and _LATENT in kept and not url:
        return _BAR.took(url)
    problems: list[str] = []
    test = text_of(url, "test", TEST, "" if "latent" in url else _EXAMPLE.text)
    chat = url.get("chat") == ["1"] if "test" in url else bool(kept.get(CHAT)) and test == kept.get(TEST)
    _clear(catalog)
    _take_test(Prompt(test, chat))
    if "latent" in url:
        try:
            kept[_LATENT] = str(catalog.latent(LatentId.parse(url["latent"][-1])))
        except AnalysisError as error:
            problems.append(str(error))
    kept[LOG] = url.get("log") == ["1"]
    kept[SHOWN] = FULL if url.get("full") == ["1"] else SNIPPET
    kept[_BIN] = None
    if "bin" in url:
        text = url["bin"][-1]
        if text.isascii() and text.isdecimal() and int(text[:9]) < N_BINS:
            kept[_BIN] = int(text)
        else:
            problems.append(f"bin={text[:20]!r} is no bin of the histogram. Give a whole number from 0 to {N_BINS - 1}.")
    return _BAR.took(url, problems)


def query(view: LatentState) -> dict[str, list[str]]:
    """What the address says of all that. A test that is too long for a link is left out."""
    url: dict[str, list[str]] = {"latent": [str(view.latent)]}
    if view.test.text and fits_url(view.test):
        url["test"] = [view.test.text]
        if view.test.chat:
            url["chat"] = ["1"]
    if view.is_log:
        url["log"] = ["1"]
    if view.is_full:
        url["full"] = ["1"]
    if view.bin is not None:
        url["bin"] = [str(view.bin)]
    return url


def write_url(view: LatentState) -> None:
    """Make the address bar say what is on the screen."""
    _BAR.say(query(view))


def follow(view: LatentState) -> None:
    """Let the boxes of the head say which latent is shown."""
    st.session_state[SAE], st.session_state[NAME] = str(view.latent.sae), str(view.latent.index)


def _clear(catalog: Catalog) -> None:
    """As on first open, apart from the tests that were made: the latent of the first example, and no text."""
    kept = st.session_state
    kept[_LATENT], kept[_TESTED] = str(_first_look(catalog)), kept.get(_TESTED, ())
    kept[LOG], kept[SHOWN], kept[TEST], kept[CHAT] = False, SNIPPET, "", False


def _first_look(catalog: Catalog) -> LatentId:
    """The latent of the first example, where it is installed; else the one that fires on most tokens, in an SAE with an index."""
    try:
        return catalog.latent(LatentId.parse(_EXAMPLE.latent))
    except AnalysisError:
        if not catalog.specs:
            raise NoSae from None
    for spec in catalog.specs:
        try:
            return LatentId(spec.id, int(np.argmax(read_index(spec).n_fired)))
        except AnalysisError:
            continue
    return LatentId(catalog.specs[0].id, 0)


def _take_test(test: Prompt) -> None:
    kept = st.session_state
    kept[TEST], kept[CHAT] = test.text, test.chat
    _remember_test(test)


def _remember_test(test: Prompt) -> None:
    kept = st.session_state
    if test.text:
        kept[_TESTED] = tuple(dict.fromkeys((test, *kept[_TESTED])))[:MAX_TESTS]
