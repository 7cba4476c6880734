"""A corpus: the text behind an index, as token ids. Examples name positions in it, so their contexts can be read again.

One Parquet file: a row a document, `ids` (list of token ids, without a BOS that is not its own) and `kind` (what sort of
text it is). The file's metadata names the model whose tokens these are. What the shipped corpus says was written by the model itself.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32, Int64

from dashboard.analysis.errors import BrokenText
from dashboard.analysis.names import ModelId
from dashboard.analysis.settings import ASSETS

SHIPPED = ASSETS / "corpus" / "smollm2-135m.parquet"
"""Written by the default model: `latents corpus write`."""
LONGEST_PIECE = 255
"""Tokens of a document that is cut from a longer text: with a BOS in front of it a model reads 256."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents of token ids, one after another. A position counts through all of them, from 0."""

    name: str
    model: str
    """Printed ModelId of the tokenizer."""
    ids: Int32[np.ndarray, " tokens"]
    starts: Int64[np.ndarray, " documents_and_1"]
    """Where each document begins; the last entry is the number of tokens."""
    kinds: tuple[str, ...]
    """One a document."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.kinds)

    @cached_property
    def sha256(self) -> str:
        """Of ids and starts: what positions mean."""
        return hashlib.sha256(self.ids.astype("<i4").tobytes() + self.starts.astype("<i8").tobytes()).hexdigest()

    def document_at(self, position: int) -> int:
        """The document that holds a position."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} is not in a corpus of {len(self)} tokens")
        return int(np.searchsorted(self.starts, position, side="right")) - 1

    def document(self, index: int) -> Int32[np.ndarray, " length"]:
        """The ids of one document."""
        return self.ids[self.starts[index] : self.starts[index + 1]]

    def documents(self) -> Iterator[tuple[str, list[int]]]:
        """Kind and ids of each document, in order."""
        for index, kind in enumerate(self.kinds):
            yield kind, self.document(index).tolist()


def join(name: str, model: str, documents: Sequence[tuple[str, Sequence[int] | Int32[np.ndarray, " _"]]]) -> Corpus:
    """A corpus from (kind, ids) documents; those without a token are left out."""
    whole = [(kind, ids) for kind, ids in documents if len(ids)]
    lengths = np.array([len(ids) for _, ids in whole], dtype=np.int64)
    ids = np.concatenate([np.asarray(ids, dtype=np.int32) for _, ids in whole]) if whole else np.zeros(0, dtype=np.int32)
    return Corpus(name, model, ids, np.concatenate([np.zeros(1, dtype=np.int64), lengths.cumsum()]), tuple(kind for kind, _ in whole))


def spread(corpus: Corpus, n_tokens: int) -> Corpus:
    """About so many tokens of a corpus, in whole documents: evenly spaced ones, so that every kind of text is in it."""
    if len(corpus) <= n_tokens:
        return corpus
    n = max(1, round(corpus.n_documents * n_tokens / len(corpus)))
    taken = [int((place + 0.5) * corpus.n_documents / n) for place in range(n)]
    return join(f"{corpus.name}-{n}", corpus.model, [(corpus.kinds[place], corpus.document(place)) for place in taken])


def check_corpus(corpus: Corpus, model: ModelId) -> None:
    """Refuse token ids of another model: in its own tokens they say something else.

    Raises:
        BrokenText: with both names.
    """
    if corpus.model.partition("@")[0].rpartition("/")[2].lower() != model.repo.rpartition("/")[2].lower():
        raise BrokenText(
            f"The corpus {corpus.name} is token ids of {corpus.model}; {model} is loaded, which reads other texts in them. "
            "Give --text, or a corpus that this model wrote."
        )


def write_corpus(file: Path, corpus: Corpus) -> None:
    """Write a corpus whole or not at all."""
    lists = pa.ListArray.from_arrays(pa.array(corpus.starts, pa.int32()), pa.array(corpus.ids, pa.int32()))
    table = pa.table({"kind": pa.array(corpus.kinds, pa.string()), "ids": lists})
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(file.name + ".writing")
    pq.write_table(table.replace_schema_metadata({"model": corpus.model}), scratch, compression="zstd", compression_level=19)
    scratch.replace(file)


def read_corpus(file: Path) -> Corpus:
    """Read a corpus; the same file is read once a process.

    Raises:
        BrokenText: if it cannot be read.
    """
    try:
        now = file.stat()
        return _read(file, (now.st_mtime_ns, now.st_ino, now.st_size))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise BrokenText(f"The corpus {file} cannot be read: {error}. Write it again with `latents corpus write`.") from error


@lru_cache(maxsize=8)
def _read(file: Path, version: tuple[int, int, int]) -> Corpus:
    table = pq.read_table(file)
    lists = table.column("ids").combine_chunks()
    model = (table.schema.metadata or {})[b"model"].decode()
    return Corpus(
        file.stem,
        model,
        lists.flatten().to_numpy().astype(np.int32),
        lists.offsets.to_numpy().astype(np.int64) - int(lists.offsets[0].as_py()),
        tuple(table.column("kind").to_pylist()),
    )
