"""Search by word: the latents that a word stands at, or whose words mean the like. No service outside this process.

Exact: every latent that has the query somewhere is found, those that have it as a whole word or token first. By meaning: all are
ranked. What both go by is in `word_scores.py`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.index.facts import IndexHead
from dashboard.analysis.methods.search.word_scores import Documents, Exact, Found, Meant, check_query
from dashboard.analysis.methods.search.words import Words, indexed, read_words, version_of
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import Note
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.text.corpus import Corpus


@dataclass(frozen=True)
class WordHit:
    """A latent that a search found."""

    latent: LatentId
    label: str
    """The user's label if there is one, else the automatic one."""
    where: tuple[Found, ...]
    matched: tuple[str, ...]
    """The words at its examples that the query matched, or that speak most for it."""
    whole: bool
    """True if the query is a whole word or token there."""
    score: float
    """Larger is better; comparable within one search."""


@dataclass(frozen=True)
class WordAnswer:
    """What a search found."""

    rows: tuple[WordHit, ...]
    """The best first; ties by latent."""
    n_found: int
    """Of these many; by meaning, every latent has a score."""
    n_latents: int
    """Latents that were searched."""
    notices: tuple[str, ...]
    """What was not searched, and why."""
    examples: tuple[str, ...] = ()
    """By meaning: what the model takes for examples of the query, likeliest first."""


class WordSearch:
    """Searches the latents of a catalogue. The words of every index are read at the first search, and again when an index changes."""

    def __init__(self, runner: Runner, catalog: Catalog, corpus_of: Callable[[IndexHead], Corpus]) -> None:
        self._runner, self._catalog, self._corpus_of = runner, catalog, corpus_of
        self._lock = threading.Lock()
        self._read: tuple[object, Documents] | None = None

    def documents(self) -> Documents:
        """The documents of all latents as the indexes are now. One caller reads while others wait."""
        model = self._runner.describe().model
        ours = [spec for spec in self._catalog.specs if kinship(spec.model, model) is not Kinship.OTHER]
        notices = tuple(f"{spec.id} was trained on {spec.model}; {model} is loaded." for spec in self._catalog.specs if spec not in ours)
        with self._lock:
            specs, without = indexed(ours)
            version = version_of(specs)
            if self._read is None or self._read[0] != version:
                self._read = (version, Documents(read_words(specs, self._runner, self._corpus_of), (*notices, *without)))
            return self._read[1]

    def search(
        self, query: str, notes: Mapping[LatentId, Note], *, meaning: bool = False, saes: Sequence[SaeId] | None = None, top: int = 100
    ) -> WordAnswer:
        """The best latents for a query, of some SAEs or of all.

        Raises:
            BadAsk: if the query is empty or too long.
        """
        check_query(query)
        documents = self.documents()
        meant = documents.meant(self._runner, query) if meaning else None
        return find(documents, query, notes, meant, saes=saes, top=top)


def search_words(
    runner: Runner,
    catalog: Catalog,
    corpus_of: Callable[[IndexHead], Corpus],
    query: str,
    notes: Mapping[LatentId, Note],
    *,
    meaning: bool = False,
    saes: Sequence[SaeId] | None = None,
    top: int = 100,
) -> WordAnswer:
    """One search, for those who do not keep a `WordSearch`. `corpus_of` is `lambda head: find_corpus(head, settings)`.

    Raises:
        BadAsk: if the query is empty or too long.
    """
    return WordSearch(runner, catalog, corpus_of).search(query, notes, meaning=meaning, saes=saes, top=top)


def find(
    documents: Documents,
    query: str,
    notes: Mapping[LatentId, Note],
    meant: Meant | None = None,
    *,
    saes: Sequence[SaeId] | None = None,
    top: int = 100,
) -> WordAnswer:
    """See `WordSearch.search`; by meaning if it is given what the query means.

    Raises:
        BadAsk: if the query is empty or too long.
    """
    term = check_query(query)
    exact = documents.exact(term, notes)
    scores = exact.scores if meant is None else documents.blended(term, exact, meant)
    searched = _rows_of(documents.words, saes)
    rows = np.flatnonzero(searched if meant else searched & exact.found)
    best = rows[np.argsort(-scores[rows], kind="stable")[:top]]
    speaks = documents.terms_like(term, meant) if meant else None
    hits = [_hit(documents, int(row), exact, float(scores[row]), notes, speaks) for row in best]
    listed = np.argsort(-meant.examples, kind="stable")[:12] if meant else ()
    examples = tuple(documents.words.terms[number] for number in listed if meant and meant.examples[number] > 0)
    return WordAnswer(tuple(hits), len(rows), int(searched.sum()), documents.notices, examples)


def _rows_of(words: Words, saes: Sequence[SaeId] | None) -> Bool[np.ndarray, " latents"]:
    if saes is None:
        return np.ones(len(words), dtype=bool)
    chosen = np.zeros(len(words), dtype=bool)
    for sae in saes:
        if (place := words.row_of.get(sae)) is not None:
            chosen[words.starts[place] : words.starts[place + 1]] = True
    return chosen


def _hit(
    documents: Documents, row: int, exact: Exact, score: float, notes: Mapping[LatentId, Note], speaks: Float32[np.ndarray, " terms"] | None
) -> WordHit:
    words, latent = documents.words, documents.words.latent(row)
    where = tuple(place for place, (part, _) in exact.places.items() if part[row] > 0)
    if speaks is None:
        own = np.concatenate([words.words[row], words.tokens[row], words.promoted[row]])
        matched = [words.terms[term] for term in dict.fromkeys(own[own >= 0].tolist()) if exact.inside[term]]
    else:
        where = (*where, Found.MEANING)
        matched = documents.speaking(row, speaks)
    label = notes[latent].label if latent in notes and notes[latent].label else words.labels[row]
    return WordHit(latent, label, where, tuple(matched[:4]), exact.is_whole(row), score)
