"""Where the text behind an index is: the corpus that ships, or one that was kept when an index was built over it."""

import re
from pathlib import Path

from dashboard.analysis.corpus import SHIPPED, Corpus, read_corpus, write_corpus
from dashboard.analysis.errors import BrokenText, NotMeasured
from dashboard.analysis.facts import IndexHead
from dashboard.analysis.settings import Settings


def corpus_file(corpus: Corpus, settings: Settings) -> Path:
    """Where a corpus that does not ship is kept."""
    return _kept(corpus.name, corpus.sha256, settings)


def keep_corpus(corpus: Corpus, settings: Settings) -> None:
    """Keep the text behind an index where `find_corpus` looks for it, unless it ships."""
    file = corpus_file(corpus, settings)
    if not (SHIPPED.is_file() and read_corpus(SHIPPED).sha256 == corpus.sha256) and not file.is_file():
        write_corpus(file, corpus)


def find_corpus(head: IndexHead, settings: Settings) -> Corpus:
    """The text that the positions of an index count through: the one that ships, or one that was kept.

    Raises:
        NotMeasured: if neither is it.
    """
    for file in (SHIPPED, _kept(head.corpus, head.corpus_sha256, settings)):
        try:
            if file.is_file() and (corpus := read_corpus(file)).sha256 == head.corpus_sha256:
                return corpus
        except BrokenText:  # as good as not there
            continue
    raise NotMeasured(
        f"The text behind this index, {head.corpus} ({head.corpus_sha256[:8]}, {head.n_tokens:,} tokens), is not on this machine, "
        "so its examples cannot be shown. Build the index again with `latents index build`."
    )


def _kept(name: str, sha256: str, settings: Settings) -> Path:
    return settings.cache / "corpora" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[:60]}-{sha256[:8]}.parquet"
