"""What all sessions share: the engine, the catalogue, the notebook. The only file that caches a resource."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.analysis.corpora import default_corpus, find_corpus
from dashboard.analysis.corpus import Corpus
from dashboard.analysis.engine import Engine
from dashboard.analysis.entities.kinds import EntityKinds, find_kinds
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.facts import IndexHead
from dashboard.analysis.installation import open_engine
from dashboard.analysis.jobs import Jobs
from dashboard.analysis.methods.highlight import capture_readable
from dashboard.analysis.notebook import Notebook
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import get_settings
from dashboard.analysis.store import ResultStore
from dashboard.analysis.tokens import Prompt
from dashboard.analysis.vectors import VectorFolder
from dashboard.analysis.word_search import WordSearch


@dataclass
class Notice:
    """The last thing that a long start said, for pages that wait for it."""

    line: str = "Loading the model ..."
    """Empty once there is nothing to wait for."""

    def say(self, line: str) -> None:
        """Replace the line."""
        self.line = line


@st.cache_resource(show_spinner=False)
def get_notice() -> Notice:
    """What the engine is doing before its first answer."""
    return Notice()


@st.cache_resource(show_spinner=False)
def get_engine() -> Engine:
    """The one engine of this process."""
    return open_engine(get_settings(), get_notice().say, get_catalog())


@st.cache_resource(show_spinner=False)
def get_catalog() -> Catalog:
    """Every SAE of this installation."""
    return read_catalog(get_settings())


@st.cache_resource(show_spinner=False)
def get_jobs() -> Jobs:
    """The background jobs of this process."""
    return Jobs()


@st.cache_resource(show_spinner=False)
def get_store() -> ResultStore:
    """Results that were kept."""
    return ResultStore(get_settings().cache / "results")


def get_shipped_corpus() -> Corpus:
    """The text that ships, in the tokens of the chosen model.

    Raises:
        ModelUnavailable, BrokenText: if there is no such model or text.
    """
    return default_corpus(get_settings())


def get_kinds() -> EntityKinds:
    """The types of entities that ship, those of the settings, and those that were uploaded."""
    settings, own = get_settings(), uploaded_kinds()
    own.mkdir(parents=True, exist_ok=True)
    return find_kinds(settings.model_copy(update={"entity_folders": (*settings.entity_folders, own)}))


def uploaded_kinds() -> Path:
    """The folder of types that were uploaded."""
    return get_settings().cache / "entities"


@st.cache_resource(show_spinner=False)
def get_vectors() -> VectorFolder:
    """Directions that are no latents."""
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


@st.cache_resource(show_spinner=False)
def get_word_search() -> WordSearch:
    """The words of every latent, read at the first search."""
    return WordSearch(get_engine(), get_catalog(), lambda head: find_corpus(head, get_settings()))


def warm_up() -> None:
    """Load the model and its SAEs before the first page asks. What fails here is said when a page asks again."""
    try:
        specs = get_catalog().specs
        if specs:
            capture_readable(get_engine().capture, Prompt("Hello"), [spec.id for spec in specs])
    except AnalysisError as error:
        get_notice().say(str(error))
