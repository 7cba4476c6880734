"""Steer: what does the model write when its latents are turned?"""

from dataclasses import replace

import streamlit as st

from components.generation_pair import generation_pair
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.errors import EmptyPrompt
from dashboard.analysis.methods.steering.comparison import PLAIN, STEERED, Comparison, first_difference
from dashboard.analysis.tokens import Prompt
from dashboard.ui import steer_url
from dashboard.ui.parts import cautions
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import choice, get_catalog, get_engine, get_vectors
from dashboard.ui.shell.view import fits_url
from dashboard.ui.steer import exports as steer_exports
from dashboard.ui.steer import inputs as steer_controls
from dashboard.ui.steer import present as present_steer
from dashboard.ui.steer import streaming
from dashboard.ui.steer import tabs as steer_more
from dashboard.ui.views import steer
from dashboard.ui.views import steer_presets as presets

catalog, engine, vectors = get_catalog(), get_engine(), get_vectors()


def answer(view: steer.SteerState) -> None:
    """Both texts, what changed, and what can be done with it."""
    ask = view.ask
    texts = steer.stopped(ask)
    was_stopped = texts is not None
    texts = texts or streaming.stream(ask)
    scores = [failures.answer(engine.ticket(ask.score(texts[label])), "comparing the two models") for label in (PLAIN, STEERED)]
    found = Comparison(texts[PLAIN], texts[STEERED], *scores)
    captures = None
    if view.shade:
        prompts = [Prompt(ask.prompt.text, ask.prompt.chat, texts[label].ids) for label in (PLAIN, STEERED)]
        captures = [engine.ask(CaptureAsk(prompt, (view.shade.sae,))) for prompt in prompts]
    plain, steered, scale = present_steer.pair(found, captures, view.shade, was_stopped)
    generation_pair(
        ask.prompt.text,
        plain,
        steered,
        scale,
        first_difference=first_difference(found.plain.ids, found.steered.ids),
        selected=view.picked,
        key=steer.PAIR,
        on_pick=steer.pick,
    )
    steer_more.next_tokens(view, found)
    if was_stopped:
        reached = max(1, *(len(written.ids) for written in texts.values()))
        ask = replace(ask, sampling=replace(ask.sampling, max_new_tokens=reached))
    steer_exports.downloads(ask, found, (plain, steered, scale))


known = vectors.all(str(choice()))
problems = steer_url.open_url(catalog, known)
st.title("What does the model write when you steer it?")
steer_controls.prompt_box(catalog)
for problem in problems:
    st.warning(failures.plain(problem), icon=":material/link_off:")
edits = st.container()
with failures.shown():
    view = steer.steer_state(catalog, known)
    cautions.shown(catalog, (*view.ask.saes, *([view.shade.sae] if view.shade else [])))
    doses = steer_more.doses(view)
    with edits:
        with failures.shown():
            steer_controls.edit_list(catalog, doses)
        for problem in view.problems:
            st.warning(failures.plain(problem), icon=":material/error:")
        steer_controls.add_box(catalog, vectors, known, view, doses)
        steer_controls.settings(view)
    steer_url.write_url(view)
    if not view.ask.prompt.text:
        raise EmptyPrompt
    if not fits_url(view.ask.prompt):
        st.caption("This prompt is too long for a link: the address bar holds everything but the prompt.")
    if caption := presets.caption_of(view.ask.prompt.text, view.ask.interventions):
        st.caption(failures.plain(caption))
    tabs = st.tabs(["Compare", "Dose response", "Subsets", "Saved runs"], key=steer.TAB, on_change="rerun")
    for tab, draw in zip(tabs, (answer, steer_more.dose_response, steer_more.subset_table, steer_more.saved_runs), strict=True):
        if tab.open:
            with tab, failures.shown():
                draw(view)
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys()
