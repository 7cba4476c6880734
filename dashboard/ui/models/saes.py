"""The part on SAEs of the page Models and SAEs: installed ones, available ones, and the progress of one being installed."""

from typing import Any

import streamlit as st

from dashboard.analysis.errors import AnalysisError, BadName
from dashboard.analysis.index.file import index_file
from dashboard.analysis.install.bringing import FIGURES, STUDY, BringAsk, Brought
from dashboard.analysis.names import LatentId, ModelId
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.sae.public.directory import DirectoryEntry, find
from dashboard.analysis.sae.public.families import FAMILIES
from dashboard.analysis.sae.public.sizes import sizes_of
from dashboard.analysis.settings import INDEX_TOKENS
from dashboard.ui.parts import cautions, figures, panel
from dashboard.ui.shell import choosing, failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import choice, get_catalog, renew_catalogs
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.models import PAGE, row_of

_POLL_S = 0.7
_MAX_ROWS = 300
_UNKNOWN = "not known"


def here() -> None:
    """Every SAE of the model that is here, with its measured figures; a row that is chosen is opened."""
    catalog = get_catalog()
    for error in catalog.broken.values():
        st.warning(failures.plain(str(error)), icon=":material/broken_image:")
    cautions.shown(catalog, [spec.id for spec in catalog.specs])
    _offer_other_bos(catalog)
    if not catalog.specs:
        st.caption("None is installed yet.")
        return
    rows = [_spec_row(spec) for spec in catalog.specs]
    height = "content" if len(rows) < 9 else 320
    st.dataframe(rows, hide_index=True, height=height, key=PAGE.key("here"), on_select="rerun", selection_mode="single-row")
    row = row_of("here")
    with st.container(horizontal=True):
        if st.button("Open its first latent", key=PAGE.key("open"), disabled=row is None, icon=":material/center_focus_strong:"):
            latent_state.show(LatentId(catalog.specs[row or 0].id, 0))
        if st.button("Rescan", key=PAGE.key("again"), icon=":material/refresh:", help="Look for SAEs that a command has added meanwhile."):
            renew_catalogs(choice())
            st.rerun()


def _offer_other_bos(catalog: Catalog) -> None:
    """Offer to switch BOS where SAEs cannot be read because they were trained on texts with the other setting."""
    own = choice()
    others = [str(spec.id) for spec in catalog.specs if spec.wants_bos is (not own.bos)]
    if not others:
        return
    how = "without" if own.bos else "with"
    named = ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")
    said = f"{len(others)} of {len(catalog.specs)} SAEs were trained on texts {how} a BOS token and cannot be used now: {named}."
    st.warning(failures.plain(said), icon=":material/first_page:")
    if st.button(f"Read texts {how} BOS from now on", key=PAGE.key("other BOS"), icon=":material/refresh:"):
        choosing.read_so(own, not own.bos, own.dtype)


def _spec_row(spec: SaeSpec) -> dict[str, Any]:
    row = {"L0": figures.figure(spec.measured("l0"), 1)}
    row |= {"FVU": figures.figure(spec.measured("fvu"), 3), "CE recovered": figures.figure(spec.measured("ce_recovered"), 3)}
    indexed = "yes" if index_file(spec).is_file() else "no"
    return {"SAE": str(spec.id), "site": str(spec.site), "latents": spec.n_latents, "kind": spec.kind, **row, "index": indexed}


def directory() -> None:
    """Search sae-lens' directory of public SAEs, and get one."""
    own = choice().id
    title = "Find a public SAE in sae-lens' directory"
    with st.expander(title, icon=":material/travel_explore:", key=PAGE.key("directory"), on_change="rerun") as box:
        if not box.open:
            return
        if PAGE.view.query is None:
            PAGE.settle(query=next((one.query for one in FAMILIES if _is_of(one.model, own)), ""))
        words, only = st.columns([5, 2], vertical_alignment="bottom")
        words.text_input("Words in release, id, model or Neuronpedia id", **PAGE.bind("query"))
        mine = only.toggle(f"Only for {failures.plain(str(own))}", **PAGE.bind("only_own"))
        with st.spinner("reading the directory"):
            found = [one for one in find(PAGE.view.query or "") if not mine or _is_of(one.model, own)]
        shown = found[:_MAX_ROWS]
        st.caption(f"{len(found):,} SAEs" + (f"; the first {_MAX_ROWS} are shown." if len(found) > _MAX_ROWS else "."))
        if not shown:
            return
        rows = [_entry_row(one) for one in shown]
        st.dataframe(rows, hide_index=True, height=280, key=PAGE.key("found"), on_select="rerun", selection_mode="single-row")
        row = row_of("found")
        entry = shown[row] if row is not None and row < len(shown) else None
        if entry is None:
            st.caption("Choose a row to get it.")
            return
        _get_entry(entry, own)


