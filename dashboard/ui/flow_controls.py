"""Inputs of the flow page: the seed, what of its graph is drawn, the text that lights it up, and files."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from components.data import GraphGroup, Lane, Scale, TokenCell
from components.flow_export import circuit_json, graphml, read_circuit_json, read_graphml, web_page
from components.flow_graph import FlowPicture, picture
from components.flow_svg import flow_svg
from components.token_strip import token_strip
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.flow_types import FlowGraph, LitGraph
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui import failures, present_flow, state
from dashboard.ui import flow_state as flow
from dashboard.ui.glossary import TERMS

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


def exports(view: flow.FlowState, graph: FlowGraph, drawn: FlowPicture, groups: tuple[GraphGroup, ...], record: dict[str, object]) -> None:
    """The graph as files; a file of ours looked at again."""
    title = f"Flow of {view.seed}"
    shown = "the span only" if view.pruned else "every layer"
    drawn_from = f"residual links from {view.t_res:g}, MLP and attention from {view.t_module:g}, {view.top} of each, {shown}"
    lines = [
        ("Seed", str(view.seed)),
        ("Drawn", drawn_from),
        *((name, str(value)) for name, value in record.items()),
        *(("Note", note) for note in graph.notes),
    ]
    stem = str(view.seed).replace("/", "_")
    circuit = partial(
        circuit_json, drawn.nodes, drawn.edges, slug=stem, scan=str(record.get("Model", "")), description=title,
        generator="latents", pinned=view.pins, selected=view.selected, groups=groups,
        settings={"t_res": view.t_res, "t_module": view.t_module, "top": view.top, "pruned": view.pruned},
    )  # fmt: skip
    forms = (
        ("Web page", "html", "text/html", partial(web_page, drawn, title, lines, pinned=view.pins, groups=groups)),
        ("SVG", "svg", "image/svg+xml", partial(flow_svg, drawn, title, [f"{name}: {value}" for name, value in lines])),
        ("GraphML", "graphml", "application/xml", partial(graphml, drawn.nodes, drawn.edges)),
        ("circuit-tracer JSON", "json", "application/json", lambda: json.dumps(circuit(), ensure_ascii=False, indent=1)),
    )
    with st.expander("Files", icon=":material/swap_horiz:"):
        with st.container(horizontal=True):
            for name, suffix, mime, make in forms:
                file, key = f"flow-{stem}.{suffix}", f"{flow.EXPORT}_{suffix}"
                st.download_button(name, make, file, mime, key=key, icon=":material/download:", on_click="ignore")
        found = st.file_uploader("Look at a GraphML or JSON file of this page again", type=["graphml", "xml", "json"], key=flow.IMPORT)
        if found is not None:
            _look_at(found.getvalue().decode(errors="replace"))


def _look_at(text: str) -> None:
    """A file of ours, drawn beside the graph of the page."""
    try:
        nodes, edges = read_circuit_json(json.loads(text)) if text.lstrip().startswith("{") else read_graphml(text)
        drawn = picture(nodes, edges)
    except ValueError as error:
        st.error(failures.plain(str(error)), icon=":material/error:")
        return
    st.caption(failures.plain(f"{len(nodes)} latents and {len(edges)} links in the file."))
    st.image(flow_svg(drawn, "From the file"), width="stretch")
