"""Typed state of the lists page <-> session, notebook and address bar. With `state.py`, one of the places where keys are spelt.

A list that is kept is in the notebook, and every change goes there at once; the address names it (`?name=`). A list that comes in
a link (`?list=`, with its entries) or that the page shows as an example lives in the tab until it is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.list_forms import Imported, import_list, unpack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell import address
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.tab import has_acted, note_change

CHOICE, TITLE, DESCRIPTION, TEXT, COMMON, WRAP, ROWS, PART = (
    "list_choice", "list_title", "list_description", "list_text", "list_common", "list_wrap", "list_rows", "list_part",
)  # fmt: skip
ADD_FORM, ADD, KEEP, STEER, DELETE, DELETE_YES, DELETE_NO, EXPORT, PASTED, IMPORT_FORM, TAKE = (
    "list_add_form", "list_add", "list_keep", "list_steer", "list_delete", "list_delete_yes", "list_delete_no", "list_export",
    "list_pasted", "list_import_form", "list_take",
)  # fmt: skip
PER_PAGE = 25
_UPLOAD, _LOOSE, _SAID, _DELETING, _SHOWN = "list_upload", "list_loose", "list_said", "list_deleting", "list_shown"
_BAR = address.Bar("list")


@dataclass(frozen=True)
class ListState:
    """Everything that the page shows."""

    latents: LatentList
    is_kept: bool
    """In the notebook of this installation."""
    is_common: bool
    """One scale for all rows, instead of each latent's own maximum."""
    is_wrapped: bool
    part: int
    """Which PER_PAGE of its latents are drawn, from 1."""
    is_deleting: bool
    """Somebody asked to delete it and has not said yes yet."""

    @property
    def entries(self) -> tuple[ListEntry, ...]:
        """Those that are drawn."""
        return self.latents.entries[PER_PAGE * (self.part - 1) : PER_PAGE * self.part]