def _entry_row(one: DirectoryEntry) -> dict[str, Any]:
    known = {"site": one.site, "latents": one.n_latents, "L0": one.l0, "Neuronpedia": one.neuronpedia_id}
    shown = {key: _UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value) for key, value in known.items()}
    return {"name": one.name, "model": one.model, **shown, "cannot be used": one.refused or ""}


def _get_entry(entry: DirectoryEntry, own: ModelId) -> None:
    if entry.refused:
        st.warning(failures.plain(f"{entry.name} cannot be used: {entry.refused}."), icon=":material/block:")
        return
    if not _is_of(entry.model, own):
        said = f"{entry.name} is of {entry.model}; {own} is chosen. Load its model above first."
        st.warning(failures.plain(said), icon=":material/swap_horiz:")
        return
    sizes: dict[str, int | None] = dict(PAGE.recall("bytes", {}))
    if entry.name not in sizes:
        try:
            with st.spinner("asking the hub for its size"):
                sizes |= sizes_of([entry])
        except AnalysisError as error:
            sizes[entry.name] = None
            st.caption(failures.plain(str(error)))
    PAGE.remember("bytes", sizes)
    size = sizes[entry.name]
    about = _UNKNOWN if size is None else f"{size / 2**20:,.0f} MiB"
    text, tokens, button = st.columns([5, 3, 3], vertical_alignment="bottom")
    text.markdown(failures.plain(f"{entry.name}: {about} to fetch"))
    n = _tokens_box(tokens, "found")
    if button.button("Get, measure and index", key=PAGE.key("get"), type="primary", icon=":material/download:", width="stretch"):
        _start(entry.name, n)


def given() -> None:
    """An SAE by the name of its folder or repository."""
    with st.form(PAGE.key("name form"), border=False):
        name, tokens, button = st.columns([6, 3, 2], vertical_alignment="bottom")
        text = name.text_input(
            "Or a folder in sae-lens' layout, OWNER/REPO/ID, or RELEASE/ID", key=PAGE.key("name"), placeholder="/my/saes/12.resid_post"
        )
        n = _tokens_box(tokens, "given")
        if button.form_submit_button("Add", icon=":material/add:", width="stretch") and text.strip():
            _start(text.strip(), n)


def progress() -> None:
    """How far the SAE is that this tab is bringing, and what was found of it."""
    name = PAGE.key("bringing")
    now = panel.shown(name)
    if now is not None:
        panel.panel(STUDY, name, lambda: now.ask, False, _draw)


def _draw(found: Brought) -> None:
    st.markdown(f"**{failures.plain(str(found.sae))}**: {found.n_latents:,} latents at {failures.plain(str(found.site))}")
    digits = {"l0": 1, "fvu": 3, "ce_recovered": 3}
    names = {"l0": "L0", "fvu": "FVU", "ce_recovered": "CE recovered"}
    for column, name in zip(st.columns(3), FIGURES, strict=True):
        column.metric(names[name], figures.figure(found.measured[name], digits[name]), help=TERMS[names[name]])
    st.caption(f"Over {found.measured['n_tokens']} ordinary tokens of a short text.")
    if found.caution:
        st.warning(failures.plain(f"{found.sae}: {found.caution}"), icon=":material/warning:")
    if found.is_indexed and st.button("Open its first latent", key=PAGE.key(f"open {found.sae}"), type="primary"):
        latent_state.show(LatentId(found.sae, 0))


def _tokens_box(place: Any, where: str) -> int:
    tip = (
        "The index records where each latent fires over about this many tokens of the shipped text. More take longer and are more precise."
    )
    return int(place.number_input("Tokens of the index", 1_000, 1_000_000, INDEX_TOKENS, 10_000, key=PAGE.key(f"tokens {where}"), help=tip))


def _start(name: str, n_tokens: int) -> None:
    if not choosing.is_ready():
        return
    panel.start(STUDY, PAGE.key("bringing"), BringAsk(name, n_tokens))
    st.rerun()


def _is_of(model: str, own: ModelId) -> bool:
    try:
        return kinship(ModelId.parse(model), own) in (Kinship.SAME, Kinship.TWIN)
    except BadName:
        return False
