"""How well each latent goes with a word: where the word stands, and how like the latent's words are to what it means.

Exact: the query is looked for in own labels and notes, automatic labels, promoted tokens, and the tokens and words at the
strongest examples; as a whole word or token, and as a part of one.

By meaning: each latent is a small document of its terms (the words at its examples count most, then what it promotes, then
the near context). Four measures of how like the query it is are added up, with what the exact search says:
- words: TF-IDF over terms, where a term also stands for those that share character n-grams with it (months for monthly);
- vector: the cosine between mean embedding rows, centred and weighted by inverse document frequency (months for weeks);
- examples: the model is asked to go on with "A list of months of the year:" and "Examples of months of the year:"; its likely
  next tokens, those left out that it would write of anything, are instances of what is meant (January). TF-IDF over these;
- example vectors: the cosine with their mean embedding row.
The weights were chosen on 10 queries of `tests/bench`, module `bench_word_search`. Its figures on 20 others were looked at while
the measures were made, so they are optimistic: a query that nobody has tried may do worse.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.generation import ScoreAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import VocabularyAsk
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.search.words import Words, compared
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.notebook import Note
from dashboard.analysis.tokens import Prompt

MAX_QUERY = 200
"""Characters of a query."""
WEIGHTS = {"tokens": 1.0, "words": 1.0, "near": 0.25, "promoted": 0.5}
"""What a term counts in a latent's document, by where it stands."""
BLEND = {"exact": 0.5, "words": 0.5, "vector": 1.0, "examples": 0.5, "example vectors": 2.0}
"""What each measure counts in a search by meaning."""
_NGRAMS, _ALIKE = (3, 5), 0.45
"""Lengths of character n-grams, and the cosine from which two terms are taken for forms of one word."""
_LISTS = ("A list of {}:\n-", "Examples of {}:")
"""Beginnings that the model goes on with."""
_ANYTHING = "things"
"""What is written after lists of these is written after any list."""
_LISTED, _MAX_LIFT = 60, 4.0
"""How many next tokens are looked at, and the most that a rise of log-probability over any list counts."""


class Found(StrEnum):
    """Where a query was found."""

    OWN_LABEL = "own label"
    NOTE = "note"
    LABEL = "label"
    EXAMPLES = "examples"
    PROMOTED = "promoted"
    MEANING = "meaning"


_STRENGTH = {Found.OWN_LABEL: 1.0, Found.NOTE: 0.5, Found.LABEL: 0.5, Found.EXAMPLES: 1.0, Found.PROMOTED: 0.5}
"""What each place counts; examples and promoted tokens by the share of them that match."""


@dataclass(frozen=True, eq=False)
class Meant:
    """What a query means to the model."""

    vector: Float32[np.ndarray, " d_model"]
    """Mean embedding row of its tokens, centred; of length 1, or 0."""
    examples: Float32[np.ndarray, " terms"]
    """How much each term is an example of it, 0 or more."""


@dataclass(frozen=True, eq=False)
class Exact:
    """Where a query stands, for every latent: the share of a place that has it as a part, and as a whole."""

    places: Mapping[Found, tuple[np.ndarray, np.ndarray]]
    inside: Bool[np.ndarray, " terms"]
    """Which terms hold the query."""

    @cached_property
    def found(self) -> Bool[np.ndarray, " latents"]:
        """True for every latent that has it somewhere."""
        return np.any([part > 0 for part, _ in self.places.values()], axis=0)

    @cached_property
    def scores(self) -> Float32[np.ndarray, " latents"]:
        """0 for those that do not have it; above 1 for a whole word, up to 1 for a part."""
        largest = sum(_STRENGTH.values())
        part, whole = (sum(_STRENGTH[place] * found[i] for place, found in self.places.items()) / largest for i in (0, 1))
        return np.where(whole > 0, 1 + whole, part).astype(np.float32)

    def is_whole(self, row: int) -> bool:
        """Whether a latent has it as a whole word."""
        return any(whole[row] > 0 for _, whole in self.places.values())


def check_query(query: str) -> str:
    """The query as it is compared.

    Raises:
        BadAsk: if it is empty or too long.
    """
    if len(query) > MAX_QUERY:
        raise BadAsk(f"This query has {len(query):,} characters; the limit is {MAX_QUERY}. To search by a whole text, use By text.")
    term = compared(query)
    if not term:
        raise BadAsk("The query is empty: type a word, or a part of one.")
    return term


