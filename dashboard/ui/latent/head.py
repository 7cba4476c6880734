"""The head of the latent page: where one is, the ways on, and what people say of the latent."""

import json
from typing import Any

import streamlit as st

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import AssembleAsk, NeighbourAsk
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.neuronpedia import given_source, sources
from dashboard.analysis.notebook.notebook import LatentList, ListEntry, Note
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.tokens import Prompt
from dashboard.ui import steer_url
from dashboard.ui.latent.examples import strongest_text
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notebook
from dashboard.ui.shell.tab import note_change
from dashboard.ui.views import flow, highlight
from dashboard.ui.views import latent as latents

_NEURONPEDIA = "www.neuronpedia.org"


def ways(catalog: Catalog, spec: SaeSpec, view: latents.LatentState, facts: LatentFacts | None) -> None:
    """Which latent is shown, and the ways to others and to other pages."""
    latent = view.latent
    latents.follow(view)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        names = [str(other.id) for other in catalog.specs]
        st.selectbox("SAE", names, key=latents.SAE, width=225, on_change=_other_sae, args=(latent,), label_visibility="collapsed")
        st.text_input(
            "Latent", key=latents.NAME, width=90, on_change=latents.go_named, args=(catalog, latent),
            placeholder=f"0 to {spec.n_latents - 1}", label_visibility="collapsed",
        )  # fmt: skip
        for key, icon, by, tip in ((latents.PREVIOUS, "chevron_left", -1, "Previous: ["), (latents.NEXT, "chevron_right", 1, "Next: ]")):
            st.button("", key=key, icon=f":material/{icon}:", help=tip, on_click=latents.step, args=(spec, latent, by))
        tip = "Any other latent of this SAE that fires: r"
        st.button("", key=latents.RANDOM, icon=":material/shuffle:", help=tip, on_click=latents.go_random, args=(spec, latent))
        st.space("stretch")
        if st.button("Steer", key=latents.STEER, icon=":material/tune:", help="Add this latent to the edits of the steer page: s"):
            steer_url.show({"latent": [str(latent)]})
        if st.button("Flow", key=latents.FLOW, icon=":material/conversion_path:", help="Where it comes from, layer by layer."):
            flow.PAGE.go(flow.FlowView(latent))
        if st.button("Highlight", key=latents.HIGHLIGHT, icon=":material/format_ink_highlighter:", help="Read a text with this latent."):
            _highlight(view, facts)
        _vector(catalog, latent)
        if source := given_source(spec):
            st.link_button("Neuronpedia", f"https://{_NEURONPEDIA}/{source}/{latent.index}", icon=":material/open_in_new:")


def _highlight(view: latents.LatentState, facts: LatentFacts | None) -> None:
    """Leave for the highlight page with the tested text, or with the one in which the latent fires most."""
    test = view.test if view.test.text else None
    if test is None and facts is not None and (text := strongest_text(facts)):
        test = Prompt(text)
    highlight.PAGE.go(highlight.of_latent(view.latent, test))


def _vector(catalog: Catalog, latent: LatentId) -> None:
    source, engine = sources(catalog)[latent.sae], get_engine()
    st.download_button(
        "Vector",
        lambda: vector_json(engine, latent),
        f"{source.model_id}_{source.layer}_{latent.index}.json",
        "application/json",
        key=latents.VECTOR,
        icon=":material/download:",
        on_click="ignore",
        help="The decoder row as a JSON array of numbers, as Neuronpedia gives it; the steer page reads it too.",
    )


def vector_json(runner: Runner, latent: LatentId) -> str:
    """A decoder row as Neuronpedia gives it: a plain array."""
    return json.dumps(runner.ask(AssembleAsk(str(latent), ((latent, 1.0),))).values)


def words(latent: LatentId, automatic: str) -> None:
    """The automatic label, and what people of this installation say: label, note, lists."""
    book = get_notebook()
    note, lists = book.note(latent), book.lists()
    st.markdown(f"#### {failures.plain(note.label or automatic or 'No label')}", help=TERMS["label"])
    if note.label and automatic:
        st.caption(failures.plain(automatic))
    within = [one.name for one in lists if latent in {entry.latent for entry in one.entries}]
    label, text, chosen = st.columns([4, 5, 3], vertical_alignment="bottom")
    shared: dict[str, Any] = {"on_change": _write_note, "args": (latent,), "label_visibility": "collapsed"}
    label.text_input("Your label", note.label, key=f"{latents.LABEL}_{latent}", placeholder="Your label: when does it fire?", **shared)
    text.text_input("Your note", note.text, key=f"{latents.NOTE}_{latent}", placeholder="Your note: what you saw", **shared)
    chosen.selectbox(
        "Lists",
        [one.name for one in lists if one.name not in within],
        index=None,
        key=latents.LISTS,
        placeholder=f"In {', '.join(within)}" if within else "Add to a list",
        label_visibility="collapsed",
        accept_new_options=True,
        on_change=_add_to_list,
        args=(latent,),
        persist_state="session",
    )


def _other_sae(latent: LatentId) -> None:
    """Callback: the latent of another SAE that points most nearly the same way."""
    wanted = get_catalog().get(SaeId.parse(st.session_state[latents.SAE])).id
    try:
        latents.go(get_engine().ask(NeighbourAsk(latent, (wanted,)))[0].latent)
    except AnalysisError as error:
        latents.go(LatentId(wanted, 0))
        latents.complain(str(error))


def _write_note(latent: LatentId) -> None:
    """Callback: keep label and note."""
    note_change()
    kept = st.session_state
    try:
        get_notebook().write_note(latent, Note(kept[f"{latents.LABEL}_{latent}"], kept[f"{latents.NOTE}_{latent}"]))
    except AnalysisError as error:
        latents.complain(str(error))


def _add_to_list(latent: LatentId) -> None:
    """Callback: add the latent to a list, which is made if it is new."""
    note_change()
    name, book = st.session_state[latents.LISTS], get_notebook()
    st.session_state[latents.LISTS] = None
    if not name:
        return
    try:
        if name in {one.name for one in book.lists()}:
            book.change_list(name, lambda old: old.with_entries(ListEntry(latent)))
        else:
            book.save_list(LatentList(name, entries=(ListEntry(latent),)))
    except AnalysisError as error:
        latents.complain(str(error))
