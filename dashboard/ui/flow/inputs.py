"""Inputs of the flow page: the seed, what of its graph is drawn, and the text that lights it up."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from components.data import Lane, Scale, TokenCell
from components.graph.picture import FlowPicture
from components.token_strip import token_strip
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.flow.results import LitGraph
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.flow import present as present_flow
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.views import flow
from dashboard.ui.views import highlight as state

_KEPT: dict[str, Any] = {"persist_state": "session"}


def seed_row(catalog: Catalog) -> None:
    """Which latent is followed, examples, and undo."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text_input(
            "Seed", key=flow.SEED, width=270, on_change=flow.follow_named, args=(catalog,), placeholder="Seed: RELEASE/SAE/INDEX",
            label_visibility="collapsed", **_KEPT,
        )  # fmt: skip
        for name, example in state.EXAMPLES.items():
            try:
                latent = catalog.latent(LatentId.parse(example.latent))
            except AnalysisError:
                continue
            act = partial(flow.follow, latent, prompt=Prompt(example.text), token=example.token)
            st.button(name, key=f"{flow.SEED}_{name}", on_click=act, type="tertiary", icon=":material/notes:")
        st.space("stretch")
        n = flow.can_undo()
        st.button("Undo", key=flow.UNDO, icon=":material/undo:", on_click=flow.undo, disabled=not n, help=f"{n} steps back: u")


def thresholds(catalog: Catalog) -> None:
    """What of the graph is drawn."""
    shared: dict[str, Any] = {"on_change": flow.change, **_KEPT}
    res, module, switches = st.columns([5, 5, 9], vertical_alignment="bottom", gap="medium")
    res.slider("Residual links from", 0.0, 1.0, step=0.01, key=flow.T_RES_KEY, help=TERMS["t_R"], **shared)
    module.slider("MLP and attention from", 0.0, 1.0, step=0.01, key=flow.T_MODULE_KEY, help=TERMS["t_module"], **shared)
    with switches, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        st.toggle("Every layer", key=flow.WHOLE, help=TERMS["span"], **shared)
        st.toggle("Supernodes", key=flow.GROUPED, help=TERMS["supernode"], **shared)
        with st.popover("More", icon=":material/tune:"):
            options = list(range(1, flow.MAX_TOP_SHOWN + 1))
            st.segmented_control("Predecessors of each kind", options, key=flow.TOP, required=True, help=TERMS["top-k"], **shared)
            st.text_input(
                "A second graph beside it", key=flow.OTHER, on_change=flow.follow_other, args=(catalog,), help=TERMS["second graph"],
                placeholder="its seed: RELEASE/SAE/INDEX", **_KEPT,
            )  # fmt: skip


def text_box() -> None:
    """The text that lights the nodes."""
    st.text_input(
        "Light it up with a text", key=flow.TEXT, on_change=flow.read_text, help=TERMS["light"],
        placeholder="A sentence: every latent of the graph is lit by its activation on a token of it", **_KEPT,
    )  # fmt: skip


def shown_latent(view: flow.FlowState, lit: LitGraph) -> LatentId:
    """Which latent shades the text: the one that is chosen, of a link the later one, else the seed."""
    names = {str(latent): latent for latent in lit.values}
    return names.get(view.selected.rpartition(" ")[2], view.seed)


def text_strip(view: flow.FlowState, lit: LitGraph) -> None:
    """The text shaded by the chosen latent, with the pinned ones as lines under it; a click or the slider goes to another token."""
    pins = [LatentId.parse(pin) for pin in view.pins if LatentId.parse(pin) in lit.values][: state.MAX_PINS]
    shown = shown_latent(view, lit)
    values = lit.values[shown]
    maxima = {latent: max((float(v) for v, out in zip(lit.values[latent], lit.special, strict=True) if not out), default=0.0)
              for latent in (shown, *pins)}  # fmt: skip
    cells = [
        TokenCell(text, float(values[i]), tuple(float(lit.values[pin][i]) for pin in pins), special)
        for i, (text, special) in enumerate(zip(lit.texts, lit.special, strict=True))
    ]
    lanes = [Lane(str(pin), str(pin), maxima[pin]) for pin in pins]
    scale = Scale(str(shown), maxima[shown], "largest here")
    token_strip(cells, scale, lanes, selected=view.token, key=flow.STRIP, on_pick=flow.pick_token, on_unpin=flow.unpin_in_strip)
    if len(lit.texts) > 1:
        st.select_slider(
            "Token", range(len(lit.texts)), key=flow.TOKEN, format_func=partial(present_flow.token_name, lit.texts),
            on_change=flow.slide, label_visibility="collapsed",
        )  # fmt: skip


def choice_box(pictures: Sequence[FlowPicture], selected: str) -> None:
    """What a click on a canvas does, for the keyboard."""
    names = {key: name for drawn in pictures for key, name in present_flow.choices(drawn).items()}
    st.session_state[flow.CHOICE] = selected if selected in names else None
    st.selectbox(
        "Latent or link", list(names), key=flow.CHOICE, format_func=lambda key: names[key], on_change=flow.choose, index=None,
        label_visibility="collapsed", placeholder="Click a node or a link, or choose one here",
    )  # fmt: skip