class Documents:
    """The words of every latent, ready to be searched."""

    def __init__(self, words: Words, notices: tuple[str, ...] = ()) -> None:
        self.words = words
        self.notices = (*notices, *words.notices)

    def meant(self, runner: Runner, query: str) -> Meant:
        """Ask the model what a query means."""
        check_query(query)
        plain = " ".join(query.split())
        tokens = runner.ask(CaptureAsk(Prompt(f" {plain}"), ())).tokens
        ids = tuple(tokens.ids[place] for place in tokens.ordinary)
        known = runner.ask(VocabularyAsk(ids))
        numbers = [self._number.get(compared(text), -1) for text in known.texts]
        weights = np.append(self._idf, self._idf.max(initial=1.0))[numbers]
        vector = weights @ (known.vectors - self._mean) if ids else np.zeros_like(self._mean)
        return Meant(_unit(vector), self._examples(runner, plain, tokens.ids[-1]))

    def _examples(self, runner: Runner, query: str, token: int) -> Float32[np.ndarray, " terms"]:
        """Terms that the model would list, by the root of their probability times how much likelier they are than in any list."""
        weights = np.zeros(len(self.words.terms), dtype=np.float32)

        def listed(begin: str, what: str) -> dict[str, float]:
            # A score needs a token to score; only what could have stood in its place is looked at.
            ask = ScoreAsk(Prompt(begin.format(what), continuation=(token,)), top=_LISTED)
            return {other.text: other.logprob for other in runner.ask(ask).tokens[0].plain_top}

        for begin in _LISTS:
            anything = listed(begin, _ANYTHING)
            least = min(anything.values(), default=0.0)
            for text, logprob in listed(begin, query).items():
                number, lift = self._number.get(compared(text)), logprob - anything.get(text, least)
                if number is not None and compared(text).isalnum() and lift > 0:
                    weights[number] += math.exp(logprob / 2) * min(lift, _MAX_LIFT)
        return weights

    def exact(self, term: str, notes: Mapping[LatentId, Note]) -> Exact:
        """Where a compared query stands."""
        words, n = self.words, len(self.words)
        inside = np.array([term in other for other in words.terms], dtype=bool)
        same = np.array([term == other for other in words.terms], dtype=bool)
        places: dict[Found, tuple[np.ndarray, np.ndarray]] = {}
        for place, arrays in ((Found.EXAMPLES, (words.tokens, words.words)), (Found.PROMOTED, (words.promoted,))):
            places[place] = (_share(inside, arrays), _share(same, arrays))
        label = np.array([term in other for other in words.compared_labels], dtype=bool)
        whole = label.copy()
        whole[label] = [_stands_alone(term, words.compared_labels[row]) for row in np.flatnonzero(label)]
        places[Found.LABEL] = (label.astype(np.float32), whole.astype(np.float32))
        own = {place: (np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.float32)) for place in (Found.OWN_LABEL, Found.NOTE)}
        for latent, note in notes.items():
            row = words.row(latent)
            for place, text in ((Found.OWN_LABEL, note.label), (Found.NOTE, note.text)):
                if row is not None and term in (said := compared(text)):
                    own[place][0][row], own[place][1][row] = 1.0, float(_stands_alone(term, said))
        return Exact(dict(sorted({**own, **places}.items(), key=lambda pair: list(Found).index(pair[0]))), inside)

    def blended(self, term: str, exact: Exact, meant: Meant) -> Float32[np.ndarray, " latents"]:
        """The score of every latent by meaning."""
        listed = meant.examples * self._idf
        by = {
            "exact": np.minimum(exact.scores, 1.0),
            "words": self.by_words(term),
            "vector": self.by_vector(meant.vector),
            "examples": np.asarray(self._tfidf @ _unit(listed), dtype=np.float32),
            "example vectors": self.by_vector(_unit(listed @ self._centred)),
        }
        return sum((BLEND[name] * scores for name, scores in by.items()), start=np.zeros(len(self.words), dtype=np.float32))

    def by_words(self, term: str) -> Float32[np.ndarray, " latents"]:
        """TF-IDF cosine of the query and every latent, 0 to 1; terms that are forms of one word count as alike."""
        weights = np.zeros(len(self.words.terms), dtype=np.float32)
        for word in term.split():
            like = self._forms_of(word)
            weights += like * float((like @ self._idf) / max(like.sum(), 1e-6) if like.any() else 0.0)
        return np.asarray(self._tfidf @ _unit(weights), dtype=np.float32)

    def by_vector(self, vector: Float32[np.ndarray, " d_model"]) -> Float32[np.ndarray, " latents"]:
        """Cosine of a centred vector of length 1 and every latent's mean embedding row, -1 to 1; 0 for a vector of zeros."""
        return np.asarray(self._tfidf @ (self._centred @ vector), dtype=np.float32) / self._lengths

    def speaking(self, row: int, speaks: Float32[np.ndarray, " terms"]) -> list[str]:
        """The words of a latent's document that are most like the query, first the most."""
        start, end = self._tfidf.indptr[row : row + 2]
        terms = self._tfidf.indices[start:end]
        share = self._tfidf.data[start:end] * speaks[terms]
        return [self.words.terms[terms[i]] for i in np.argsort(-share, kind="stable")[:4] if share[i] > 0]

    def terms_like(self, term: str, meant: Meant) -> Float32[np.ndarray, " terms"]:
        """How like the query each term is, by its letters, its vector, or as an example of it."""
        like = self._centred @ meant.vector / np.maximum(np.linalg.norm(self._centred, axis=1), 1e-6)
        for word in term.split():
            like = np.maximum(like, self._forms_of(word))
        return np.maximum(like, meant.examples / max(float(meant.examples.max(initial=0.0)), 1e-6))

    def _forms_of(self, word: str) -> Float32[np.ndarray, " terms"]:
        """1 for the word itself, less for terms that share character n-grams with it, 0 below _ALIKE."""
        if not self.words.terms:
            return np.zeros(0, dtype=np.float32)
        vectorizer, rows = self._ngrams
        like = np.asarray(rows @ vectorizer.transform([word]).toarray()[0], dtype=np.float32)
        like[like < _ALIKE] = 0.0
        if word in self._number:
            like[self._number[word]] = 1.0
        return like

    @cached_property
    def _number(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.words.terms)}

    @cached_property
    def _ngrams(self) -> tuple[TfidfVectorizer, sparse.csr_matrix]:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, lowercase=False)
        return vectorizer, sparse.csr_matrix(vectorizer.fit_transform(self.words.terms), dtype=np.float32)

    @cached_property
    def _counts(self) -> sparse.csr_matrix:
        """Weighted counts of terms in every latent's document."""
        words, shape = self.words, (len(self.words), len(self.words.terms))
        total = sparse.csr_matrix(shape, dtype=np.float32)
        for name, weight in WEIGHTS.items():
            terms = getattr(words, name)
            rows, columns = np.nonzero(terms >= 0)
            values = np.full(len(rows), weight, dtype=np.float32)
            total = total + sparse.csr_matrix((values, (rows, terms[rows, columns])), shape=shape, dtype=np.float32)
        return sparse.csr_matrix(total)

    @cached_property
    def _idf(self) -> Float32[np.ndarray, " terms"]:
        """ln((1 + latents) / (1 + latents that have the term)) + 1, as scikit-learn has it."""
        has = np.bincount(self._counts.indices, minlength=len(self.words.terms))
        return (np.log((1 + len(self.words)) / (1 + has)) + 1).astype(np.float32)

    @cached_property
    def _tfidf(self) -> sparse.csr_matrix:
        """Rows of length 1: (1 + ln of the count, at least) x idf."""
        rows = self._counts.copy()
        rows.data = np.where(rows.data > 1, 1 + np.log(np.maximum(rows.data, 1)), rows.data).astype(np.float32)
        rows.data *= self._idf[rows.indices]
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1))).ravel()
        scale = sparse.diags_array(1 / np.maximum(lengths, 1e-6)).astype(np.float32)
        return sparse.csr_matrix(scale @ rows, dtype=np.float32)

    @cached_property
    def _mean(self) -> Float32[np.ndarray, " d_model"]:
        """What the embedding rows of all terms have in common."""
        vectors = self.words.vectors
        return vectors.mean(0) if len(vectors) else np.zeros(vectors.shape[1], dtype=np.float32)

    @cached_property
    def _centred(self) -> Float32[np.ndarray, "terms d_model"]:
        """Embedding rows of the terms without it."""
        return self.words.vectors - self._mean

    @cached_property
    def _lengths(self) -> Float32[np.ndarray, " latents"]:
        """Of every latent's mean vector."""
        lengths = np.concatenate(
            [np.linalg.norm(self._tfidf[at : at + 4096] @ self._centred, axis=1) for at in range(0, len(self.words), 4096)] or [np.zeros(0)]
        )
        return np.maximum(lengths, 1e-6).astype(np.float32)


def _unit(vector: np.ndarray) -> Float32[np.ndarray, " n"]:
    """The vector at length 1; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 0 else vector, dtype=np.float32)


def _share(has: Bool[np.ndarray, " terms"], arrays: Sequence[np.ndarray]) -> Float32[np.ndarray, " latents"]:
    """Share of each row's places where one of the arrays names a term that `has` it."""
    padded = np.append(has, False)
    hits = np.any([padded[terms] for terms in arrays], axis=0)
    return hits.mean(axis=1, dtype=np.float32)


def _stands_alone(term: str, text: str) -> bool:
    """Whether a term stands in a text with no letter or digit on either side."""
    at = text.find(term)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(term) : at + len(term) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(term, at + 1)
    return False
