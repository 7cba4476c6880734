"""The words around every latent, as arrays: what it is called, what it promotes, and what stands at its strongest examples.

A word of a text is a run of letters, digits and underscores, or one other token; tokens are cut inside words, so both the
token at an example and the word that it belongs to are kept. A term is a token or a word as it is compared: without the space
around it, in one case. Latents count through all SAEs that were given, in their order.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int32, Int64

from dashboard.analysis.asks.capture import TraceAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import VocabularyAsk
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.index.facts import N_TOKENS, N_TOP, IndexHead
from dashboard.analysis.index.file import columns, index_file, read_index
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.text.corpus import Corpus

NEAR = 3
"""Words on each side of an example that are its near context."""
_NONE = -1
_PART = "\ufffd"


@dataclass(frozen=True, eq=False)
class Words:
    """The terms around every latent of some SAEs."""

    saes: tuple[SaeId, ...]
    starts: Int64[np.ndarray, " saes_and_1"]
    """Where the latents of each SAE begin; the last entry is their number."""
    labels: tuple[str, ...]
    """Automatic labels, as they are shown."""
    compared_labels: tuple[str, ...]
    """What is looked through of them: see `compared_label`."""
    terms: tuple[str, ...]
    """Each once. Arrays of terms count through this; -1 is none."""
    tokens: Int32[np.ndarray, "latents top"]
    """At the strongest examples."""
    words: Int32[np.ndarray, "latents top"]
    """That those tokens are part of."""
    near: Int32[np.ndarray, "latents near"]
    """Words within NEAR of those, in the same document."""
    promoted: Int32[np.ndarray, "latents promoted"]
    vectors: Float32[np.ndarray, "terms d_model"]
    """Mean embedding row of a term's tokens."""
    notices: tuple[str, ...] = ()
    """SAEs, or their examples, that are not in here, and why."""
    row_of: Mapping[SaeId, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def latent(self, row: int) -> LatentId:
        """The latent of a row."""
        sae = int(np.searchsorted(self.starts, row, side="right")) - 1
        return LatentId(self.saes[sae], int(row - self.starts[sae]))

    def row(self, latent: LatentId) -> int | None:
        """The row of a latent; None if its SAE is not in here."""
        sae = self.row_of.get(latent.sae)
        if sae is None or not 0 <= latent.index < self.starts[sae + 1] - self.starts[sae]:
            return None
        return int(self.starts[sae]) + latent.index


def compared(text: str) -> str:
    """A text as it is compared: one case, one form of each character, single spaces and none around."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split())


def compared_label(label: str) -> str:
    """What a label says, as it is compared: the words in quotes where it has some, not "fires on" around them."""
    quoted = re.findall(r'"(?:[^"\\]|\\.)*"', label)
    return "\0".join(compared(json.loads(text)) for text in quoted) if quoted else compared(label)


def indexed(specs: Sequence[SaeSpec]) -> tuple[tuple[SaeSpec, ...], tuple[str, ...]]:
    """Those of some SAEs that have an index, and why the others have none."""
    usable: list[SaeSpec] = []
    notices: list[str] = []
    for spec in specs:
        try:
            read_index(spec)
            usable.append(spec)
        except NotMeasured as error:
            notices.append(str(error))
    return tuple(usable), tuple(notices)


def version_of(specs: Sequence[SaeSpec]) -> tuple[tuple[Path, int, int], ...]:
    """Changes when an index does."""
    files = [index_file(spec) for spec in specs]
    return tuple((file, now.st_mtime_ns, now.st_size) for file in files for now in [file.stat()])


def read_words(specs: Sequence[SaeSpec], runner: Runner, corpus_of: Callable[[IndexHead], Corpus]) -> Words:
    """The words of every latent of some SAEs that have an index.

    Steps: (1) columns of the indexes; (2) texts and vectors of every token that they or their corpora hold; (3) the words of
    each corpus; (4) a row a latent.

    Raises:
        NotMeasured: if an SAE has no index.
    """
    tables = {spec.id: columns(spec, "label", "top_position", "promoted") for spec in specs}
    corpora, notices = _corpora(specs, corpus_of)
    terms = _Terms(runner, [*(corpus.ids for corpus in corpora.values()), *(_flat(table, "promoted") for table in tables.values())])
    read = {id(corpus): corpus for corpus in corpora.values()}
    texts = {name: _CorpusTerms(corpus, terms) for name, corpus in read.items()}
    widths = (N_TOP, N_TOP, 2 * NEAR * N_TOP, N_TOKENS)
    parts: list[list[np.ndarray]] = []
    for spec in specs:
        table = tables[spec.id]
        positions = _padded(table, "top_position", N_TOP)
        if spec.id in corpora:
            at = texts[id(corpora[spec.id])]
            found = [at.take(at.tokens, positions), at.take(at.words, positions), at.near(positions)]
        else:
            found = [np.full((len(table), width), _NONE, dtype=np.int32) for width in widths[:3]]
        parts.append([*found, terms.of_ids(_padded(table, "promoted", N_TOKENS))])
    labels = tuple(label for table in tables.values() for label in table.column("label").to_pylist())
    starts = np.cumsum([0, *(len(table) for table in tables.values())])
    empty = [np.zeros((0, width), dtype=np.int32) for width in widths]
    tokens, words, near, promoted = (np.concatenate([empty[i], *(part[i] for part in parts)]) for i in range(4))
    return Words(
        tuple(tables),
        starts,
        labels,
        tuple(map(compared_label, labels)),
        tuple(terms.texts),
        tokens,
        words,
        near,
        promoted,
        terms.vectors(),
        notices,
        {sae: row for row, sae in enumerate(tables)},
    )


def _corpora(specs: Sequence[SaeSpec], corpus_of: Callable[[IndexHead], Corpus]) -> tuple[dict[SaeId, Corpus], tuple[str, ...]]:
    """The corpus of each SAE whose corpus is here, and why the others have none. One text is one object."""
    found: dict[str, Corpus | str] = {}
    corpora: dict[SaeId, Corpus] = {}
    for spec in specs:
        head = read_index(spec).head
        if head.corpus_sha256 not in found:
            try:
                found[head.corpus_sha256] = corpus_of(head)
            except NotMeasured as error:
                found[head.corpus_sha256] = str(error)
        corpus = found[head.corpus_sha256]
        if isinstance(corpus, Corpus):
            corpora[spec.id] = corpus
    return corpora, tuple(why for why in found.values() if isinstance(why, str))


class _Terms:
    """Numbers terms as they come, and keeps the ids of the tokens that each was first made of."""

    def __init__(self, runner: Runner, ids: Sequence[np.ndarray]) -> None:
        self._runner = runner
        self.ids = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *ids]))
        known = runner.ask(VocabularyAsk(tuple(self.ids.tolist())))
        self.token_texts, self.special, self._rows = np.array(known.texts, dtype=object), np.array(known.special, dtype=bool), known.vectors
        self.texts: list[str] = []
        self._made_of: list[tuple[int, ...]] = []
        self._numbers: dict[str, int] = {"": _NONE}
        whole = [text if _PART not in text else "" for text in known.texts]
        self._of_token = np.array([self.number(text, (place,)) for place, text in enumerate(whole)], dtype=np.int32)

    def number(self, text: str, made_of: tuple[int, ...]) -> int:
        """The number of a text; -1 if nothing is left of it."""
        term = compared(text)
        if term not in self._numbers:
            self._numbers[term] = len(self.texts)
            self.texts.append(term)
            self._made_of.append(made_of)
        return self._numbers[term]

    def place(self, ids: np.ndarray) -> np.ndarray:
        """Where ids stand in `ids`; those below 0 give 0."""
        return np.searchsorted(self.ids, np.maximum(ids, self.ids[0] if len(self.ids) else 0))

    def of_ids(self, ids: Int32[np.ndarray, "latents some"]) -> Int32[np.ndarray, "latents some"]:
        """The terms of tokens; -1 for ids below 0."""
        return self.of_places(self.place(ids), ids >= 0)

    def of_places(self, places: np.ndarray, there: np.ndarray) -> Int32[np.ndarray, " ..."]:
        """The same, for places in `ids`."""
        if not len(self._of_token):
            return np.full(places.shape, _NONE, dtype=np.int32)
        return np.where(there, self._of_token[places], _NONE).astype(np.int32)

    def completed(self, words: Sequence[tuple[int, ...]]) -> list[str]:
        """Texts of words whose characters are spread over tokens."""
        rows = tuple(tuple(self.ids[list(word)].tolist()) for word in words)
        return ["".join(row.texts) for row in self._runner.ask(TraceAsk(rows, ()))] if rows else []

    def vectors(self) -> Float32[np.ndarray, "terms d_model"]:
        """Mean embedding row of each term's tokens."""
        lengths = np.array([len(made_of) for made_of in self._made_of], dtype=np.int64)
        if not len(lengths):
            return np.zeros((0, self._rows.shape[1]), dtype=np.float32)
        total = self._rows[[made_of[0] for made_of in self._made_of]].copy()
        for term in np.flatnonzero(lengths > 1):
            total[term] = self._rows[list(self._made_of[term])].mean(0)
        return total


class _CorpusTerms:
    """The term of each token of a corpus, and of the word that it is part of."""

    def __init__(self, corpus: Corpus, terms: _Terms) -> None:
        places = terms.place(corpus.ids)
        self.tokens = terms.of_places(places, np.ones(len(places), dtype=bool))
        self._word, self._word_terms, self._document = self._words(corpus, places, terms)
        self.words = self._word_terms[self._word] if len(self._word) else np.zeros(0, dtype=np.int32)

    @staticmethod
    def take(terms: Int32[np.ndarray, " tokens"], positions: Int32[np.ndarray, "latents some"]) -> Int32[np.ndarray, "latents some"]:
        """The terms at positions; -1 where there is none."""
        if not len(terms):
            return np.full(positions.shape, _NONE, dtype=np.int32)
        return np.where(positions >= 0, terms[np.maximum(positions, 0)], _NONE).astype(np.int32)

    def near(self, positions: Int32[np.ndarray, "latents top"]) -> Int32[np.ndarray, "latents near"]:
        """The words on both sides of those at the positions."""
        if not len(self._word):
            return np.full((len(positions), 2 * NEAR * positions.shape[1]), _NONE, dtype=np.int32)
        at = self._word[np.maximum(positions, 0)]
        found: list[np.ndarray] = []
        for step in (*range(-NEAR, 0), *range(1, NEAR + 1)):
            other = np.clip(at + step, 0, len(self._word_terms) - 1)
            inside = (positions >= 0) & (other == at + step) & (self._document[other] == self._document[at])
            found.append(np.where(inside, self._word_terms[other], _NONE))
        return np.concatenate(found, axis=1).astype(np.int32)

    @staticmethod
    def _words(corpus: Corpus, places: np.ndarray, terms: _Terms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each token the number of its word; for each word its term and its document."""
        n = len(places)
        if not n:
            return (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))
        opens = np.array([not _is_inside(text[:1]) for text in terms.token_texts], dtype=bool) | terms.special
        closes = np.array([not _is_inside(text[-1:]) for text in terms.token_texts], dtype=bool) | terms.special
        begins: Bool[np.ndarray, " tokens"] = opens[places]
        begins[1:] |= closes[places[:-1]]
        begins[corpus.starts[:-1]] = True
        starts = np.append(np.flatnonzero(begins), n)
        of_word = np.full(len(starts) - 1, _NONE, dtype=np.int32)
        single = np.diff(starts) == 1
        of_word[single] = terms.of_places(places[starts[:-1][single]], np.ones(int(single.sum()), dtype=bool))
        broken: dict[tuple[int, ...], list[int]] = {}
        numbers: dict[tuple[int, ...], int] = {}
        pieces = places.tolist()
        for word in np.flatnonzero(~single | np.isin(places[starts[:-1]], _partial(terms))):
            made_of = tuple(pieces[starts[word] : starts[word + 1]])
            if made_of not in numbers:
                text = "".join(terms.token_texts[list(made_of)])
                if _PART in text:
                    broken.setdefault(made_of, []).append(int(word))
                    continue
                numbers[made_of] = terms.number(text, made_of)
            of_word[word] = numbers[made_of]
        for (made_of, where), text in zip(broken.items(), terms.completed(list(broken)), strict=True):
            of_word[where] = terms.number(text if _PART not in text else "", made_of)
        documents = np.searchsorted(corpus.starts, starts[:-1], side="right") - 1
        return np.cumsum(begins) - 1, of_word, documents


def _partial(terms: _Terms) -> Int64[np.ndarray, " some"]:
    """Places of tokens that hold part of a character."""
    return np.flatnonzero(np.array([_PART in text for text in terms.token_texts], dtype=bool))


def _is_inside(character: str) -> bool:
    """True for what a word is made of; a part of a character counts as one."""
    return character.isalnum() or character in ("_", _PART) or unicodedata.category(character or " ").startswith("M")


def _flat(table: pa.Table, name: str) -> Int32[np.ndarray, " values"]:
    return table.column(name).combine_chunks().flatten().to_numpy().astype(np.int32)


def _padded(table: pa.Table, name: str, width: int) -> Int32[np.ndarray, "latents width"]:
    """A column of lists as rows of one width, filled up with -1."""
    lists = table.column(name).combine_chunks()
    lengths = np.minimum(lists.value_lengths().to_numpy(), width)
    rows = np.full((len(table), width), _NONE, dtype=np.int32)
    values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    for place in range(width):
        here = np.flatnonzero(lengths > place)
        rows[here, place] = values[offsets[:-1][here] + place]
    return rows
