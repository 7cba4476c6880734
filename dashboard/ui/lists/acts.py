"""Actions on lists: choose, save, change, delete, import."""

from collections.abc import Callable
from dataclasses import replace

from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.list_forms import Imported, import_list, unpack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.views.lists import PAGE, Shown, change, first_name, list_names

_MAX_NOTICES = 5


def choose(name: str | None) -> None:
    """Take what the chooser says: a list; a name that is new makes one."""
    try:
        if name and name not in list_names():
            name = LatentList(name).name
            get_notebook().save_list(LatentList(name))
            PAGE.say(f"{name} is a new list. Add latents by name, or from the latent and search pages.")
    except AnalysisError as error:
        PAGE.say(str(error))
        name = PAGE.view.name
    PAGE.change(name=name or "", part=1, is_deleting=False)


def keep(latents: LatentList) -> None:
    """Callback: put a list of the tab into the notebook, under another name if its own is taken."""
    PAGE.touch()
    names, name, number = list_names(), latents.name, 2
    while name in names:
        name, number = f"{latents.name[:70]} {number}", number + 1
    try:
        get_notebook().save_list(replace(latents, name=name))
    except AnalysisError as error:
        PAGE.say(str(error))
        return
    PAGE.change(name=name, loose=None)
    PAGE.say(f"Saved as {name}." if name == latents.name else f"Saved as {name}: a list named {latents.name} already exists.")


def delete(name: str) -> None:
    """Callback: delete the list, now that it was confirmed."""
    PAGE.change(is_deleting=False)
    try:
        get_notebook().delete_list(name)
        PAGE.change(name=first_name(), loose=None)
        PAGE.say(f"{name} is deleted. Its latents keep their labels and notes.")
    except AnalysisError as error:
        PAGE.say(str(error))


def move(now: Shown) -> None:
    """Callback of the rows: a latent goes up or down by some places."""
    if moved := PAGE.event("rows", "moved"):
        latent = LatentId.parse(str(moved["key"]))
        change(now, lambda old: replace(old, entries=moved_by(old.entries, latent, int(moved["by"]))))


def moved_by(entries: tuple[ListEntry, ...], latent: LatentId, by: int) -> tuple[ListEntry, ...]:
    """The entries with one of them moved by some places, down if above 0, no further than to an end."""
    order = list(entries)
    place = next((i for i, entry in enumerate(order) if entry.latent == latent), None)
    if place is not None:
        order.insert(max(0, place + by), order.pop(place))
    return tuple(order)


def remove(now: Shown) -> None:
    """Callback of the rows: take a latent out."""
    if removed := PAGE.event("rows", "removed"):
        latent = LatentId.parse(str(removed))
        change(now, lambda old: replace(old, entries=tuple(entry for entry in old.entries if entry.latent != latent)))


def write_note(now: Shown) -> None:
    """Callback of the rows: what a latent does in this list."""
    if noted := PAGE.event("rows", "noted"):
        entry = ListEntry(LatentId.parse(str(noted["key"])), str(noted["note"]))
        change(now, lambda old: replace(old, entries=tuple(entry if each.latent == entry.latent else each for each in old.entries)))


def add(now: Shown, catalog: Catalog) -> None:
    """Callback of the form: add latents by their names, separated by spaces or commas; all of them or none."""
    PAGE.touch()
    try:
        entries = [ListEntry(catalog.latent(LatentId.parse(name))) for name in PAGE.held("add", "").replace(",", " ").split()]
    except AnalysisError as error:
        PAGE.say(str(error))
        return
    if change(now, lambda old: old.with_entries(*entries)):
        PAGE.put("add", "")


def upload_name() -> str:
    """The name of the upload box; another one after each file, so that the box is empty again."""
    return f"upload {PAGE.recall('uploads', 0)}"


def take_upload(catalog: Catalog) -> None:
    """Callback of the upload box: show the list of a file, and keep it."""
    file = PAGE.held(upload_name())
    if file is not None:
        name = file.name.rpartition(".")[0] or file.name
        _take(lambda: import_list(file.getvalue(), name, catalog))
        PAGE.remember("uploads", PAGE.recall("uploads", 0) + 1)


def take_pasted(catalog: Catalog) -> None:
    """Callback of the paste box: a quick-list link, a link to this page, or JSON."""
    text = PAGE.held("pasted", "").strip()

    def read() -> Imported:
        if not text:
            raise BadAsk("Nothing was pasted: paste a link or JSON.")
        packed = text.rpartition("list=")[2] if "list=" in text and "quick-list" not in text else ""
        return unpack_link(packed, catalog) if packed else import_list(text.encode("utf-8", "replace"), "Pasted", catalog)

    if _take(read):
        PAGE.put("pasted", "")


def _take(read: Callable[[], Imported]) -> bool:
    PAGE.touch()
    try:
        imported = read()
    except AnalysisError as error:
        PAGE.say(str(error))
        return False
    keep(imported.latents)
    PAGE.change(part=1)
    for notice in imported.notices[:_MAX_NOTICES]:
        PAGE.say(notice)
    if len(imported.notices) > _MAX_NOTICES:
        PAGE.say(f"{len(imported.notices) - _MAX_NOTICES} more were left out.")
    return True
