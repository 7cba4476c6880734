"""Steer: what does the model write when its latents are turned?"""

from dataclasses import replace

import streamlit as st

from components.generation_pair import generation_pair
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.errors import EmptyPrompt
from dashboard.analysis.methods.steering.comparison import PLAIN, STEERED, Comparison, SteeringAsk, first_difference
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts import cautions
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine, get_vectors
from dashboard.ui.shell.view import fits_link
from dashboard.ui.steer import exports as steer_exports
from dashboard.ui.steer import inputs as steer_controls
from dashboard.ui.steer import present as present_steer
from dashboard.ui.steer import streaming
from dashboard.ui.steer import tabs as steer_more
from dashboard.ui.steer.dose import dose_response
from dashboard.ui.steer.recipes import recipe_box
from dashboard.ui.views import steer
from dashboard.ui.views import steer_presets as presets
from dashboard.ui.views.steer import PAGE, SteerView

catalog, engine, vectors = get_catalog(), get_engine(), get_vectors()


def answer(view: SteerView, ask: SteeringAsk) -> None:
    """Both texts, what changed, and what can be done with it."""
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
        key=PAGE.key("pair"),
        on_pick=steer.pick,
    )
    steer_more.next_tokens(view, found)
    if was_stopped:
        reached = max(1, *(len(written.ids) for written in texts.values()))
        ask = replace(ask, sampling=replace(ask.sampling, max_new_tokens=reached))
    steer_exports.downloads(ask, found, (plain, steered, scale))


PAGE.open(catalog)
st.title("What does the model write when you steer it?")
steer_controls.prompt_box(catalog)
PAGE.tell()
edits = st.container()
with failures.shown():
    view, known = PAGE.view, steer.own_vectors()
    asked = steer.asked(view, known)
    ask = asked.ask
    cautions.shown(catalog, (*ask.saes, *([view.shade.sae] if view.shade else [])))
    doses = steer_more.doses(asked)
    with edits:
        with failures.shown():
            steer_controls.edit_list(catalog, doses)
        for problem in asked.problems:
            st.warning(failures.plain(problem), icon=":material/error:")
        steer_controls.add_box(catalog, vectors, known, ask, doses)
        recipe_box()
        steer_controls.settings(view)
    PAGE.write(replace(view, edits=tuple(view.edits[line] for line in asked.lines)))
    if not ask.prompt.text:
        raise EmptyPrompt
    if not fits_link(ask.prompt.text):
        st.caption("This prompt is too long for a link: the address bar holds everything but the prompt.")
    if caption := presets.caption_of(ask.prompt.text, ask.interventions):
        st.caption(failures.plain(caption))
    tabs = st.tabs(["Compare", "Dose response", "Subsets", "Saved runs"], key=PAGE.key("tab"), on_change="rerun")
    draw = (
        lambda: answer(view, ask),
        lambda: dose_response(ask),
        lambda: steer_more.subset_table(ask),
        steer_more.saved_runs,
    )
    for tab, panel in zip(tabs, draw, strict=True):
        if tab.open:
            with tab, failures.shown():
                panel()
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys()
