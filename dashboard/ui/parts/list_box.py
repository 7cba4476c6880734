"""Latents go into a list: from a box of names, or one by one from rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.resources import get_notebook

FIRST_LIST = "My latents"
"""The list that is filled when none was named."""


def list_box(page: Page[Any], widget: str, latents: Sequence[LatentId], placeholder: str, without: Sequence[str] = ()) -> None:
    """Add latents to a list that is chosen here, or to a new one; `without` are lists that are not offered."""

    def add(name: str | None) -> None:
        page.touch()
        if name:
            try:
                page.toast(add_to_list(latents, name))
            except AnalysisError as error:
                page.say(str(error))

    names = [one.name for one in get_notebook().lists() if one.name not in without]
    st.selectbox(
        "Lists", names, index=None, placeholder=placeholder, accept_new_options=True, label_visibility="collapsed",
        **page.widget(widget, None, add),
    )  # fmt: skip


def into_box(page: Page[Any], label: str, **more: Any) -> None:
    """Which list is filled from the rows of a page, whose view says so in `into`: one of the notebook's, or a new one."""
    names = [one.name for one in get_notebook().lists()]
    st.selectbox(label, names, index=None, accept_new_options=True, placeholder=FIRST_LIST, **page.bind("into"), **more)


def listed(page: Page[Any]) -> frozenset[LatentId]:
    """What the list has that is filled from rows."""
    return frozenset(entry.latent for known in get_notebook().lists() if known.name == _filled(page) for entry in known.entries)


def toggle_listed(page: Page[Any], component: str) -> None:
    """Callback of rows: put a latent into the list that is filled, or take it out."""
    if picked := page.event(component, "listed"):
        page.toast(toggle_in_list(LatentId.parse(str(picked)), _filled(page)))


def _filled(page: Page[Any]) -> str:
    return (page.view.into or "").strip() or FIRST_LIST


def add_to_list(latents: Sequence[LatentId], name: str) -> str:
    """Add latents to a list, which is made if it is new; says what was done.

    Raises:
        AnalysisError: if the list cannot be kept.
    """
    book, entries = get_notebook(), tuple(map(ListEntry, latents))
    if name in {one.name for one in book.lists()}:
        book.change_list(name, lambda old: old.with_entries(*entries))
    else:
        book.save_list(LatentList(name, entries=entries))
    return f"{len(latents)} latent{'s are' if len(latents) > 1 else ' is'} in the list {name}."


def toggle_in_list(latent: LatentId, name: str) -> str:
    """Put a latent into a list, which is made if it is new, or take it out; says which, or why it could not be."""
    book = get_notebook()

    def toggled(known: LatentList) -> LatentList:
        rest = tuple(entry for entry in known.entries if entry.latent != latent)
        return replace(known, entries=rest) if len(rest) < len(known.entries) else known.with_entries(ListEntry(latent))

    try:
        if name in {known.name for known in book.lists()}:
            now = book.change_list(name, toggled)
        else:
            now = LatentList(name, entries=(ListEntry(latent),))
            book.save_list(now)
    except AnalysisError as error:
        return str(error)
    return f"{latent} {'is now in' if latent in {entry.latent for entry in now.entries} else 'was taken out of'} the list {now.name}."
