"""The right column of the latent page: a text of one's own, then what the corpus has, all on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from components.data import Scale
from components.example_list import example_list
from dashboard.analysis.asks.capture import Capture, CaptureAsk, TraceAsk, TracedRow
from dashboard.analysis.index.contexts import Context, Spot, fold, read_contexts
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.names import LatentId
from dashboard.analysis.text.corpus import Corpus
from dashboard.analysis.tokens import Prompt
from dashboard.ui.latent import present as present_latent
from dashboard.ui.parts import latent_rows
from dashboard.ui.shell import failures
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_corpus, get_engine
from dashboard.ui.views import latent as latents
from dashboard.ui.views.latent import PAGE

_SHOWN = ("Snippets", "Full texts")
FIRST = 10
"""Rows of the top band; the rest are read when they are asked for."""


@dataclass(frozen=True)
class _Reading:
    """What every band is drawn with."""

    view: latents.LatentView
    facts: LatentFacts
    scale: Scale
    corpus: Corpus


def column(view: latents.LatentView, facts: LatentFacts | None) -> None:
    """The test box and its answer; then the bands, one by one."""
    _test_box()
    with failures.shown():
        scale = _tests(view, facts)
        if facts is not None:
            _bands(_Reading(view, facts, scale, get_corpus(facts.head)))


def strongest_text(facts: LatentFacts) -> str:
    """The snippet in which the latent fires most; empty if it never fires."""
    if facts.is_dead:
        return ""
    corpus = get_corpus(facts.head)
    return present_latent.as_text(read_contexts(_trace, corpus, facts.latent, fold(corpus, facts.top[:1]))[0])


def _test_box() -> None:
    box, options = st.columns([4, 1], vertical_alignment="center")
    box.text_area(
        "Test it on a text", height=68, placeholder="Test it on a text of your own: type, then Ctrl+Enter", label_visibility="collapsed",
        **PAGE.bind("text"),
    )  # fmt: skip
    with options:
        chat = "Format the text as a user message with the model's chat template."
        st.toggle("Chat", help=chat, **PAGE.bind("chat"))


def _tests(view: latents.LatentView, facts: LatentFacts | None) -> Scale:
    """The latent on the text in the box, and on those that were tested before; returns the scale of all texts."""
    latent = view.latent
    now = [_capture(view.test, latent)] if view.test.text else []
    scale = latent_rows.scale_of(latent, facts, now)
    rows = present_latent.test_rows(latent, now)
    example_list(rows, scale, legend=True, wrapped=True, action="", key=PAGE.key("tests"), on_act=PAGE.touch)
    if earlier := latents.earlier_tests(view):
        with st.expander(f"Earlier tests ({len(earlier)})", key=PAGE.key("earlier"), on_change="rerun") as kept, failures.shown():
            if kept.open:
                rows = present_latent.test_rows(latent, [_capture(test, latent) for test in earlier])
                again = partial(latents.test_again, earlier)
                example_list(rows, scale, legend=False, wrapped=True, action="test", key=PAGE.key("earlier tests"), on_act=again)
    return scale


def _capture(test: Prompt, latent: LatentId) -> Capture:
    return failures.answer(get_engine().ticket(CaptureAsk(test, (latent.sae,))), "reading your text")


def _trace(ask: TraceAsk) -> Sequence[TracedRow]:
    return failures.answer(get_engine().ticket(ask), f"reading {len(ask.rows)} examples")


def _bands(reading: _Reading) -> None:
    facts, view = reading.facts, reading.view
    if facts.is_dead:
        _below(reading, set())
        return
    heading, switch = st.columns([3, 2], vertical_alignment="bottom")
    switch.segmented_control(
        "Shown", _SHOWN, required=True, label_visibility="collapsed", width="stretch",
        **PAGE.widget("shown", _SHOWN[view.is_full], lambda shown: PAGE.change(is_full=shown == _SHOWN[True])),
    )  # fmt: skip
    if view.bin is not None:
        _one_bin(reading, heading, view.bin)
        return
    spots = fold(reading.corpus, facts.top)
    with heading:
        _title("Strongest", f"{len(facts.top)} of {present_latent.grouped(facts.n_fired)} activations", TERMS["top band"])
    _draw(reading, _read(reading, spots[:FIRST]), "band top")
    if more := spots[FIRST:]:
        with st.expander(f"{len(more)} more of the strongest", key=PAGE.key("further"), on_change="rerun") as further, failures.shown():
            if further.open:
                _draw(reading, _read(reading, more), "band more")
    _below(reading, {example.position for example in facts.top})


def _below(reading: _Reading, drawn: set[int]) -> None:
    """The intervals and the near misses, read together: a pass of the model costs more than most of its rows. Without those drawn."""
    facts, corpus = reading.facts, reading.corpus
    parts = [part for part in facts.intervals if part.n]
    rest = [sorted((one for one in part.examples if one.position not in drawn), key=lambda one: -one.value) for part in parts]
    bands = [*(fold(corpus, examples) for examples in rest), fold(corpus, facts.near_misses)]
    contexts = iter(_read(reading, [spot for band in bands for spot in band]))
    for place, (part, spots) in enumerate(zip(parts, bands[:-1], strict=True)):
        caption = present_latent.interval_caption(part, facts) + ("" if spots else ", its examples are among the strongest")
        _title(f"{part.low:.2f} to {part.high:.2f}", caption, TERMS["interval"])
        if spots:
            _draw(reading, list(islice(contexts, len(spots))), f"band {place}")
    if bands[-1]:
        _title("Near misses", "came closest without firing; * before the threshold", TERMS["near miss"])
        _draw(reading, list(contexts), "band near", near=True)


def _one_bin(reading: _Reading, heading: DeltaGenerator, chosen: int) -> None:
    """The examples of one bin of the histogram."""
    facts = reading.facts
    stored = [*facts.top, *(example for part in facts.intervals for example in part.examples)]
    unique = {example.position: example for example in stored}
    found = present_latent.in_bin(tuple(unique.values()), facts, chosen)
    low, high = present_latent.bin_range(facts, chosen)
    with heading:
        _title(f"{low:.2f} to {high:.2f}", f"{len(found)} of {len(unique)} examples", TERMS["top band"])
    said, button = st.columns([3, 2], vertical_alignment="center")
    said.caption(f"{present_latent.grouped(facts.histogram[chosen])} tokens lie in this bar; {len(found)} of them are kept as examples.")
    button.button(
        "Show all examples",
        key=PAGE.key("all"),
        icon=":material/filter_alt_off:",
        on_click=PAGE.change,
        kwargs={"bin": None},
        width="stretch",
    )
    if found:
        spots = fold(reading.corpus, sorted(found, key=lambda one: -one.value))
        _draw(reading, _read(reading, spots), "band bin")


def _title(name: str, caption: str, term: str) -> None:
    st.markdown(f"**{failures.plain(name)}** :gray[{failures.plain(caption)}]", help=term)


def _read(reading: _Reading, spots: Sequence[Spot]) -> tuple[Context, ...]:
    return read_contexts(_trace, reading.corpus, reading.facts.latent, spots, whole=reading.view.is_full)


def _draw(reading: _Reading, contexts: Sequence[Context], key: str, *, near: bool = False) -> None:
    rows = latent_rows.example_rows(contexts, near=near)
    texts = {str(context.spot.example.position): present_latent.as_text(context) for context in contexts}
    test = partial(latents.test_example, key, texts)
    example_list(rows, reading.scale, legend=False, wrapped=reading.view.is_full, action="test", key=PAGE.key(key), on_act=test)
