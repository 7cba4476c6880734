"""The layer map of the highlight page."""

import streamlit as st

from components.layer_map import layer_map
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.methods.highlight import method as highlight
from dashboard.ui.highlight import inputs, present
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_engine
from dashboard.ui.views import highlight as views
from dashboard.ui.views.highlight import PAGE, HighlightView


def panel(view: HighlightView, capture: Capture) -> None:
    """Every SAE of the release on every token: the relatives of the chosen latent, or how many latents fire."""
    focus = view.latent or (view.pins[-1] if view.pins else None)
    heading, choice = st.columns([3, 2], vertical_alignment="center")
    with choice:
        inputs.map_choice(disabled=focus is None)
    if view.map_shows == views.COUNTS:
        focus = None
    title, term = (f"Relatives of {focus.sae.name}/{focus.index}", "relative") if focus else ("Latents that fire, layer by layer", "L0")
    heading.markdown(f"**{title}**", help=TERMS[term])
    saes = tuple(sae for sae in capture.activations if sae.release == view.sae.release or (focus and sae == focus.sae))
    rows = highlight.layer_relatives(get_engine(), capture, focus, saes) if focus else highlight.layer_counts(capture, saes)
    layer_map(
        present.map_rows(rows, capture.tokens, view.sae),
        capture.tokens.texts,
        capture.tokens.special,
        selected=view.position,
        key=PAGE.key("map"),
        on_pick=views.pick_cell,
    )
