"""Search: which latents are about this?"""

from functools import partial

import streamlit as st

from components.search_results import search_results
from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.errors import AnalysisError, EmptyPrompt, NoSae
from dashboard.analysis.methods.highlight.method import capture_readable
from dashboard.analysis.methods.search.by_text import MAX_ROWS, rank, read_histories
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts import cautions, list_box
from dashboard.ui.search import inputs as search_controls
from dashboard.ui.search import present as present_search
from dashboard.ui.search.word_panel import word_panel
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notebook
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views import search
from dashboard.ui.views.search import PAGE, SearchView

catalog, engine = get_catalog(), get_engine()


def read(wanted: search.ReadAsk) -> search.Reading:
    """One capture of all SAEs, and of the second text if there is one."""
    if not catalog.specs:
        raise NoSae
    if not wanted.prompt.text:
        raise EmptyPrompt

    def capture(ask: CaptureAsk):
        return failures.answer(engine.ticket(ask), f"reading {len(ask.saes)} sites")

    first, refused = capture_readable(capture, wanted.prompt, wanted.saes)
    other = capture(CaptureAsk(Prompt(wanted.without, wanted.prompt.chat), tuple(first.activations))) if wanted.without else None
    return search.Reading(wanted, first, other, tuple(map(str, refused.values())))


def results(view: SearchView, seen: search.Reading) -> None:
    """The ranking, live from what was read."""
    tokens = seen.capture.tokens
    positions = tuple(i for i in view.positions if i < len(tokens) and (view.with_special or not tokens.special[i]))
    known, unknown = read_histories(catalog.get(sae) for sae in seen.capture.activations)
    ranking = rank(seen.capture, known, view.rank_ask(positions, view.sources.saes(catalog)), seen.other)
    n_parts = max(1, -(-min(len(ranking), MAX_ROWS) // search.PER_PAGE))
    part = min(view.part, n_parts)
    first, last = search.PER_PAGE * (part - 1), min(search.PER_PAGE * part, len(ranking))
    own = {latent: note.label for latent, note in get_notebook().notes().items()}
    compared, listed = seen.other is not None, list_box.listed(PAGE)
    st.caption(failures.plain(present_search.what_is_shown(ranking, len(unknown), first, last)))
    search_results(
        tokens.texts,
        tokens.special,
        positions,
        present_search.layer_counts(ranking, catalog, view.points, view.releases),
        present_search.columns(view.by, compared),
        present_search.rows(ranking, ranking.rows(first, last), own, listed, compared=compared, is_common=view.is_common),
        counts_special=view.with_special,
        submit=(PAGE.key("text"), PAGE.key("run")),
        key=PAGE.key("results"),
        on_pick=search.pick_tokens,
        on_layer=search.pick_layer,
        on_list=partial(list_box.toggle_listed, PAGE, "results"),
    )
    search_controls.pager(part, n_parts)
    PAGE.write(view.drawn(seen, positions, part))


def by_text() -> None:
    """The text, what is searched, and the ranking. A click on a row leaves before any of it is made again."""
    if clicked := search.opened():
        latent_state.show(*clicked)
    search.open_page(catalog)
    search_controls.text_box()
    PAGE.tell()
    wanted = PAGE.view.wanted(catalog)
    search_controls.more(catalog, len(wanted.saes))
    with failures.shown():
        if search.must_read():
            try:
                search.keep(read(wanted))
            except AnalysisError:
                search.give_up()
                raise
    seen = search.reading()
    if seen is None:
        return
    cautions.shown(catalog, seen.capture.activations)
    for error in seen.refused:
        st.warning(failures.plain(error), icon=":material/broken_image:")
    if changed := search.stale(seen, wanted):
        search_controls.stale_strip(changed)
    search_controls.ranking()
    with failures.shown():
        results(PAGE.view, seen)


st.title("Which latents are about this?")
if search_controls.find() == search.BY_WORD:
    word_panel(catalog)
else:
    by_text()
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys()
