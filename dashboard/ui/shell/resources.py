"""What all sessions share: the engine, the catalogue, the notebook. The only file that caches a resource."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from components.data import GraphEdge, GraphNode
from components.graph.picture import GraphLook, GraphPicture, picture
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.pool import EnginePool
from dashboard.analysis.entities.kinds import EntityKinds, added_folder, find_kinds
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.facts import IndexHead
from dashboard.analysis.index.texts import find_corpus
from dashboard.analysis.install.opening import open_engine
from dashboard.analysis.methods.highlight.method import capture_readable
from dashboard.analysis.methods.search.by_word import WordSearch
from dashboard.analysis.notebook.notebook import Notebook
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.roster import models as roster
from dashboard.analysis.roster.models import Choice
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings, get_settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Jobs
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Made, Study
from dashboard.analysis.text.corpora import default_corpus
from dashboard.analysis.text.corpus import Corpus, check_corpus, read_corpus
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import tab


@dataclass
class Notice:
    """The last thing that a long start said, for pages that wait for it."""

    line: str = "Loading the model ..."
    """Empty once there is nothing left to wait for."""

    def say(self, line: str) -> None:
        """Replace the line."""
        self.line = line


@st.cache_resource(show_spinner=False)
def get_notice() -> Notice:
    """What the engine is doing before its first answer."""
    return Notice()


def own_settings() -> Settings:
    """The settings of this installation."""
    return get_settings()


def choices() -> tuple[Choice, ...]:
    """The models of this installation, that of the settings first."""
    return roster.choices(get_settings())


def choice() -> Choice:
    """The model that this tab looks at."""
    # A job's thread belongs to no tab: what it needs is taken before it starts.
    assert get_script_run_ctx(suppress_warning=True) is not None, "a tab's model was asked for outside a tab"
    known = choices()
    return next((one for one in known if str(one) == tab.model()), known[0])


@st.cache_resource(show_spinner=False)
def get_pool() -> EnginePool:
    """The engine of this process, of whichever model was chosen last."""
    return EnginePool(lambda: [job.title for job in get_jobs().list() if not job.state.ended])


def open_chosen(wanted: Choice) -> Engine:
    """The engine of a model, in the place of the one before.

    Raises:
        ModelBusy: if that is at work.
    """

    def open() -> Engine:
        notice = get_notice()
        notice.say(f"Loading {wanted} ...")
        return open_engine(wanted.settings(get_settings()), notice.say, catalog_of(wanted))

    return get_pool().choose(wanted, open)


def get_engine() -> Engine:
    """The engine of this tab's model.

    Raises:
        ModelNotLoaded: if another model was chosen since.
    """
    pool, own = get_pool(), choice()
    return open_chosen(own) if pool.loaded is None else pool.engine(own)


def get_catalog() -> Catalog:
    """Every SAE of this tab's model."""
    return catalog_of(choice())


def catalog_of(wanted: Choice) -> Catalog:
    """Every SAE of a model."""
    return _catalog(repr(wanted), wanted)


@st.cache_resource(show_spinner=False)
def _catalog(key: str, _wanted: Choice) -> Catalog:
    return read_catalog(_wanted.settings(get_settings())).made_for(_wanted.id)


def renew_catalogs(wanted: Choice) -> Catalog:
    """Look through the folders again; the engine of a model, if it is loaded, answers for what is there now."""
    _catalog.clear()
    found = catalog_of(roster.find_choice(str(wanted), get_settings()))
    if get_pool().loaded == wanted:
        get_pool().engine(wanted).renew(found)
    return found


@st.cache_resource(show_spinner=False)
def get_jobs() -> Jobs:
    """The background jobs of this process."""
    return Jobs()


@st.cache_resource(show_spinner=False)
def get_downloads() -> Jobs:
    """Models that are being fetched: work that needs no engine."""
    return Jobs()


def cancel_all() -> None:
    """Cancel every job that the engine works for."""
    for job in get_jobs().list():
        get_jobs().cancel(job.id)


