"""Inputs of the lists page: which list, what it is about, and how it comes in and goes out."""

import re
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.analysis.notebook.list_forms import MAX_LINK, MAX_QUICK, Form, export_list, pack_link, without_notes
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.lists import acts
from dashboard.ui.shell import failures
from dashboard.ui.views import steer
from dashboard.ui.views.lists import PAGE, Shown, change, list_names

_FORMS = {
    Form.OURS: ("JSON", "json", "application/json", "Everything, to be imported here or on another installation."),
    Form.LIST: ("Neuronpedia list", "json", "application/json", "As POST /api/list/new-with-features takes it."),
    Form.FEATURES: ("Neuronpedia features", "jsonl", "application/jsonl", "One line per latent; notes become explanations."),
}


def chooser(now: Shown) -> None:
    """Which list, and what can be done with all of it."""
    box, buttons = st.columns([3, 4], vertical_alignment="bottom")
    box.selectbox(
        "List", list_names(), index=None, accept_new_options=True, label_visibility="collapsed",
        placeholder="Choose a list, or type the name of a new one", **PAGE.widget("choice", now.view.name or None, acts.choose),
    )  # fmt: skip
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if not now.is_kept:
            st.button(
                "Save this list", key=PAGE.key("keep"), on_click=acts.keep, args=(now.latents,), type="primary", icon=":material/bookmark:"
            )
        steer_help = "Open these latents on the steer page" + (
            f", the first {steer.MAX_EDITS}." if len(now.latents.entries) > steer.MAX_EDITS else "."
        )
        if st.button("Steer", key=PAGE.key("steer"), icon=":material/tune:", disabled=not now.latents.entries, help=steer_help):
            steer.go_with([entry.latent for entry in now.latents.entries[: steer.MAX_EDITS]])
        if now.is_kept:
            st.button("Delete", key=PAGE.key("delete"), on_click=PAGE.change, kwargs={"is_deleting": True}, icon=":material/delete:")
    if now.view.is_deleting and now.is_kept:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            n = len(now.latents.entries)
            st.markdown(f"Delete **{failures.plain(now.latents.name)}** with its {n} latents and their notes in this list?")
            st.button("Delete it", key=PAGE.key("delete it"), on_click=acts.delete, args=(now.latents.name,), type="primary")
            st.button("Cancel", key=PAGE.key("leave it"), on_click=PAGE.change, kwargs={"is_deleting": False})


def head(now: Shown) -> None:
    """Name, description and test text."""

    def bound(field: str) -> dict[str, Any]:
        return PAGE.widget(field, getattr(now.latents, field), lambda said: change(now, lambda old: replace(old, **{field: said})))

    name, description = st.columns([2, 5])
    name.text_input("Name", **bound("name"))
    description.text_input("Description", placeholder="What these latents have in common", **bound("description"))
    st.text_area("Test text for all latents", height=80, placeholder="Type a text, then Ctrl+Enter", **bound("test_text"))


def adding(now: Shown, catalog: Catalog) -> None:
    """Add latents by name; how rows are drawn."""
    form, options = st.columns([4, 3], vertical_alignment="bottom")
    with form, st.form(PAGE.key("add form"), border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Add latents", key=PAGE.key("add"), placeholder="RELEASE/SAE/INDEX, separated by spaces", label_visibility="collapsed"
        )
        st.form_submit_button("Add", on_click=acts.add, args=(now, catalog), icon=":material/add:")
    with options, st.container(horizontal=True, horizontal_alignment="right"):
        common_help = "Shade all rows on the scale of the strongest; off: each on the scale of its own largest activation."
        st.toggle("Common scale", help=common_help, **PAGE.bind("is_common"))
        st.toggle("Wrap", help="Break the text into lines.", **PAGE.bind("is_wrapped"))


def in_and_out(now: Shown, catalog: Catalog) -> None:
    """Files and links."""
    with st.expander("Import, export, link", icon=":material/swap_horiz:"):
        coming, going = st.columns(2, gap="large")
        with coming:
            st.markdown("**Import**")
            st.file_uploader(
                "A list exported here, or Neuronpedia's list, quick list or feature records", type=["json", "jsonl", "gz"],
                key=PAGE.key(acts.upload_name()), on_change=acts.take_upload, args=(catalog,),
            )  # fmt: skip
            with st.form(PAGE.key("import form"), border=False):
                st.text_area("Or paste a link or JSON", key=PAGE.key("pasted"), height=68, placeholder="…/lists?list=… or …/quick-list/?…")
                st.form_submit_button("Import", key=PAGE.key("import"), on_click=acts.take_pasted, args=(catalog,))
        with going:
            st.markdown("**Export**")
            _downloads(now, catalog)
            _links(now, catalog)


def _downloads(now: Shown, catalog: Catalog) -> None:
    stem = re.sub(r"[^\w.-]+", "-", now.latents.name).strip("-") or "list"
    with st.container(horizontal=True):
        for form, (name, suffix, mime, about) in _FORMS.items():
            text = export_list(now.latents, form, catalog).text
            key = PAGE.key(f"export {form.name}")
            st.download_button(name, text, f"{stem}.{suffix}", mime, key=key, on_click="ignore", help=about, icon=":material/download:")
    left_out = export_list(now.latents, Form.LIST, catalog).left_out
    if left_out:
        names = ", ".join(map(str, left_out[:3]))
        st.caption(failures.plain(f"{len(left_out)} latents have no Neuronpedia name because their SAE is not installed: {names}."))


def _links(now: Shown, catalog: Catalog) -> None:
    address = (st.context.url or "").partition("?")[0]
    link, said = pack_link(now.latents), "A link that carries this list, for any installation with these SAEs:"
    if link is None:
        link = pack_link(without_notes(now.latents))
        said = f"With its notes, this list is longer than the {MAX_LINK:,} characters of a link. Link without notes and description:"
    if link is None:
        st.caption(f"This list is longer than the {MAX_LINK:,} characters of a link. Send the JSON file instead.")
    else:
        st.caption(said)
        st.code(f"{address}?list={link}", language=None)
    quick = export_list(now.latents, Form.QUICK, catalog)
    st.caption(
        "Neuronpedia's quick list, append to the Neuronpedia host"
        + (f", the first {MAX_QUICK} latents:" if len(now.latents.entries) > MAX_QUICK else ":")
    )
    st.code(quick.text, language=None)
