"""The text of an index' corpus."""

from dashboard.analysis.errors import BrokenText, NotMeasured
from dashboard.analysis.index.facts import IndexHead
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpora import _kept
from dashboard.analysis.text.corpus import SHIPPED, Corpus, read_corpus


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
