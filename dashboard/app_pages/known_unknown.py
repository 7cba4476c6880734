"""Known or unknown: which latents fire on what the model knows?"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard.analysis.methods.known import study as known_unknown
from dashboard.analysis.methods.known.results import KeptStudy, KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesAsk
from dashboard.analysis.studies.study import Made
from dashboard.ui.known import effects as known_effects
from dashboard.ui.known import entities as known_entities
from dashboard.ui.known import exports as known_exports
from dashboard.ui.known import inputs as known_controls
from dashboard.ui.known import latents as known_latents
from dashboard.ui.known import present as present_known
from dashboard.ui.known import settling
from dashboard.ui.known.report import TITLE
from dashboard.ui.parts import cautions, notices, panel
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import choice, get_catalog, get_engine, get_store
from dashboard.ui.views import known
from dashboard.ui.views import latent as latent_state
from dashboard.ui.views.known import PAGE

Draw = Callable[[KnownUnknownStudy, known.KnownView], None]
DRAW: dict[str, Draw] = dict(
    zip(
        known.TABS,
        (
            known_latents.latents,
            known_latents.layers,
            known_entities.entities,
            known_entities.questions,
            known_effects.causality,
            known_effects.uncertainty,
            known_exports.downloads,
        ),
        strict=True,
    )
)


def take_result(made: Made[EntitiesAsk, KeptStudy]) -> None:
    """A study that has just been made is shown."""
    known.show_study(made.key)
    st.rerun()


def what_was_found(study: KnownUnknownStudy, is_open: bool) -> None:
    """The best latents in a sentence each, how many entities are known, and what so many can show."""
    for said in (*map(partial(present_known.headline, study), (Knowledge.KNOWN, Knowledge.UNKNOWN)), present_known.best_single(study)):
        if said:
            st.markdown(failures.plain(said))
    n_known, n_unknown = (sum(getattr(one.tally, name) for one in study.types) for name in ("n_known", "n_unknown"))
    with st.expander(f"{n_known} known and {n_unknown} unknown entities: what each type can show", expanded=is_open):
        power = st.column_config.TextColumn(help=TERMS["smallest separation"])
        st.dataframe(present_known.type_rows(study), hide_index=True, height="content", column_config={present_known.POWER: power})
    with st.expander(f"Caveats ({len(study.notes)})"):
        for note in study.notes:
            st.markdown("- " + failures.plain(note))


def one_study(view: known.KnownView) -> None:
    """The study that is chosen, and the part of it that is open."""
    heads = tuple(head for head in known_unknown.list_studies(get_store()) if head.model == str(choice()))
    if not heads:
        said = "For every latent: the share of known and of unknown entities it fires on. "
        st.info(said + known_controls.how_to_get_it(), icon=":material/info:")
        return
    keys = [head.key for head in heads]
    if view.study and view.study not in keys:
        st.warning(
            failures.plain(f"There is no study {view.study[:40]!r} on this machine; the newest is shown."), icon=":material/link_off:"
        )
    with st.spinner("reading the study"):
        study = known_unknown.load_study(get_store(), view.study if view.study in keys else keys[0])
    view, problems = settling.settle(view, study, study.counts.kinds)
    for problem in problems:
        st.warning(failures.plain(problem), icon=":material/link_off:")
    known_controls.study_box(heads)
    cautions.shown(get_catalog(), study.ask.saes)
    what_was_found(study, view.tab == known.TABS[0])
    PAGE.write()
    if opened := known.to_open():
        latent_state.show(*opened)
    st.segmented_control("Part", known.TABS, required=True, label_visibility="collapsed", **PAGE.bind("tab"))
    with failures.shown():
        DRAW[view.tab](study, view)


PAGE.open(get_catalog())
st.title(TITLE)
PAGE.tell()
with failures.shown():
    with st.expander("New study", expanded=not get_store().keys(known_unknown.KIND)):
        wanted = known_controls.new_study()
    with st.container():
        panel.follow(STUDY, PAGE.key("study job"), take_result, wanted)
with st.container():  # it stands there empty too: what is open beneath stays open when the line goes
    if line := notices.notice():
        st.info(failures.plain(line), icon=":material/inventory_2:")
with failures.shown():
    one_study(PAGE.view)
with failures.shown():
    sidebar.model_card(get_engine().describe())
sidebar.jobs(f"{STUDY.kind}: ")
sidebar.keys()