def example(catalog: Catalog) -> LatentList:
    """A list to look at where there is none yet: what the first page's examples are about."""
    entries: dict[LatentId, ListEntry] = {}
    chosen = dict(list(EXAMPLES.items())[:3])
    for name, shown in chosen.items():
        try:
            latent = catalog.latent(LatentId.parse(shown.latent))
            entries.setdefault(latent, ListEntry(latent, name))
        except AnalysisError:
            continue
    text = " ".join(shown.text.strip() for shown in chosen.values())
    said = "A first look: each of these fires on another part of the same text. Keep it, or make your own." if entries else ""
    return LatentList("Worked example", said, text, tuple(entries.values()))


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong, for people."""
    kept, url = st.session_state, {key: values for key, values in address.read().items() if key in ("list", "name")}
    kept.setdefault(COMMON, False)
    kept.setdefault(WRAP, True)
    kept.setdefault(PART, 1)
    kept.setdefault(_DELETING, False)
    if _BAR.stands(url, acted=has_acted()) and CHOICE in kept:
        return _BAR.problems()
    if not url and CHOICE in kept:
        return _BAR.took(url)
    problems: list[str] = []
    names = [known.name for known in get_notebook().lists()]
    kept[CHOICE], kept[_LOOSE] = None, None
    if "list" in url:
        try:
            imported = unpack_link(url["list"][-1], catalog)
            kept[_LOOSE] = imported.latents
            problems += imported.notices
        except AnalysisError as error:
            problems.append(str(error))
    elif "name" in url:
        if url["name"][-1] in names:
            kept[CHOICE] = url["name"][-1]
        else:
            problems.append(f"There is no list called {url['name'][-1][:80]!r} on this machine. A link that carries it begins with ?list=.")
    if kept[CHOICE] is None and kept[_LOOSE] is None and names:
        kept[CHOICE] = names[0]
    return _BAR.took(url, problems)


def list_state(catalog: Catalog) -> ListState:
    """The state of this tab; widgets show the list that is chosen."""
    kept, book = st.session_state, get_notebook()
    latents = kept[_LOOSE] or example(catalog)
    is_kept = False
    if kept[CHOICE] is not None:
        known = {one.name: one for one in book.lists()}
        if kept[CHOICE] in known:
            latents, is_kept = known[kept[CHOICE]], True
        else:
            kept[CHOICE] = None
    n_parts = max(1, -(-len(latents.entries) // PER_PAGE))
    if kept.get(_SHOWN) != latents:
        kept[TITLE], kept[DESCRIPTION], kept[TEXT] = latents.name, latents.description, latents.test_text
        kept[_SHOWN] = latents
    if not 1 <= kept[PART] <= n_parts:
        kept[PART] = 1
    return ListState(latents, is_kept, kept[COMMON], kept[WRAP], kept[PART], kept[_DELETING])


def write_url(view: ListState, link: str | None) -> None:
    """Make the address bar say what is on the screen: a list that is kept by its name, another by its entries."""
    kept = st.session_state
    url: dict[str, list[str]] = {"name": [view.latents.name]} if view.is_kept else {}
    if kept[_LOOSE] is not None and not view.is_kept and link:
        url = {"list": [link]}
    _BAR.say(url)


def choose() -> None:
    """Callback of the chooser: go to a list; a name that is new makes one."""
    note_change()
    kept, book = st.session_state, get_notebook()
    name = kept[CHOICE]
    kept[PART], kept[_DELETING] = 1, False
    if name is None:
        return
    try:
        if name not in {known.name for known in book.lists()}:
            made = LatentList(name)
            book.save_list(made)
            kept[CHOICE] = made.name
            say(f"{made.name} is a new list. Add latents by name, or from the latent and search pages.")
    except AnalysisError as error:
        kept[CHOICE] = None
        say(str(error))


def keep(latents: LatentList) -> None:
    """Callback: put a list of the tab into the notebook, under another name if its own is taken."""
    note_change()
    kept, book = st.session_state, get_notebook()
    names = {known.name for known in book.lists()}
    name, number = latents.name, 2
    while name in names:
        name, number = f"{latents.name[:70]} {number}", number + 1
    try:
        book.save_list(replace(latents, name=name))
        kept[CHOICE], kept[_LOOSE] = name, None
        say(f"Kept as {name}." if name == latents.name else f"Kept as {name}: there is a list called {latents.name} already.")
    except AnalysisError as error:
        say(str(error))


def change(view: ListState, to: Callable[[LatentList], LatentList]) -> bool:
    """Change the list that is shown, where it is. False if that could not be; what was wrong is said."""
    note_change()
    kept = st.session_state
    try:
        if view.is_kept:
            kept[CHOICE] = get_notebook().change_list(view.latents.name, to).name
        else:
            kept[_LOOSE] = to(view.latents)
    except AnalysisError as error:
        say(str(error))
        kept.pop(_SHOWN, None)
        return False
    return True


def edit_head(view: ListState) -> None:
    """Callback of the boxes above the rows: name, description, test text."""
    kept = st.session_state
    change(view, lambda old: replace(old, name=kept[TITLE], description=kept[DESCRIPTION], test_text=kept[TEXT]))


def move(view: ListState) -> None:
    """Callback of the rows: a latent goes up or down by some places."""
    moved = st.session_state[ROWS].get("moved")
    if moved:
        latent = LatentId.parse(str(moved["key"]))
        change(view, lambda old: replace(old, entries=moved_by(old.entries, latent, int(moved["by"]))))


def moved_by(entries: tuple[ListEntry, ...], latent: LatentId, by: int) -> tuple[ListEntry, ...]:
    """The entries with one of them moved by some places, down if above 0, no further than to an end."""
    order = list(entries)
    place = next((i for i, entry in enumerate(order) if entry.latent == latent), None)
    if place is not None:
        order.insert(max(0, place + by), order.pop(place))
    return tuple(order)


def remove(view: ListState) -> None:
    """Callback of the rows: take a latent out."""
    removed = st.session_state[ROWS].get("removed")
    if removed:
        latent = LatentId.parse(str(removed))
        change(view, lambda old: replace(old, entries=tuple(entry for entry in old.entries if entry.latent != latent)))


def write_note(view: ListState) -> None:
    """Callback of the rows: what a latent does in this list."""
    noted = st.session_state[ROWS].get("noted")
    if noted:
        entry = ListEntry(LatentId.parse(str(noted["key"])), str(noted["note"]))
        change(view, lambda old: replace(old, entries=tuple(entry if each.latent == entry.latent else each for each in old.entries)))


def add(view: ListState, catalog: Catalog) -> None:
    """Callback of the form: add latents by their names, separated by spaces or commas."""
    note_change()
    names = st.session_state[ADD].replace(",", " ").split()
    try:
        entries = [ListEntry(catalog.latent(LatentId.parse(name))) for name in names]
    except AnalysisError as error:
        say(str(error))
        return
    if change(view, lambda old: old.with_entries(*entries)):
        st.session_state[ADD] = ""


def ask_to_delete(wanted: bool) -> None:
    """Callback: somebody wants to delete the list, or has thought better of it."""
    note_change()
    st.session_state[_DELETING] = wanted


def delete(name: str) -> None:
    """Callback: delete the list, now that it was confirmed."""
    ask_to_delete(False)
    kept, book = st.session_state, get_notebook()
    try:
        book.delete_list(name)
        names = [known.name for known in book.lists()]
        kept[CHOICE], kept[_LOOSE] = (names[0] if names else None), None
        say(f"{name} is deleted. Its latents keep their labels and notes.")
    except AnalysisError as error:
        say(str(error))


def turn() -> None:
    """Callback of the leafing."""
    note_change()


def upload_key() -> str:
    """Key of the upload box; another one after each file, so that the box is empty again."""
    return f"{_UPLOAD}_{st.session_state.setdefault(_UPLOAD, 0)}"


def take_upload(catalog: Catalog) -> None:
    """Callback of the upload box: show the list of a file, and keep it."""
    file = st.session_state[upload_key()]
    if file is not None:
        name = file.name.rpartition(".")[0] or file.name
        _take(lambda: import_list(file.getvalue(), name, catalog))
        st.session_state[_UPLOAD] += 1


def take_pasted(catalog: Catalog) -> None:
    """Callback of the paste box: a quick-list link, a link of ours, or JSON."""
    text = st.session_state[PASTED].strip()

    def read() -> Imported:
        if not text:
            raise BadAsk("Nothing was pasted: paste a link or JSON.")
        packed = text.rpartition("list=")[2] if "list=" in text and "quick-list" not in text else ""
        return unpack_link(packed, catalog) if packed else import_list(text.encode("utf-8", "replace"), "Pasted", catalog)

    if _take(read):
        st.session_state[PASTED] = ""


def say(line: str) -> None:
    """Have something said once, when the page is drawn."""
    st.session_state[_SAID] = [*st.session_state.get(_SAID, []), line]


def said() -> list[str]:
    """What callbacks had to say, once."""
    return st.session_state.pop(_SAID, [])


def _take(read: Callable[[], Imported]) -> bool:
    note_change()
    try:
        imported = read()
    except AnalysisError as error:
        say(str(error))
        return False
    keep(imported.latents)
    st.session_state[PART] = 1
    for notice in imported.notices[:5]:
        say(notice)
    if len(imported.notices) > 5:
        say(f"{len(imported.notices) - 5} more were left out.")
    return True
