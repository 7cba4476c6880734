"""What the search page shows of a search by word, and what a person can do with it."""

from dataclasses import dataclass

from dashboard.ui.parts import sae_sources
from dashboard.ui.parts.sae_sources import Sources
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import Url, View, choice, local, long_text
from dashboard.ui.views import search

EXACT, MEANING = "Exact", "By meaning"
EXAMPLES = ("months of the year", "Paris", "medicine", "because", "colours")
"""The first is what a tab opens with."""
MAX_ROWS, PER_PAGE = 100, 25


@dataclass(frozen=True)
class WordView(View):
    """Everything that a search by word shows."""

    found_by: str = choice(search.FIND_IN_URL, search.WORD_IN_URL, [search.WORD_IN_URL], always=True)
    """Tells this search from one by text."""
    word: str = long_text("word", EXAMPLES[0], always=True)
    how: str = choice("how", MEANING, {EXACT: "exact", MEANING: "meaning"}, always=True)
    """By meaning, instead of exactly."""
    releases: tuple[str, ...] = sae_sources.releases()
    layers: tuple[int, ...] = sae_sources.layers()
    points: tuple[str, ...] = sae_sources.points()
    part: int = local(1)
    """The part of the answer that is shown, from 1."""
    into: str | None = local(None)
    """The list that rows go into; None for the first one."""

    @property
    def is_by_meaning(self) -> bool:
        """By meaning, instead of exactly."""
        return self.how == MEANING

    @property
    def sources(self) -> Sources:
        """Where the search looks."""
        return Sources(self.releases, self.layers, self.points)


def _owns(url: Url) -> bool:
    """An address of a search by text chooses for that one alone."""
    return list(url.get(search.FIND_IN_URL, ())) == [search.WORD_IN_URL]


PAGE = Page("word", search.PAGE.script, WordView, lambda _: WordView(), _owns)
