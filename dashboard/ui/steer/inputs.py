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
from dashboard.analysis.methods.steering.comparison import SteeringAsk
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.notebook.vectors import VectorFolder, parse_vector
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt, TokenSpan
from dashboard.ui.parts import figures, latent_rows
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_engine
from dashboard.ui.steer import present as present_steer
from dashboard.ui.views import latent as latent_views
from dashboard.ui.views import steer
from dashboard.ui.views.steer import PAGE, Edit, SteerView
from dashboard.ui.views.steer_presets import presets_of

_UNITS = {Unit.MAX.value: "× max", Unit.NORM.value: "× norm", Unit.RAW.value: "raw"}
_OPS = {op.value: op.value.replace("_", " ") for op in Op}


def prompt_box(catalog: Catalog) -> None:
    """The prompt, its mode, stop, and presets."""
    box, options = st.columns([4, 1], vertical_alignment="bottom")
    box.text_area(
        "Prompt", height=68, label_visibility="collapsed", placeholder="Type a prompt, then Ctrl+Enter", **PAGE.bind("text", picked=None)
    )
    with options, st.container(horizontal=True, vertical_alignment="center"):
        st.toggle("Chat", help="Format the text as a user message.", **PAGE.bind("chat", picked=None))
        st.button(
            "Stop", key=PAGE.key("stop"), on_click=steer.stop, icon=":material/stop:", help="Stop and keep the text written so far."
        )  # fmt: skip
    with st.container(horizontal=True):
        for name, preset in presets_of(catalog).items():
            st.button(
                name, key=PAGE.key(f"preset {name}"), on_click=steer.use_preset, args=(preset,), type="tertiary", icon=":material/tune:",
                help=preset.caption,
            )  # fmt: skip


def edit_list(catalog: Catalog, doses: Mapping[int, Dose]) -> None:
    """Every edit on a line of its own: operation, unit, slider and number."""
    releases = {spec.id.release for spec in catalog.specs}
    common = f"{releases.pop()}/" if len(releases) == 1 else ""
    for line, edit in enumerate(PAGE.view.edits):
        _edit_line(line, edit, common, doses.get(line))


def _edit_line(line: int, edit: Edit, common: str, dose: Dose | None) -> None:
    """`common` is what all names begin with, and is not repeated."""
    name, op, unit, slider, number, away = st.columns([30, 15, 15, 26, 14, 5], vertical_alignment="center", gap="small")
    hidden: dict[str, Any] = {"label_visibility": "collapsed"}
    op.selectbox(
        "Operation", list(_OPS), format_func=_OPS.__getitem__, **hidden,
        **PAGE.widget(f"op {line}", edit.op.value, lambda said: steer.set_edit(line, op=Op(said))),
    )  # fmt: skip
    units = [one for one in _UNITS if one != Unit.MAX or not edit.is_vector]
    unit.selectbox(
        "Unit", units, format_func=_UNITS.__getitem__, disabled=not edit.op.takes_unit, **hidden,
        **PAGE.widget(f"unit {line} of {len(units)}", edit.unit.value, lambda said: steer.set_edit(line, unit=Unit(said))),
    )  # fmt: skip
    _amount(line, edit, slider, number)
    key = PAGE.key(f"remove {line}")
    away.button("", key=key, on_click=steer.remove, args=(line,), icon=":material/close:", type="tertiary", help="Remove")
    pushes = "" if edit.op in (Op.ABLATE, Op.PROJECT_OUT) else f"{edit.amount:g} × the current activation"
    if edit.op.takes_unit and dose is not None:
        pushes = f"{figures.number(dose.amount)} × the direction, {dose.share_of_norm:+.0%} of the mean norm"
    name.markdown(f"**{failures.plain(edit.direction.removeprefix(common))}**", help=f"{_promotes(edit)}. {TERMS['edit']}")
    if pushes:
        name.caption(failures.plain(pushes))


