"""Inputs of the lists page: which list, what it is about, and how it comes in and goes out."""

import re
from typing import Any

import streamlit as st

from dashboard.analysis.notebook.list_forms import MAX_LINK, MAX_QUICK, Form, export_list, pack_link, without_notes
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui import steer_url
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_notebook
from dashboard.ui.shell.tab import note_change
from dashboard.ui.views import lists
from dashboard.ui.views.steer import MAX_EDITS

_KEPT: dict[str, Any] = {"persist_state": "session"}
_FORMS = {
    Form.OURS: ("JSON", "json", "application/json", "Everything, to be imported here or on another installation."),
    Form.LIST: ("Neuronpedia list", "json", "application/json", "As POST /api/list/new-with-features takes it."),
    Form.FEATURES: ("Neuronpedia features", "jsonl", "application/jsonl", "A line a latent; notes are explanations."),
}


def chooser(view: lists.ListState) -> None:
    """Which list, and what can be done with all of it."""
    names = [known.name for known in get_notebook().lists()]
    box, acts = st.columns([3, 4], vertical_alignment="bottom")
    box.selectbox(
        "List", names, index=None, key=lists.CHOICE, accept_new_options=True, on_change=lists.choose, label_visibility="collapsed",
        placeholder="Choose a list, or type the name of a new one", **_KEPT,
    )  # fmt: skip
    with acts, st.container(horizontal=True, horizontal_alignment="right"):
        if not view.is_kept:
            st.button(
                "Keep this list", key=lists.KEEP, on_click=lists.keep, args=(view.latents,), type="primary", icon=":material/bookmark:"
            )
        steer_help = "Open these latents on the steer page" + (
            f", the first {MAX_EDITS}." if len(view.latents.entries) > MAX_EDITS else "."
        )
        if st.button("Steer", key=lists.STEER, icon=":material/tune:", disabled=not view.latents.entries, help=steer_help):
            steer_url.show({"latent": [str(entry.latent) for entry in view.latents.entries[:MAX_EDITS]]})
        if view.is_kept:
            st.button("Delete", key=lists.DELETE, on_click=lists.ask_to_delete, args=(True,), icon=":material/delete:")
    if view.is_deleting and view.is_kept:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            n = len(view.latents.entries)
            st.markdown(f"Delete **{failures.plain(view.latents.name)}** with its {n} latents and their notes in it?")
            st.button("Delete it", key=lists.DELETE_YES, on_click=lists.delete, args=(view.latents.name,), type="primary")
            st.button("Leave it", key=lists.DELETE_NO, on_click=lists.ask_to_delete, args=(False,))


def head(view: lists.ListState) -> None:
    """Name, description and test text."""
    shared: dict[str, Any] = {"on_change": lists.edit_head, "args": (view,), **_KEPT}
    name, description = st.columns([2, 5])
    name.text_input("Name", key=lists.TITLE, **shared)
    description.text_input("Description", key=lists.DESCRIPTION, placeholder="What these latents have in common", **shared)
    st.text_area("Test text, read by all of them", key=lists.TEXT, height=80, placeholder="Type a text, then Ctrl+Enter", **shared)


def adding(view: lists.ListState, catalog: Catalog) -> None:
    """Add latents by name; how rows are drawn."""
    form, options = st.columns([4, 3], vertical_alignment="bottom")
    with form, st.form(lists.ADD_FORM, border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Add latents", key=lists.ADD, placeholder="RELEASE/SAE/INDEX, several with spaces between", label_visibility="collapsed"
        )
        st.form_submit_button("Add", on_click=lists.add, args=(view, catalog), icon=":material/add:")
    with options, st.container(horizontal=True, horizontal_alignment="right"):
        common_help = "Shade all rows on the scale of the strongest; off: each on the scale of its own largest activation."
        st.toggle("Common scale", key=lists.COMMON, on_change=note_change, help=common_help, **_KEPT)
        st.toggle("Wrap", key=lists.WRAP, on_change=note_change, help="Break the text into lines.", **_KEPT)


def in_and_out(view: lists.ListState, catalog: Catalog) -> None:
    """Files and links."""
    with st.expander("Import, export, link", icon=":material/swap_horiz:"):
        coming, going = st.columns(2, gap="large")
        with coming:
            st.markdown("**Import**")
            st.file_uploader(
                "A list of ours, or Neuronpedia's list, quick list or feature records", type=["json", "jsonl", "gz"],
                key=lists.upload_key(), on_change=lists.take_upload, args=(catalog,),
            )  # fmt: skip
            with st.form(lists.IMPORT_FORM, border=False):
                st.text_area("Or paste a link or JSON", key=lists.PASTED, height=68, placeholder="…/lists?list=… or …/quick-list/?…")
                st.form_submit_button("Import", key=lists.TAKE, on_click=lists.take_pasted, args=(catalog,))
        with going:
            st.markdown("**Export**")
            _downloads(view, catalog)
            _links(view, catalog)


def _downloads(view: lists.ListState, catalog: Catalog) -> None:
    stem = re.sub(r"[^\w.-]+", "-", view.latents.name).strip("-") or "list"
    with st.container(horizontal=True):
        for form, (name, suffix, mime, about) in _FORMS.items():
            text = export_list(view.latents, form, catalog).text
            key = f"{lists.EXPORT}_{form.name}"
            st.download_button(name, text, f"{stem}.{suffix}", mime, key=key, on_click="ignore", help=about, icon=":material/download:")
    left_out = export_list(view.latents, Form.LIST, catalog).left_out
    if left_out:
        names = ", ".join(map(str, left_out[:3]))
        st.caption(failures.plain(f"{len(left_out)} latents have no name of Neuronpedia's, because their SAE is not here: {names}."))


def _links(view: lists.ListState, catalog: Catalog) -> None:
    address = (st.context.url or "").partition("?")[0]
    link, said = pack_link(view.latents), "A link that carries this list, for any installation with these SAEs:"
    if link is None:
        link = pack_link(without_notes(view.latents))
        said = f"With its notes this list is longer than the {MAX_LINK:,} characters of a link. One without notes and description:"
    if link is None:
        st.caption(f"This list is longer than the {MAX_LINK:,} characters of a link. Send the JSON file.")
    else:
        st.caption(said)
        st.code(f"{address}?list={link}", language=None)
    quick = export_list(view.latents, Form.QUICK, catalog)
    st.caption(
        "Neuronpedia's quick list, to be put behind its host"
        + (f", the first {MAX_QUICK} latents:" if len(view.latents.entries) > MAX_QUICK else ":")
    )
    st.code(quick.text, language=None)
