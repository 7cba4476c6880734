"""What the page of a latent shows, and what a person can do with it."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

import numpy as np

from dashboard.analysis.errors import AnalysisError, NoSae
from dashboard.analysis.index.facts import N_BINS
from dashboard.analysis.index.file import read_index
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import View, flag, latent, long_text, whole

MAX_TESTS = 5
_EXAMPLE = next(iter(EXAMPLES.values()))


@dataclass(frozen=True)
class LatentView(View):
    """Everything that the latent page shows."""

    latent: LatentId = latent("latent")
    text: str = long_text("test")
    """In the test box."""
    chat: bool = flag("chat", beside="test")
    is_log: bool = flag("log")
    """Heights of histograms are on a logarithmic scale."""
    is_full: bool = flag("full")
    """Whole documents instead of snippets."""
    bin: int | None = whole("bin", None, 0, N_BINS - 1, f"a bin of the histogram. Give a whole number from 0 to {N_BINS - 1}")
    """Only examples in this bin of the activation histogram."""

    @property
    def test(self) -> Prompt:
        """The text of the test box as the model reads it."""
        return Prompt(self.text, self.chat)

    def completed(self, named: Collection[str], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """Where the latent is that of the first look, so is the text."""
        del catalog, before
        return (self if {"latent", "test"} & {*named} else replace(self, text=_EXAMPLE.text)), []


def first_look(catalog: Catalog) -> LatentView:
    """The latent of the first example, where it is installed; else the one that fires on most tokens, in an SAE with an index.

    Raises:
        NoSae: if the catalogue is empty.
    """
    try:
        return LatentView(catalog.latent(LatentId.parse(_EXAMPLE.latent)), _EXAMPLE.text)
    except AnalysisError:
        if not catalog.specs:
            raise NoSae from None
    for spec in catalog.specs:
        try:
            return LatentView(LatentId(spec.id, int(np.argmax(read_index(spec).n_fired))), _EXAMPLE.text)
        except AnalysisError:
            continue
    return LatentView(LatentId(catalog.specs[0].id, 0), _EXAMPLE.text)


PAGE = Page("latent", "app_pages/latent.py", LatentView, first_look)


def show(latent: LatentId, test: Prompt | None = None) -> NoReturn:
    """Leave for the page of a latent, taking a text along to test it on; without one the page keeps its own."""
    view = replace(PAGE.view, latent=latent, bin=None) if PAGE.is_open else LatentView(latent)
    PAGE.go(replace(view, text=test.text, chat=test.chat) if test and test.text else view)


def go(latent: LatentId) -> None:
    """Callback: show another latent."""
    PAGE.change(latent=latent, bin=None)


def go_named(catalog: Catalog, said: str) -> None:
    """Take what was typed: an index of the same SAE, or a whole name."""
    name = said.strip()
    try:
        go(catalog.latent(LatentId.parse(name if "/" in name else f"{PAGE.view.latent.sae}/{name}")))
    except AnalysisError as error:
        PAGE.touch()
        PAGE.say(str(error))


def go_listed(widget: str) -> None:
    """Callback of a list of latents: show the one that was clicked."""
    if shown := PAGE.event(widget, "shown"):
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
    picked = PAGE.event("bins", "picked")
    if picked is not None:
        PAGE.change(bin=None if PAGE.view.bin == int(picked) else int(picked))


def earlier_tests(view: LatentView) -> tuple[Prompt, ...]:
    """What was tested before what the box says now, the last first; what it says now is remembered."""
    tested: tuple[Prompt, ...] = PAGE.recall("tested", ())
    if view.text:
        tested = tuple(dict.fromkeys((view.test, *tested)))[:MAX_TESTS]
        PAGE.remember("tested", tested)
    return tuple(test for test in tested if test != view.test)


def test_again(earlier: Sequence[Prompt]) -> None:
    """Callback of the tests made before: put one of them back into the box."""
    acted = PAGE.event("earlier tests", "acted")
    if acted is not None:
        PAGE.change(text=earlier[int(acted)].text, chat=earlier[int(acted)].chat)


def test_example(widget: str, texts: Mapping[str, str]) -> None:
    """Callback of a band: put the text of one of its examples into the box."""
    acted = PAGE.event(widget, "acted")
    if acted is not None:
        PAGE.change(text=texts[str(acted)], chat=False)
