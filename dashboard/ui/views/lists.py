"""What the lists page shows.

A list that is kept is in the notebook, and every change goes there at once; the address names it (`?name=`). A list that comes in
a link (`?list=`, with its entries) or that the page shows as an example lives in the tab until it is kept.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Self

from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.list_forms import Imported, pack_link, unpack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.view import Part, View, local, part

PER_PAGE = 25


def _kept(said: str, _: Catalog) -> str:
    if said in list_names():
        return said
    raise BadAsk(f"There is no list named {said[:80]!r} on this machine. A link that carries it begins with ?list=.")


def _link(latents: LatentList) -> str:
    return pack_link(latents) or ""


@dataclass(frozen=True)
class ListsView(View):
    """Which list is shown, and how. With neither a name nor a list of the tab, that is the worked example."""

    name: str = part("", Part("name", _kept))
    """Of a list in the notebook."""
    loose: LatentList | None = part(None, Part("list", unpack_link, _link))
    """A list of the tab."""
    is_common: bool = local(False)
    """One scale for all rows, instead of each latent's own maximum."""
    is_wrapped: bool = local(True)
    part: int = local(1)
    """Which PER_PAGE of its latents are drawn, from 1."""
    is_deleting: bool = local(False)
    """Deletion was requested and not confirmed yet."""

    def completed(self, named: Collection[str], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """A list in the link comes before a name; without either the first list of the notebook is shown."""
        del named, catalog, before
        if isinstance(self.loose, Imported):
            return replace(self, name="", loose=self.loose.latents), list(self.loose.notices)
        return (self if self.name else replace(self, name=first_name())), []


def first_look(catalog: Catalog) -> ListsView:
    """What the tab has shown before, else the first list of the notebook."""
    del catalog
    return PAGE.view if PAGE.is_open else ListsView(first_name())


PAGE = Page("lists", "app_pages/lists.py", ListsView, first_look, owns=lambda url: not url.keys().isdisjoint({"name", "list"}))


@dataclass(frozen=True)
class Shown:
    """The list that is shown, and how."""

    view: ListsView
    latents: LatentList

    @property
    def is_kept(self) -> bool:
        """Whether it is in the notebook of this installation."""
        return bool(self.view.name)

    @property
    def n_parts(self) -> int:
        """How many times PER_PAGE latents it has."""
        return max(1, -(-len(self.latents.entries) // PER_PAGE))

    @property
    def entries(self) -> tuple[ListEntry, ...]:
        """Those that are drawn."""
        return self.latents.entries[PER_PAGE * (self.view.part - 1) : PER_PAGE * self.view.part]


def shown(catalog: Catalog) -> Shown:
    """What the view stands for; a list that another window has deleted is replaced by that of the tab, or by the example."""
    kept = next((one for one in get_notebook().lists() if one.name == PAGE.view.name), None)
    if kept is None:
        PAGE.settle(name="")
    found = Shown(PAGE.view, kept or PAGE.view.loose or example(catalog))
    return found if 1 <= found.view.part <= found.n_parts else replace(found, view=PAGE.settle(part=1))


def example(catalog: Catalog) -> LatentList:
    """A list to look at where there is none yet: what the first page's examples are about."""
    entries: dict[LatentId, ListEntry] = {}
    chosen = dict(list(EXAMPLES.items())[:3])
    for name, one in chosen.items():
        try:
            latent = catalog.latent(LatentId.parse(one.latent))
            entries.setdefault(latent, ListEntry(latent, name))
        except AnalysisError:
            continue
    text = " ".join(one.text.strip() for one in chosen.values())
    said = "A first look: each of these fires on another part of the same text. Keep it, or make your own." if entries else ""
    return LatentList("Worked example", said, text, tuple(entries.values()))


def change(now: Shown, to: Callable[[LatentList], LatentList]) -> bool:
    """Change the list that is shown, where it is. False if that could not be; what was wrong is said."""
    PAGE.touch()
    try:
        if now.is_kept:
            PAGE.change(name=get_notebook().change_list(now.latents.name, to).name)
        else:
            PAGE.change(loose=to(now.latents))
    except AnalysisError as error:
        PAGE.say(str(error))
        return False
    return True


def list_names() -> list[str]:
    """The lists of the notebook."""
    return [one.name for one in get_notebook().lists()]


def first_name() -> str:
    """The first list of the notebook; empty for none."""
    return next(iter(list_names()), "")
