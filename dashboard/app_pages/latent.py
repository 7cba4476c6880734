"""Latent: what makes it fire, and what does it do?"""

import streamlit as st

from components.hotkeys import hotkeys
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.index.file import read_facts
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.ui.latent import examples as latent_examples
from dashboard.ui.latent import facts as latent_facts
from dashboard.ui.latent import head as latent_head
from dashboard.ui.latent import present as present_latent
from dashboard.ui.parts import cautions
from dashboard.ui.shell import failures, sidebar
from dashboard.ui.shell.resources import get_catalog, get_engine
from dashboard.ui.views.latent import PAGE

catalog, engine = get_catalog(), get_engine()


def known(spec: SaeSpec, index: int) -> LatentFacts | None:
    """What the index holds; without one, that is said with the cure."""
    try:
        return read_facts(spec, index)
    except NotMeasured as error:
        st.warning(failures.plain(str(error)), icon=":material/query_stats:")
        return None


PAGE.open(catalog)
view = PAGE.view
PAGE.write()
spec = catalog.get(view.latent.sae)
st.title(f"What makes latent {view.latent.index} of {failures.plain(spec.id.name)} fire?")
PAGE.tell()
cautions.shown(catalog, [spec.id])
head = st.container()
facts = known(spec, view.latent.index)
with head, failures.shown():
    latent_head.ways(catalog, spec, view, facts)
    latent_head.words(view.latent, facts.label if facts else "")
if facts is not None and facts.is_dead:
    counted = present_latent.grouped(facts.head.n_tokens)
    st.info(f"This latent is dead: it fired on none of the {counted} tokens of the index. Its weights can still be inspected.")
left, right = st.columns([4, 7], gap="medium")
with left:
    latent_facts.column(catalog, spec, view, facts)
with right:
    latent_examples.column(view, facts)
with failures.shown():
    sidebar.model_card(engine.describe())
sidebar.jobs()
sidebar.keys(
    {
        "[": "previous latent",
        "]": "next latent",
        "r": "random latent that fires",
        "t": "go to the test box",
        "s": "steer with this latent",
    }
)
hotkeys(
    {key: PAGE.key(name) for key, name in {"[": "previous", "]": "next", "r": "random", "t": "text", "s": "steer"}.items()},
    key=PAGE.key("hotkeys"),
)