@st.cache_resource(show_spinner=False)
def get_store() -> ResultStore:
    """Results that were kept."""
    return ResultStore(get_settings().cache / "results")


def get_own_corpus() -> Corpus:
    """The text that ships, in the tokens of this tab's model: studies take random tokens of it.

    Raises:
        ModelUnavailable, BrokenText: if there is no such model or text.
    """
    return _own_corpus(repr(own := choice()), own)


@st.cache_resource(show_spinner="Tokenizing the shipped text for this model ...", max_entries=4)
def _own_corpus(key: str, _own: Choice) -> Corpus:
    return default_corpus(_own.settings(get_settings()))


def get_bench(secrets: Mapping[str, str] | None = None) -> Bench:
    """What the studies of this tab work with, also on a job's thread.

    Raises:
        ModelNotLoaded: if another model was chosen since.
    """
    own = choice()

    def corpus(file: Path | None) -> Corpus:
        text = read_corpus(file) if file else _own_corpus(repr(own), own)
        check_corpus(text, own.id)
        return text

    renew = partial(renew_catalogs, own)
    return Bench(get_engine(), get_catalog(), get_store(), corpus, own.settings(get_settings()), renew, dict(secrets or {}))


def get_result(study: Study[Any, Any], key: str, ask: Any) -> Made[Any, Any] | None:
    """A result that is kept; the last few stay in memory."""
    file = get_store().folder(study.kind, key) / "result.json"
    return _result((study.kind, key, file.stat().st_mtime_ns), study, ask) if file.is_file() else None


@st.cache_resource(show_spinner=False, max_entries=8)
def _result(key: tuple[str, str, int], _study: Study[Any, Any], _ask: Any) -> Made[Any, Any] | None:
    return _study.load(get_store(), key[1], _ask)


def get_kinds() -> EntityKinds:
    """The types of entities that there are now."""
    return find_kinds(get_settings())


def added_kinds() -> Path:
    """The folder of types that are added on the page."""
    return added_folder(get_settings())


@st.cache_resource(show_spinner=False)
def get_vectors() -> VectorFolder:
    """Directions that are not latents."""
    return VectorFolder(get_settings().cache / "vectors")


@st.cache_resource(show_spinner=False)
def get_notebook() -> Notebook:
    """Labels, notes and lists of this installation."""
    return Notebook(get_settings().cache / "notebook.sqlite")


def get_corpus(head: IndexHead) -> Corpus:
    """The text that the positions of an index count through.

    Raises:
        NotMeasured: if it is not on this machine.
    """
    return _corpus(head.corpus_sha256, head)


@st.cache_resource(show_spinner=False, max_entries=4)
def _corpus(sha256: str, _head: IndexHead) -> Corpus:
    """Hashed once, and not for each page that is drawn."""
    return find_corpus(_head, get_settings())


@st.cache_resource(show_spinner=False, max_entries=64)
def get_picture(nodes: tuple[GraphNode, ...], edges: tuple[GraphEdge, ...], look: GraphLook) -> GraphPicture:
    """A graph laid out for the canvas: a click on it does not lay it out again.

    Raises:
        ValueError: if a node comes twice, or an edge goes backward or ends nowhere.
    """
    return picture(nodes, edges, look)


def get_word_search() -> WordSearch:
    """The words of every latent of this tab's model, read at the first search."""
    catalog, engine = get_catalog(), get_engine()
    return _word_search((id(engine), id(catalog)), engine, catalog)


@st.cache_resource(show_spinner=False, max_entries=1)
def _word_search(key: tuple[int, int], _engine: Engine, _catalog: Catalog) -> WordSearch:
    return WordSearch(_engine, _catalog, lambda head: find_corpus(head, get_settings()))


def warm_up() -> None:
    """Load the first model and its SAEs before the first page asks. What fails here is said when a page asks again."""
    try:
        first = choices()[0]
        engine, specs = open_chosen(first), catalog_of(first).specs
        if specs:
            capture_readable(engine.ask, Prompt("Hello"), [spec.id for spec in specs])
    except AnalysisError as error:
        get_notice().say(str(error))