def _amount(line: int, edit: Edit, slider: Any, number: Any) -> None:
    """The slider and the number box, which goes further. A slider of another range is another widget: its key names the unit."""
    limit = steer.limit_of(edit.unit)
    shared: dict[str, Any] = {
        "disabled": edit.op in (Op.ABLATE, Op.PROJECT_OUT), "step": limit / 80, "label_visibility": "collapsed",
    }  # fmt: skip
    named, within = f"{line} in {edit.unit.value}", max(-limit, min(limit, edit.amount))

    def take(said: float) -> None:
        steer.set_edit(line, amount=float(said))

    slider.slider("Amount", -limit, limit, **shared, **PAGE.widget(f"slider {named}", within, take))
    number.number_input("Number", format="%.4g", **shared, **PAGE.widget(f"amount {named}", edit.amount, take))


def _promotes(edit: Edit) -> str:
    if edit.is_vector:
        return "A vector"
    try:
        tokens = get_engine().ask(PromotedAsk(LatentId.parse(edit.direction), 3))
    except AnalysisError:
        return "Not readable"
    return "Promotes " + " ".join(dict.fromkeys(repr(token.strip()) for token in tokens if "\ufffd" not in token))


def add_box(catalog: Catalog, vectors: VectorFolder, known: Mapping[str, NamedVector], ask: SteeringAsk, doses: Mapping[int, Dose]) -> None:
    """Add an edit: by name, from what fires on the prompt, or a vector; `known` are those of the folder. Closed, it asks nothing."""
    # An expander and not a popover: a popover's content does not follow the page's colour scheme.
    box = st.expander("Add a latent or a vector", icon=":material/add:", key=PAGE.key("add"), on_change="rerun")
    if not box.open:
        return
    with box:
        by_name, firing, own = st.columns(3, gap="large")
        with by_name:
            _name_box()
        with firing, failures.shown():
            _firing_box(catalog, ask.prompt)
        with own, failures.shown():
            _vector_box(vectors, known, catalog)
            _sum_box(vectors, ask, doses)


def _name_box() -> None:
    st.markdown("**By name**", help=TERMS["latent"])
    with st.form(PAGE.key("add by name"), border=False):
        key = PAGE.key("add name")
        name = st.text_input("Name", key=key, placeholder="RELEASE/SAE/INDEX or vector/NAME", label_visibility="collapsed")
        if st.form_submit_button("Add", icon=":material/add:") and name.strip():
            problems = steer.add(name)
            for problem in problems:
                st.warning(failures.plain(problem))
            if not problems:
                st.rerun()


