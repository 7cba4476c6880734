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
from dashboard.analysis.tokens import Prompt
from dashboard.ui.lists import acts
from dashboard.ui.lists import inputs as list_controls
from dashboard.ui.lists import present as present_list
from dashboard.ui.parts import cautions
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine, get_notebook
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.lists import PAGE, Shown, shown

catalog, engine, notebook = get_catalog(), get_engine(), get_notebook()


def read(now: Shown, saes: list[SaeId]) -> tuple[Capture | None, Mapping[SaeId, AnalysisError]]:
    """What the SAEs read on the test text, and why some could not."""
    if not now.latents.test_text.strip() or not saes:
        return None, {}
    return capture_readable(
        lambda ask: failures.answer(engine.ticket(ask), f"reading {len(ask.saes)} sites"), Prompt(now.latents.test_text), saes
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


def band(now: Shown) -> None:
    """A row a latent: its figures, its note, and the text shaded by it."""
    missing: dict[LatentId, AnalysisError] = {}
    for entry in now.entries:
        try:
            catalog.latent(entry.latent)
        except AnalysisError as error:
            missing[entry.latent] = error
    saes = list(dict.fromkeys(entry.latent.sae for entry in now.entries if entry.latent not in missing))
    cautions.shown(catalog, saes)
    capture, refused = read(now, saes)
    missing |= {entry.latent: refused[entry.latent.sae] for entry in now.entries if entry.latent.sae in refused}
    if missing:
        st.warning(
            failures.plain(f"{len(missing)} of these latents are not available here; their rows say why."), icon=":material/broken_image:"
        )
    opened = list_rows(
        capture.tokens.texts if capture else (),
        capture.tokens.special if capture else (),
        present_list.columns(capture is not None),
        present_list.rows(now.latents, now.entries, capture, known(saes), missing, notebook.notes(), is_common=now.view.is_common),
        key=PAGE.key("rows"),
        wrapped=now.view.is_wrapped,
        on_move=partial(acts.move, now),
        on_remove=partial(acts.remove, now),
        on_note=partial(acts.write_note, now),
    )
    if opened:
        latent_state.show(LatentId.parse(opened), Prompt(now.latents.test_text))


PAGE.open(catalog)
st.title("What do these latents do on one text?")
with failures.shown():
    now = shown(catalog)
    list_controls.chooser(now)
    PAGE.tell()
    list_controls.head(now)
    list_controls.adding(now, catalog)
    with failures.shown():
        if now.latents.entries:
            band(now)
        else:
            st.info("This list is empty. Add latents by name above, or from the search and latent pages.", icon=":material/playlist_add:")
    if now.n_parts > 1:
        st.pagination(now.n_parts, **PAGE.bind("part"))
    list_controls.in_and_out(now, catalog)
    PAGE.write()
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys()
