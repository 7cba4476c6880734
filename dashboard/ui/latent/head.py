"""The head of the latent page: which latent is shown, links onward, and the label and note."""

import json
from typing import Any

import streamlit as st

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import AssembleAsk, NeighbourAsk
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.neuronpedia import given_source, sources
from dashboard.analysis.notebook.notebook import Note
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.tokens import Prompt
from dashboard.ui.latent.examples import strongest_text
from dashboard.ui.parts.list_box import list_box
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notebook
from dashboard.ui.views import flow, highlight, steer
from dashboard.ui.views import latent as latents
from dashboard.ui.views.latent import PAGE

_NEURONPEDIA = "www.neuronpedia.org"


def ways(catalog: Catalog, spec: SaeSpec, view: latents.LatentView, facts: LatentFacts | None) -> None:
    """Which latent is shown, and the ways to others and to other pages."""
    latent = view.latent
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        names = [str(other.id) for other in catalog.specs]
        st.selectbox("SAE", names, width=225, label_visibility="collapsed", **PAGE.widget("sae", str(latent.sae), _go_to_sae))
        st.text_input(
            "Latent", width=90, placeholder=f"0 to {spec.n_latents - 1}", label_visibility="collapsed",
            **PAGE.widget("name", str(latent.index), lambda said: latents.go_named(catalog, said)),
        )  # fmt: skip
        for key, icon, by, tip in (("previous", "chevron_left", -1, "Previous: ["), ("next", "chevron_right", 1, "Next: ]")):
            st.button("", key=PAGE.key(key), icon=f":material/{icon}:", help=tip, on_click=latents.step, args=(spec, latent, by))
        tip = "Random latent of this SAE that fires (key: r)"
        st.button("", key=PAGE.key("random"), icon=":material/shuffle:", help=tip, on_click=latents.go_random, args=(spec, latent))
        st.space("stretch")
        if st.button(
            "Steer", key=PAGE.key("steer"), icon=":material/tune:", help="Add this latent to the edits of the steer page (key: s)"
        ):
            steer.go_with([latent])
        if st.button("Flow", key=PAGE.key("flow"), icon=":material/conversion_path:", help="Where it comes from, layer by layer."):
            flow.PAGE.go(flow.FlowView(latent))
        if st.button("Highlight", key=PAGE.key("highlight"), icon=":material/format_ink_highlighter:", help="Show this latent on a text."):
            _highlight(view, facts)
        _vector(catalog, latent)
        if source := given_source(spec):
            st.link_button("Neuronpedia", f"https://{_NEURONPEDIA}/{source}/{latent.index}", icon=":material/open_in_new:")


def _highlight(view: latents.LatentView, facts: LatentFacts | None) -> None:
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
        key=PAGE.key("vector"),
        icon=":material/download:",
        on_click="ignore",
        help="The decoder row as a JSON array of numbers, as Neuronpedia gives it; the steer page reads it too.",
    )


def vector_json(runner: Runner, latent: LatentId) -> str:
    """A decoder row as Neuronpedia gives it: a plain array."""
    return json.dumps(runner.ask(AssembleAsk(str(latent), ((latent, 1.0),))).values)


def words(latent: LatentId, automatic: str) -> None:
    """The automatic label, and the label, note and lists of this installation."""
    book = get_notebook()
    note, lists = book.note(latent), book.lists()
    st.markdown(f"#### {failures.plain(note.label or automatic or 'No label')}", help=TERMS["label"])
    if note.label and automatic:
        st.caption(failures.plain(automatic))
    within = [one.name for one in lists if latent in {entry.latent for entry in one.entries}]
    label, text, chosen = st.columns([4, 5, 3], vertical_alignment="bottom")
    shared: dict[str, Any] = {"on_change": _write_note, "args": (latent,), "label_visibility": "collapsed"}
    label.text_input("Your label", note.label, key=PAGE.key(f"label {latent}"), placeholder="Your label: when does it fire?", **shared)
    text.text_input("Your note", note.text, key=PAGE.key(f"note {latent}"), placeholder="Your note: what you saw", **shared)
    with chosen:
        list_box(PAGE, "lists", (latent,), f"In {', '.join(within)}" if within else "Add to a list", within)


def _go_to_sae(name: str) -> None:
    """Take another SAE: the latent there that points most nearly the same way."""
    wanted = get_catalog().get(SaeId.parse(name)).id
    try:
        latents.go(get_engine().ask(NeighbourAsk(PAGE.view.latent, (wanted,)))[0].latent)
    except AnalysisError as error:
        latents.go(LatentId(wanted, 0))
        PAGE.say(str(error))


def _write_note(latent: LatentId) -> None:
    """Callback: keep label and note."""
    PAGE.touch()
    try:
        get_notebook().write_note(latent, Note(PAGE.held(f"label {latent}"), PAGE.held(f"note {latent}")))
    except AnalysisError as error:
        PAGE.say(str(error))
