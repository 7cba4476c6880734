"""Highlight: which latents fire on this text?"""

from dataclasses import replace

import streamlit as st

from components.token_strip import token_strip
from dashboard.analysis.asks.capture import Capture, CaptureAsk, Fidelity
from dashboard.analysis.errors import EmptyPrompt
from dashboard.analysis.methods.highlight import method as highlight
from dashboard.analysis.names import LatentId
from dashboard.ui.highlight import inputs, layers, lens, present
from dashboard.ui.parts import cautions, figures
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog, get_engine
from dashboard.ui.shell.view import fits_link
from dashboard.ui.views import highlight as views
from dashboard.ui.views.highlight import PAGE, HighlightView

catalog, engine = get_catalog(), get_engine()


def fidelity_figures(fidelity: Fidelity) -> None:
    """How well the SAE reads this prompt."""
    for column, (name, value, digits) in zip(
        st.columns(3),
        (("L0", fidelity.l0, 1), ("FVU", fidelity.fvu, 3), ("CE recovered", fidelity.ce_recovered, 3)),
        strict=True,
    ):
        column.metric(name, figures.figure(value, digits), help=TERMS[name])


def token_card(view: HighlightView, capture: Capture, latent: LatentId | None) -> None:
    """What fires on the clicked token."""
    if view.position is None:
        st.info(
            "Click a token, or move to it with Tab and the arrow keys, to list the latents that fire on it.", icon=":material/touch_app:"
        )
        return
    st.markdown("**Latents on this token**", help=TERMS["latent"])
    st.text(present.token_label(capture.tokens, view.position))
    firing = highlight.firing_on(capture.activations[view.sae], capture.tokens, view.position)
    if capture.tokens.special[view.position]:
        st.caption(TERMS["special token"])
    if not firing:
        st.caption("No latent of this SAE fires here.")
    inputs.firing_list(firing, latent, view)


def answer(view: HighlightView) -> None:
    """Strip, figures, map and card."""
    if not fits_link(view.text):
        st.caption("This text is too long for a link: the address bar holds everything but the text.")
    needed = dict.fromkeys([view.sae, *(latent.sae for latent in (view.latent, *view.pins) if latent)])
    saes = dict.fromkeys([*(spec.id for spec in catalog.release_of(view.sae)), *needed])
    doing = f"reading {len(saes)} sites"
    cautions.shown(catalog, saes)
    capture, refused = highlight.capture_readable(lambda ask: failures.answer(engine.ticket(ask), doing), view.prompt, list(saes))
    if lacking := needed.keys() & refused.keys():
        raise refused[lacking.pop()]
    for error in refused.values():
        st.warning(failures.plain(str(error)), icon=":material/broken_image:")
    if view.position is not None and view.position >= len(capture.tokens):
        view = replace(view, position=None)
    strongest = highlight.strongest_latent(capture.activations[view.sae], capture.tokens)
    latent = view.latent or (LatentId(view.sae, strongest) if strongest is not None else None)
    left, right = st.columns([5, 3], gap="large")
    with right:
        token_card(view, capture, latent)
    with left:
        cells, scale, lanes = present.strip(capture, latent, view.pins)
        token_strip(cells, scale, lanes, selected=view.position, key=PAGE.key("strip"), on_pick=views.pick_token, on_unpin=views.toggle_pin)
        if latent:
            inputs.steer_button(latent, present.where_it_fires(capture, latent))
        with failures.shown():
            measured = failures.answer(engine.ticket(CaptureAsk(view.prompt, (view.sae,), fidelity=True)), "measuring the reconstruction")
            fidelity_figures(measured.fidelity[view.sae])
        with failures.shown():
            layers.panel(view, capture)
        with st.popover("Copy as CSV", icon=":material/content_copy:"):
            columns = tuple(dict.fromkeys((latent, *view.pins) if latent else view.pins))
            st.code(present.as_csv(capture, columns), language=None)
    lens.panel(view, capture.tokens, latent)


PAGE.open(catalog)
inputs.sae_picker(catalog)
st.title("Which latents fire on this text?")
inputs.prompt_box(catalog)
PAGE.tell()
view = PAGE.view
with failures.shown():
    if not view.prompt.text:
        raise EmptyPrompt
    answer(view)
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.keys()
PAGE.write()
