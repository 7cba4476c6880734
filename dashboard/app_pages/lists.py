"""Lists: what do these latents do on one text?"""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from components.list_rows import list_rows
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.file import LatentIndex, read_index
from dashboard.analysis.methods.highlight.method import capture_readable
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.list_forms import pack_link
from dashboard.analysis.tokens import Prompt
from dashboard.ui.lists import inputs as list_controls
from dashboard.ui.lists import present as present_list
from dashboard.ui.parts import cautions
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notebook
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views import lists

catalog, engine, notebook = get_catalog(), get_engine(), get_notebook()


def read(view: lists.ListState, saes: list[SaeId]) -> tuple[Capture | None, Mapping[SaeId, AnalysisError]]:
    """What the SAEs read on the test text, and why some could not."""
    if not view.latents.test_text.strip() or not saes:
        return None, {}
    return capture_readable(
        lambda ask: failures.answer(engine.ticket(ask), f"reading {len(ask.saes)} sites"), Prompt(view.latents.test_text), saes
    )


def known(saes: list[SaeId]) -> dict[SaeId, LatentIndex]:
    """The indexes of those SAEs that have one."""
    found: dict[SaeId, LatentIndex] = {}
    for sae in saes:
        try:
            found[sae] = read_index(catalog.get(sae))
        except AnalysisError:
            continue
    return found


def band(view: lists.ListState) -> None:
    """A row a latent: its figures, its note, and the text shaded by it."""
    missing: dict[LatentId, AnalysisError] = {}
    for entry in view.entries:
        try:
            catalog.latent(entry.latent)
        except AnalysisError as error:
            missing[entry.latent] = error
    saes = list(dict.fromkeys(entry.latent.sae for entry in view.entries if entry.latent not in missing))
    cautions.shown(catalog, saes)
    capture, refused = read(view, saes)
    missing |= {entry.latent: refused[entry.latent.sae] for entry in view.entries if entry.latent.sae in refused}
    if missing:
        st.warning(
            failures.plain(f"{len(missing)} of these latents cannot be read here; their rows say why."), icon=":material/broken_image:"
        )
    opened = list_rows(
        capture.tokens.texts if capture else (),
        capture.tokens.special if capture else (),
        present_list.columns(capture is not None),
        present_list.rows(view.latents, view.entries, capture, known(saes), missing, notebook.notes(), is_common=view.is_common),
        key=lists.ROWS,
        wrapped=view.is_wrapped,
        on_move=partial(lists.move, view),
        on_remove=partial(lists.remove, view),
        on_note=partial(lists.write_note, view),
    )
    if opened:
        latent_state.show(LatentId.parse(opened), Prompt(view.latents.test_text))


problems = lists.open_url(catalog)
st.title("What do these latents do on one text?")
with failures.shown():
    view = lists.list_state(catalog)
    list_controls.chooser(view)
    for line in (*problems, *lists.said()):
        st.info(failures.plain(line), icon=":material/info:")
    list_controls.head(view)
    list_controls.adding(view, catalog)
    with failures.shown():
        if view.latents.entries:
            band(view)
        else:
            st.info("This list is empty. Add latents by name above, or from the search and latent pages.", icon=":material/playlist_add:")
    n_parts = -(-len(view.latents.entries) // lists.PER_PAGE)
    if n_parts > 1:
        st.pagination(n_parts, key=lists.PART, on_change=lists.turn, persist_state="session")
    list_controls.in_and_out(view, catalog)
    lists.write_url(view, pack_link(view.latents))
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys()
