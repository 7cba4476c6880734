"""Inputs of the highlight page."""

from collections.abc import Sequence

import streamlit as st

from components.latent_list import latent_list
from dashboard.analysis.methods.highlight.method import FiringLatent
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts import latent_rows
from dashboard.ui.parts.naming import names
from dashboard.ui.shell import failures
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog
from dashboard.ui.views import highlight, steer
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.highlight import PAGE


def prompt_box(catalog: Catalog) -> None:
    """The prompt, its mode, and examples."""
    box, options = st.columns([4, 1], vertical_alignment="bottom")
    box.text_area(
        "Text",
        height=80,
        label_visibility="collapsed",
        placeholder="Type a sentence, then Ctrl+Enter",
        **PAGE.bind("text", position=None),
    )
    with options:
        chat_help = "Format the text as a user message with the model's chat template."
        st.toggle("Chat", help=chat_help, **PAGE.bind("chat", position=None))
        st.button("Run", key=PAGE.key("run"), width="stretch")
    with st.container(horizontal=True):
        for name in EXAMPLES:
            st.button(
                name,
                key=PAGE.key(f"example {name}"),
                on_click=highlight.use_example,
                args=(name, catalog),
                type="tertiary",
                icon=":material/notes:",
            )


def firing_list(firing: Sequence[FiringLatent], shown: LatentId | None, view: highlight.HighlightView) -> None:
    """What fires on a token; each latent can be shown, pinned, and gone to."""
    rows = latent_rows.latent_rows(firing, shown, view.pins, names(get_catalog()))
    opened = latent_list(rows, key=PAGE.key("latents"), on_show=highlight.show_latent, on_pin=highlight.toggle_pin, on_open=PAGE.touch)
    if opened:
        latent_state.show(LatentId.parse(opened), view.prompt)


def map_choice(*, disabled: bool) -> None:
    """What the layer map is about: relatives of the chosen latent, or counts."""
    st.segmented_control(
        "Layer map", list(highlight.MAPS), required=True, disabled=disabled, label_visibility="collapsed", width="stretch",
        **PAGE.bind("map_shows"),
    )  # fmt: skip


def steer_button(latent: LatentId, said: str) -> None:
    """What is said of a latent, and the way to the steer page with it."""
    caption, button = st.columns([5, 2], vertical_alignment="center")
    caption.caption(failures.plain(said))
    if button.button(
        "Steer", key=PAGE.key("steer"), icon=":material/tune:", width="stretch", help="Add this latent to the edits of the steer page."
    ):
        steer.go_with([latent])


def sae_picker(catalog: Catalog) -> None:
    """Layer, site and SAE that the page reads."""
    view = PAGE.view
    site = catalog.get(view.sae).site
    layers, point = sorted({spec.site.layer for spec in catalog.specs}), site.point.value
    with st.sidebar:
        layer_at = PAGE.widget("layer", site.layer, lambda layer: highlight.go_to_site(catalog, layer, point))
        if len(layers) > 1:
            st.select_slider("Layer", layers, help=TERMS["site"], **layer_at)
        else:  # a slider with one place on it is none
            st.selectbox("Layer", layers, help=TERMS["site"], **layer_at)
        point_at = PAGE.widget("point", point, lambda point: highlight.go_to_site(catalog, site.layer, point))
        st.segmented_control("Site", highlight.points_of(catalog, site.layer), required=True, help=TERMS["site"], **point_at)
        here = [str(one) for one in highlight.saes_at(catalog, site.layer, point)]
        st.selectbox("SAE", here, **PAGE.widget("sae", str(view.sae), lambda name: PAGE.change(sae=SaeId.parse(name), latent=None)))
        for error in catalog.broken.values():
            st.warning(failures.plain(str(error)), icon=":material/broken_image:")
