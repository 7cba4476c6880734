"""What the search page shows of a search by text, and what a person can do with it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Self

from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.methods.search.by_text import By, RankAsk
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts import sae_sources
from dashboard.ui.parts.sae_sources import Sources
from dashboard.ui.shell import address
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import Url, View, choice, flag, local, long_text, whole, wholes

BY_TEXT, BY_WORD = "By text", "By word"
FIND_IN_URL, WORD_IN_URL = "find", "word"
DENSITIES: dict[str, float | None] = {"any": None, "5 %": 0.05, "1 %": 0.01}
"""Choices of the density filter."""
FIRST_DENSITY = "1 %"
"""Of some 5,000 latents that fire on a sentence a handful are at a height seldom seen by chance alone, and those are the ones
that fire on everything: with them first, a search shows commas and articles."""
PER_PAGE = 50
EXAMPLES = {
    "Landmark": "The Eiffel Tower was finished in 1889, in time for the World's Fair in Paris.",
    "Recipe": "Whisk the eggs with the sugar, then fold in the flour and bake for 25 minutes at 180 °C.",
    "Diagnosis": "The patient was treated with antibiotics for a bacterial infection of the lungs.",
    "Code": "for i in range(10):\n    print(i, total / len(values))",
}
_LACKS_TEXT = "This link does not include its text: it was too long for a link, or was left out. Enter the text again, then click Run."
_TO_READ, _READING, _FOUND_BY, _NAMED = "to read", "reading", "found by", "named"


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
class SearchView(View):
    """Everything that the page shows of a search by text, but for what was read: text, mode and second text are those of the boxes."""

    text: str = long_text("prompt", always=True)
    chat: bool = flag("chat")
    without: str = long_text("without")
    by: By = choice("by", By.RARITY, {by: by.value for by in By})
    density: str = choice("density", FIRST_DENSITY, {one: one.removesuffix(" %") for one in DENSITIES})
    """One of DENSITIES."""
    with_special: bool = flag("special")
    is_common: bool = flag("shade", on="common", off="own")
    """One scale for all rows, instead of each latent's own maximum."""
    releases: tuple[str, ...] = sae_sources.releases()
    layers: tuple[int, ...] = sae_sources.layers()
    points: tuple[str, ...] = sae_sources.points()
    positions: tuple[int, ...] = wholes("token", 0, 999_999, "a position. Give a whole number from 0")
    """The tokens that count; none for all."""
    part: int = whole("part", 1, 1, 999_999)
    """The part of the ranking that is shown, from 1."""
    into: str | None = local(None)
    """The list that rows go into; None for the first one."""

    @property
    def sources(self) -> Sources:
        """Where the search looks."""
        return Sources(self.releases, self.layers, self.points)

    def wanted(self, catalog: Catalog) -> ReadAsk:
        """What the boxes say."""
        return ReadAsk(Prompt(self.text, self.chat), self.without, self.sources.saes(catalog))

    def rank_ask(self, positions: tuple[int, ...], saes: tuple[SaeId, ...]) -> RankAsk:
        """How what was read is ranked."""
        return RankAsk(self.by, positions, self.with_special, DENSITIES[self.density], saes)

    def drawn(self, seen: Reading, positions: tuple[int, ...], part: int) -> "SearchView":
        """The view as it is on the screen: with the text that was read, not one that is still being typed."""
        prompt = seen.ask.prompt
        return replace(self, text=prompt.text, chat=prompt.chat, without=seen.ask.without, positions=positions, part=part)

    def completed(self, named: Collection[str], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """An address without a text is said to lack it."""
        del catalog, before
        return self, [] if "prompt" in named else [_LACKS_TEXT]


def _owns(url: Url) -> bool:
    return bool(url.keys() - {FIND_IN_URL}) and list(url.get(FIND_IN_URL, ())) != [WORD_IN_URL]


PAGE = Page("search", "app_pages/search.py", SearchView, lambda _: SearchView(next(iter(EXAMPLES.values()))), _owns)


def open_page(catalog: Catalog) -> None:
    """Take over what the address says; what it asks for is to be read at once, if it has a text."""
    before = PAGE.view if PAGE.is_open else None
    problems = PAGE.open(catalog)
    if PAGE.view is not before:
        PAGE.remember(_READING, None)
        PAGE.remember(_TO_READ, _LACKS_TEXT not in problems)


def found_by() -> str:
    """Which search is open: the one that the address names, whenever it names another one."""
    url = address.read()
    named = _named(url) if url else PAGE.recall(_NAMED, "")
    if PAGE.recall(_NAMED) != named:
        PAGE.remember(_FOUND_BY, BY_WORD if named == WORD_IN_URL else BY_TEXT)
    PAGE.remember(_NAMED, named)
    return PAGE.recall(_FOUND_BY)


def find_by(way: str) -> None:
    """Callback: a person opened the other search, even if the address names the other."""
    PAGE.touch()
    PAGE.remember(_FOUND_BY, way)
    PAGE.remember(_NAMED, _named(address.read()))


def _named(url: Url) -> str:
    return url.get(FIND_IN_URL, [""])[-1]


def reading() -> Reading | None:
    """What was read last in this tab."""
    return PAGE.recall(_READING)


def keep(read: Reading) -> None:
    """Search in this from now on. Tokens that were chosen in another text are not in this one."""
    before = reading()
    if before and before.ask.prompt != read.ask.prompt:
        PAGE.settle(positions=(), part=1)
    PAGE.remember(_READING, read)
    PAGE.remember(_TO_READ, False)


def must_read() -> bool:
    """Whether a run was requested that has not finished yet."""
    return PAGE.recall(_TO_READ, True)


def give_up() -> None:
    """Do not read again by itself what could not be read."""
    PAGE.remember(_TO_READ, False)


def stale(read: Reading, wanted: ReadAsk) -> str:
    """What the boxes say that was not read, in words; empty if everything was."""
    missing = {*wanted.saes} - {*read.ask.saes}
    changes = (
        ("the text", read.ask.prompt.text != wanted.prompt.text),
        ("the chat setting", read.ask.prompt.chat != wanted.prompt.chat),
        ("the second text", read.ask.without != wanted.without),
        (f"the selection ({len(missing)} more SAE{'s' if len(missing) > 1 else ''})", bool(missing)),
    )
    return ", ".join(words for words, changed in changes if changed)


def read_now() -> None:
    """Callback: read what the boxes say."""
    PAGE.touch()
    PAGE.remember(_TO_READ, True)


def use_example(name: str) -> None:
    """Callback: read an example."""
    PAGE.change(text=EXAMPLES[name], chat=False, without="")
    read_now()


def opened() -> tuple[LatentId, Prompt] | None:
    """The latent whose row was clicked just now, and the text in which it was found."""
    seen, key = reading(), PAGE.held("results", {}).get("opened")
    return (LatentId.parse(key), seen.ask.prompt) if seen and key else None


def pick_tokens() -> None:
    """Callback of the text: these tokens count."""
    picked = PAGE.event("results", "picked")
    if picked is not None:
        PAGE.change(positions=tuple(int(position) for position in picked), part=1)


def pick_layer() -> None:
    """Callback of the bars: search in this layer too, or no longer."""
    layer = PAGE.event("results", "layer")
    if layer is not None:
        PAGE.change(layers=tuple(sorted({*PAGE.view.layers} ^ {int(layer)})), part=1)
