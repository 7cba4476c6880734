"""Inputs that pages put above their answers."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from components.latent_list import latent_list
from dashboard.analysis.methods.highlight.method import FiringLatent
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui import steer_url
from dashboard.ui.parts import latent_rows
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog
from dashboard.ui.views import highlight as state
from dashboard.ui.views import latent as latent_state


def prompt_box(catalog: Catalog) -> None:
    """The prompt, its mode, and examples."""
    box, options = st.columns([4, 1], vertical_alignment="bottom")
    box.text_area(
        "Text",
        key=state.PROMPT,
        height=80,
        label_visibility="collapsed",
        on_change=state.forget_token,
        persist_state="session",
        placeholder="Type a sentence, then Ctrl+Enter",
    )
    with options:
        chat_help = "Read the text as a user message, through the model's chat template."
        st.toggle("Chat", key=state.CHAT, on_change=state.forget_token, help=chat_help, persist_state="session")
        st.button("Read", width="stretch")
    with st.container(horizontal=True):
        for name in state.EXAMPLES:
            st.button(name, on_click=state.use_example, args=(name, catalog), type="tertiary", icon=":material/notes:")


def firing_list(firing: Sequence[FiringLatent], shown: LatentId | None, view: state.HighlightState) -> None:
    """What fires on a token; each latent can be shown, pinned, and gone to."""
    rows = latent_rows.latent_rows(firing, shown, view.pins, names(get_catalog()))
    opened = latent_list(rows, key=state.LATENTS, on_show=state.show_latent, on_pin=state.toggle_pin, on_open=state.note_change)
    if opened:
        latent_state.show(LatentId.parse(opened), view.prompt)


def map_choice(*, disabled: bool) -> None:
    """What the layer map is about: relatives of the chosen latent, or counts."""
    st.segmented_control(
        "Layer map",
        state.MAPS,
        key=state.MAP_SHOWS,
        required=True,
        disabled=disabled,
        on_change=state.note_change,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )


def steer_button(latent: LatentId, said: str) -> None:
    """What is said of a latent, and the way to the steer page with it."""
    caption, button = st.columns([5, 2], vertical_alignment="center")
    caption.caption(failures.plain(said))
    if button.button("Steer", icon=":material/tune:", width="stretch", help="Add this latent to the edits of the steer page."):
        steer_url.show({"latent": [str(latent)]})


def sae_picker(catalog: Catalog) -> None:
    """Layer and point of the SAE that pages read."""
    with st.sidebar:
        kept: dict[str, Any] = {"persist_state": "session"}
        layers, points = state.choose_layer_and_point(catalog)
        kept |= {"on_change": state.forget_latent, "help": TERMS["site"]}
        if len(layers) > 1:
            st.select_slider("Layer", layers, key=state.LAYER, **kept)
        else:  # a slider with one place on it is none
            st.selectbox("Layer", layers, key=state.LAYER, **kept)
        st.segmented_control("Site", points, key=state.POINT, required=True, **kept)
        st.selectbox("SAE", state.choose_sae(catalog), key=state.SAE, **{**kept, "help": None})
        for error in catalog.broken.values():
            st.warning(failures.plain(str(error)), icon=":material/broken_image:")
