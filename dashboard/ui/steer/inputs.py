"""Inputs of the steer page: the prompt, the edits with their sliders, where and how tokens are drawn."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from components.latent_list import latent_list
from components.token_strip import token_strip
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import NamedVector, Op, Unit
from dashboard.analysis.asks.generation import MAX_NEW_TOKENS, MAX_SEED
from dashboard.analysis.asks.weights import AssembleAsk, Dose, PromotedAsk
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.highlight import method as highlight
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.notebook.vectors import VectorFolder, parse_vector
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts import figures, latent_rows
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_engine
from dashboard.ui.shell.tab import note_change
from dashboard.ui.steer import present as present_steer
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views import steer
from dashboard.ui.views.steer_presets import presets_of

_UNITS = {Unit.MAX.value: "× max", Unit.NORM.value: "× norm", Unit.RAW.value: "raw"}
_OPS = {op.value: op.value.replace("_", " ") for op in Op}


def prompt_box(catalog: Catalog) -> None:
    """The prompt, its mode, stop, and presets."""
    box, options = st.columns([4, 1], vertical_alignment="bottom")
    box.text_area(
        "Prompt", key=steer.PROMPT, height=68, label_visibility="collapsed", on_change=steer.changed, persist_state="session",
        placeholder="Type a beginning, then Ctrl+Enter",
    )  # fmt: skip
    with options, st.container(horizontal=True, vertical_alignment="center"):
        st.toggle("Chat", key=steer.CHAT, on_change=steer.changed, persist_state="session", help="Read the text as a user message.")
        st.button("Stop", on_click=steer.stop, icon=":material/stop:", help="Keep what has been written so far.")
    with st.container(horizontal=True):
        for name, preset in presets_of(catalog).items():
            st.button(name, on_click=steer.use_preset, args=(preset,), type="tertiary", icon=":material/tune:", help=preset.caption)


def edit_list(catalog: Catalog, doses: Mapping[str, Dose]) -> None:
    """Every edit on a line of its own: operation, unit, slider and number."""
    releases = {spec.id.release for spec in catalog.specs}
    common = f"{releases.pop()}/" if len(releases) == 1 else ""
    for row in steer.rows():
        _edit_line(row, common, doses.get(row.key("amount")))


def _edit_line(row: steer.Row, common: str, dose: Dose | None) -> None:
    """`common` is what all names begin with, and is not repeated."""
    name, op, unit, slider, number, away = st.columns([30, 15, 15, 26, 14, 5], vertical_alignment="center", gap="small")
    shared: dict[str, Any] = {"label_visibility": "collapsed", "persist_state": "session"}
    chosen = Op(op.selectbox("Operation", list(_OPS), key=row.key("op"), format_func=_OPS.__getitem__, on_change=steer.changed, **shared))
    units = [name for name in _UNITS if name != Unit.MAX or not row.direction.startswith("vector/")]
    at = Unit(
        unit.selectbox(
            "Unit",
            units,
            key=row.key("unit"),
            format_func=_UNITS.__getitem__,
            on_change=steer.other_unit,
            args=(row,),
            disabled=not chosen.takes_unit,
            **shared,
        )
    )
    limit = steer.limit_of(at)
    shared |= {"disabled": chosen in (Op.ABLATE, Op.PROJECT_OUT), "step": limit / 80}
    slider.slider("Amount", -limit, limit, key=row.key("slider"), on_change=steer.slid, args=(row,), **shared)
    number.number_input("Number", key=row.key("amount"), format="%.4g", on_change=steer.typed, args=(row, limit), **shared)
    away.button("", key=row.key("remove"), on_click=steer.remove, args=(row,), icon=":material/close:", type="tertiary", help="Take away")
    pushes = "" if chosen in (Op.ABLATE, Op.PROJECT_OUT) else f"{st.session_state[row.key('amount')]:g} times what is there"
    if chosen.takes_unit and dose is not None:
        pushes = f"{figures.number(dose.amount)} × the direction, {dose.share_of_norm:+.0%} of the mean norm"
    name.markdown(f"**{failures.plain(row.direction.removeprefix(common))}**", help=f"{_promotes(row)}. {TERMS['edit']}")
    if pushes:
        name.caption(failures.plain(pushes))


def _promotes(row: steer.Row) -> str:
    if row.direction.startswith("vector/"):
        return "A vector"
    try:
        tokens = get_engine().ask(PromotedAsk(LatentId.parse(row.direction), 3))
    except AnalysisError:
        return "Not readable"
    return "Makes likelier " + " ".join(dict.fromkeys(repr(token.strip()) for token in tokens if "\ufffd" not in token))


def add_box(
    catalog: Catalog, vectors: VectorFolder, known: dict[str, NamedVector], view: steer.SteerState, doses: Mapping[str, Dose]
) -> None:
    """Add an edit: by name, from what fires on the prompt, or a vector; `known` are those of the folder."""
    # An expander and not a popover: a popover's content does not follow the page's colour scheme.
    with st.expander("Add a latent or a vector", icon=":material/add:"):
        by_name, firing, own = st.columns(3, gap="large")
        with by_name:
            st.markdown("**By name**", help=TERMS["latent"])
            with st.form(steer.ADD_FORM, border=False):
                st.text_input("Name", key=steer.ADD_NAME, placeholder="RELEASE/SAE/INDEX or vector/NAME", label_visibility="collapsed")
                if st.form_submit_button("Add", icon=":material/add:"):
                    if problem := steer.add_named(catalog, known):
                        st.warning(failures.plain(problem))
                    else:
                        note_change()
                        st.rerun()
        with firing, failures.shown():
            _firing_box(catalog, view.ask.prompt)
        with own, failures.shown():
            _vector_box(vectors, known, catalog)
            _sum_box(vectors, view, doses)


def _firing_box(catalog: Catalog, prompt: Prompt) -> None:
    st.markdown("**What fires on the prompt**")
    saes = [str(spec.id) for spec in catalog.specs]
    sae = SaeId.parse(st.selectbox("SAE", saes, index=len(saes) // 2, key=steer.ADD_SAE, label_visibility="collapsed"))
    if not prompt.text:
        st.caption("Nothing yet: type a prompt.")
        return
    capture = get_engine().ask(CaptureAsk(prompt, (sae,)))
    firing = highlight.strongest(capture.activations[sae], capture.tokens, 8)
    add = partial(steer.add_active, catalog)
    rows = latent_rows.latent_rows(firing, None, (), names(catalog))
    if opened := latent_list(rows, key=steer.ACTIVE, on_show=add, on_pin=add, on_open=note_change, keep="add"):
        latent_state.show(LatentId.parse(opened), prompt)


def _vector_box(vectors: VectorFolder, known: Mapping[str, NamedVector], catalog: Catalog) -> None:
    st.markdown("**A vector of your own**", help=TERMS["vector"])
    sites = list(dict.fromkeys(str(spec.site) for spec in catalog.specs))
    site = st.selectbox("Site, if the file names none", sites, key=steer.UPLOAD_SITE)
    file = st.file_uploader("JSON: an array of numbers, or Neuronpedia's vector", type="json", key=steer.UPLOAD)
    vector = None if file is None else parse_vector(file.getvalue(), file.name.removesuffix(".json"), Site.parse(site))
    if vector is not None and known.get(vector.name) != vector:
        vectors.keep(vector, str(get_engine().describe().model))
        st.success(failures.plain(f"Kept as vector/{vector.name}. Add it by this name."))
    if known:
        st.caption(failures.plain("Kept: " + ", ".join(f"vector/{name}" for name in known)))


def _sum_box(vectors: VectorFolder, view: steer.SteerState, doses: Mapping[str, Dose]) -> None:
    """The latents that are added at present, kept as one vector."""
    added = [
        (edit.direction, dose.amount)
        for edit, dose in zip(view.ask.interventions, doses.values(), strict=False)
        if edit.op is Op.ADD and isinstance(edit.direction, LatentId)
    ]
    name = st.text_input("Keep the sum of the added latents as", key=steer.SUM_NAME, placeholder="a name", disabled=not added)
    if st.button("Keep", icon=":material/functions:", disabled=not added) and name:
        vector = get_engine().ask(AssembleAsk(name.strip(), tuple(added)))
        vectors.keep(vector, str(get_engine().describe().model))
        st.success(failures.plain(f"Kept as vector/{vector.name}: {len(added)} rows times their amounts. Add it with the unit raw."))


def settings(view: steer.SteerState) -> None:
    """Where edits act, how tokens are drawn, what shades both texts."""
    kept, view_shade = st.session_state, view.shade
    where, shade, sampling = st.columns([3, 4, 2], vertical_alignment="bottom")
    shared: dict[str, Any] = {"on_change": steer.changed, "persist_state": "session"}
    with where:
        st.selectbox(
            "Edited tokens", list(steer.WHERES), key=steer.WHERE, format_func=steer.WHERES.__getitem__, help=TERMS["where"], **shared
        )
        if st.session_state[steer.WHERE] in (steer.FROM, steer.SPAN):
            start, end = st.columns(2)
            start.number_input("From token", 0, 999_999, key=steer.START, **shared)
            if st.session_state[steer.WHERE] == steer.SPAN:
                end.number_input("Up to, not with", 1, 1_000_000, key=steer.END, **shared)
    if kept[steer.WHERE] in (steer.FROM, steer.SPAN) and view.ask.prompt.text:
        with failures.shown():
            tokens = get_engine().ask(CaptureAsk(view.ask.prompt, ())).tokens
            cells, scale = present_steer.edited_tokens(tokens, view.place)
            token_strip(cells, scale, selected=None, key=steer.PROMPT_STRIP, on_pick=steer.pick_place, on_unpin=note_change)
    with sampling, st.popover("Sampling", icon=":material/casino:", width="stretch"):
        st.slider("New tokens", 1, MAX_NEW_TOKENS, key=steer.TOKENS, **shared)
        st.slider(
            "Temperature",
            0.0,
            max(2.0, float(kept[steer.TEMPERATURE])),
            key=steer.TEMPERATURE,
            step=0.05,
            help="0 takes the most likely token.",
            **shared,
        )
        st.slider("Top-p", min(0.01, float(kept[steer.TOP_P])), 1.0, key=steer.TOP_P, step=0.01, help=TERMS["top_p"], **shared)
        st.number_input("Seed", 0, MAX_SEED, key=steer.SEED, help="Both texts draw from the same seed.", **shared)
    latents = [row.direction for row in steer.rows() if not row.direction.startswith("vector/")]
    options = ["", *dict.fromkeys([*latents, *([str(view_shade)] if view_shade else [])])]
    shade.selectbox(
        "Shade both texts by",
        options,
        key=steer.SHADE,
        format_func=lambda name: name or "nothing",
        accept_new_options=True,
        on_change=note_change,
        persist_state="session",
        help=TERMS["shade"],
    )
