"""Inputs of the flow page: the seed, what of its graph is drawn, and the text that lights it up."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from components.data import Lane, Scale, TokenCell
from components.graph.picture import GraphPicture
from components.token_strip import token_strip
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.flow.results import LitGraph
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.flow import present as present_flow
from dashboard.ui.parts import graphs
from dashboard.ui.parts.latent_rows import MAX_PINS
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.views import flow
from dashboard.ui.views.flow import PAGE


def seed_row(catalog: Catalog) -> None:
    """Which latent is followed, examples, and undo."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text_input(
            "Seed", width=270, placeholder="Seed: RELEASE/SAE/INDEX", label_visibility="collapsed",
            **PAGE.widget("seed", str(PAGE.view.seed), flow.follow_named),
        )  # fmt: skip
        for name, example in EXAMPLES.items():
            try:
                latent = catalog.latent(LatentId.parse(example.latent))
            except AnalysisError:
                continue
            act = partial(flow.follow_example, latent, example.text, example.token)
            st.button(name, key=PAGE.key(f"example {name}"), on_click=act, type="tertiary", icon=":material/notes:")
        st.space("stretch")
        n = PAGE.can_undo()
        st.button(
            "Undo",
            key=PAGE.key("undo"),
            icon=":material/undo:",
            on_click=PAGE.undo,
            disabled=not n,
            help=f"{n} steps can be undone (key: u)",
        )


def thresholds() -> None:
    """What of the graph is drawn."""
    res, module, switches = st.columns([5, 5, 9], vertical_alignment="bottom", gap="medium")
    res.slider("Residual links from", 0.0, 1.0, step=0.01, help=TERMS["t_R"], **PAGE.bind("t_res"))
    module.slider("MLP and attention from", 0.0, 1.0, step=0.01, help=TERMS["t_module"], **PAGE.bind("t_module"))
    with switches, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        st.toggle("Every layer", help=TERMS["span"], **PAGE.bind("every_layer"))
        st.toggle("Supernodes", help=TERMS["supernode"], **PAGE.bind("grouped"))
        with st.popover("More", icon=":material/tune:"):
            options = list(range(1, flow.MAX_TOP_SHOWN + 1))
            st.segmented_control("Predecessors of each kind", options, required=True, help=TERMS["top-k"], **PAGE.bind("top"))
            st.text_input(
                "Second graph", help=TERMS["second graph"], placeholder="seed: RELEASE/SAE/INDEX",
                **PAGE.widget("other", str(PAGE.view.other or ""), flow.follow_other),
            )  # fmt: skip


def text_box() -> None:
    """The text that lights the nodes."""
    st.text_input(
        "Shade the graph by a text", help=TERMS["light"],
        placeholder="A sentence: each latent is shaded by its activation on one of its tokens",
        **PAGE.bind("text", token=flow.STRONGEST),
    )  # fmt: skip


def shown_latent(view: flow.FlowView, lit: LitGraph) -> LatentId:
    """Which latent shades the text: the one that is chosen, of a link the later one, else the seed."""
    names = {str(latent): latent for latent in lit.values}
    return names.get(view.selected.rpartition(" ")[2], view.seed)


def text_strip(view: flow.FlowView, lit: LitGraph) -> None:
    """The text shaded by the chosen latent, with the pinned ones as lines under it; a click or the slider goes to another token."""
    pins = [pin for pin in view.pins if pin in lit.values][:MAX_PINS]
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
    token_strip(cells, scale, lanes, selected=view.token, key=PAGE.key("strip"), on_pick=flow.pick_token, on_unpin=flow.unpin_in_strip)
    if len(lit.texts) > 1:
        st.select_slider(
            "Token", range(len(lit.texts)), format_func=partial(present_flow.token_name, lit.texts), label_visibility="collapsed",
            **PAGE.bind("token"),
        )  # fmt: skip


def choice_box(pictures: Sequence[GraphPicture], selected: str) -> None:
    """What a click on a canvas does, for the keyboard."""
    names = {key: name for drawn in pictures for key, name in graphs.choices(drawn).items()}
    shown = selected if selected in names else None
    st.selectbox(
        "Latent or link", list(names), format_func=lambda key: names[key], index=None, label_visibility="collapsed",
        placeholder="Click a node or a link, or choose one here",
        **PAGE.widget("choice", shown, lambda key: PAGE.change(selected=key or "")),
    )  # fmt: skip