def _firing_box(catalog: Catalog, prompt: Prompt) -> None:
    st.markdown("**What fires on the prompt**")
    saes = [str(spec.id) for spec in catalog.specs]
    sae = SaeId.parse(st.selectbox("SAE", saes, index=len(saes) // 2, key=PAGE.key("add from"), label_visibility="collapsed"))
    if not prompt.text:
        st.caption("Nothing yet: type a prompt.")
        return
    capture = get_engine().ask(CaptureAsk(prompt, (sae,)))
    firing = highlight.strongest(capture.activations[sae], capture.tokens, 8)
    rows = latent_rows.latent_rows(firing, None, (), names(catalog))
    key, add = PAGE.key("active"), steer.add_active
    if opened := latent_list(rows, key=key, on_show=add, on_pin=add, on_open=PAGE.touch, keep="add"):
        latent_views.show(LatentId.parse(opened), prompt)


def _vector_box(vectors: VectorFolder, known: Mapping[str, NamedVector], catalog: Catalog) -> None:
    st.markdown("**Your own vector**", help=TERMS["vector"])
    sites = list(dict.fromkeys(str(spec.site) for spec in catalog.specs))
    site = st.selectbox("Site, if the file names none", sites, key=PAGE.key("upload site"))
    file = st.file_uploader("JSON: an array of numbers, or Neuronpedia's vector", type="json", key=PAGE.key("upload"))
    vector = None if file is None else parse_vector(file.getvalue(), file.name.removesuffix(".json"), Site.parse(site))
    if vector is not None and known.get(vector.name) != vector:
        vectors.keep(vector, str(get_engine().describe().model))
        st.success(failures.plain(f"Saved as vector/{vector.name}. Add it by this name."))
    if known:
        st.caption(failures.plain("Saved: " + ", ".join(f"vector/{name}" for name in known)))


def _sum_box(vectors: VectorFolder, ask: SteeringAsk, doses: Mapping[int, Dose]) -> None:
    """The latents that are added at present, kept as one vector."""
    added = [
        (edit.direction, dose.amount)
        for edit, dose in zip(ask.interventions, doses.values(), strict=False)
        if edit.op is Op.ADD and isinstance(edit.direction, LatentId)
    ]
    name = st.text_input("Save the sum of the added latents as", key=PAGE.key("sum name"), placeholder="a name", disabled=not added)
    if st.button("Save", key=PAGE.key("keep sum"), icon=":material/functions:", disabled=not added) and name:
        vector = get_engine().ask(AssembleAsk(name.strip(), tuple(added)))
        vectors.keep(vector, str(get_engine().describe().model))
        st.success(failures.plain(f"Saved as vector/{vector.name}: {len(added)} rows times their amounts. Add it with the unit raw."))


def settings(view: SteerView) -> None:
    """Where edits act, how tokens are drawn, what shades both texts."""
    where, shade, sampling = st.columns([3, 4, 2], vertical_alignment="bottom")
    with where:
        st.selectbox(
            "Edited tokens", list(steer.WHERES), format_func=steer.WHERES.__getitem__, help=TERMS["where"],
            **PAGE.widget("place", steer.kind_of(view.place), steer.choose_place),
        )  # fmt: skip
        if isinstance(view.place, TokenSpan):
            _span_boxes(view.place)
    if isinstance(view.place, TokenSpan) and view.text:
        with failures.shown():
            tokens = get_engine().ask(CaptureAsk(view.prompt, ())).tokens
            cells, scale = present_steer.edited_tokens(tokens, view.place)
            token_strip(cells, scale, selected=None, key=PAGE.key("prompt strip"), on_pick=steer.pick_place, on_unpin=PAGE.touch)
    with sampling, st.popover("Sampling", icon=":material/casino:", width="stretch"):
        _sampling(view)
    latents = [edit.direction for edit in view.edits if not edit.is_vector]
    shown = str(view.shade or "")
    shade.selectbox(
        "Shade both texts by", list(dict.fromkeys(["", *latents, shown])), format_func=lambda name: name or "nothing",
        accept_new_options=True, help=TERMS["shade"], **PAGE.widget("shade", shown, steer.shade_by),
    )  # fmt: skip


def _span_boxes(place: TokenSpan) -> None:
    start, end = st.columns(2)
    start.number_input(
        "From token", 0, 999_999, **PAGE.widget("start", place.start, lambda said: steer.set_span(int(said), place.end))
    )  # fmt: skip
    if place.end is not None:
        end.number_input(
            "Up to, not including", 1, 1_000_000, **PAGE.widget("end", place.end, lambda said: steer.set_span(place.start, int(said)))
        )  # fmt: skip


def _sampling(view: SteerView) -> None:
    """A slider of another range is another widget: its key names where it ends."""
    st.slider("New tokens", 1, MAX_NEW_TOKENS, **PAGE.bind("n_tokens", picked=None))
    hottest, least = max(2.0, view.temperature), min(0.01, view.top_p)
    st.slider(
        "Temperature", 0.0, hottest, step=0.05, help="0 takes the most likely token.",
        **PAGE.widget(f"temperature to {hottest:g}", view.temperature, partial(_draw, "temperature")),
    )  # fmt: skip
    st.slider(
        "Top-p", least, 1.0, step=0.01, help=TERMS["top_p"], **PAGE.widget(f"top-p from {least:g}", view.top_p, partial(_draw, "top_p"))
    )
    st.number_input("Seed", 0, MAX_SEED, help="Both texts are sampled with the same seed.", **PAGE.bind("seed", picked=None))


def _draw(field: str, said: float) -> None:
    PAGE.change(**{field: float(said)}, picked=None)
