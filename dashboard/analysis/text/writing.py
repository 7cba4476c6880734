"""Text that the model writes itself: a corpus of documents that begin in many ways, sampled, in waves that are kept.

Steps: (1) openings are drawn, genre after genre; (2) a wave of them is written together, each document with its own
generator; (3) a finished wave is a part file, so that a killed writer goes on after it; (4) parts are read in order:
a document that is there already, or that runs in a loop, is dropped; (5) the corpus ends with the document that reaches
the number of tokens. A wave depends on no other, so a resumed corpus equals one written in one go, also in bfloat16,
where the last bits of a row depend on the rows beside it. In float32 the waves' size makes no difference either.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import BrokenText, RunMismatch
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.model.generation import Decoder, Step
from dashboard.analysis.text.corpus import Corpus, join, read_corpus, write_corpus
from dashboard.analysis.text.openings import Opening, OpeningBook, draw_openings

WAVE = 96
"""Documents that are written together."""
LOOP_LENGTH = 8
LOOP_TIMES = 3
"""A document is a loop if some LOOP_LENGTH tokens in a row stand in it as often as this, or oftener."""


@dataclass(frozen=True)
class WritingAsk:
    """How much is written, and how."""

    n_tokens: int
    """The corpus ends with the document that reaches it."""
    temperature: float = 0.9
    top_p: float = 0.95
    seed: int = 0
    """Fixes the openings and what follows each of them."""
    longest: int = 120
    """New tokens of a document, at most; it also ends where the model ends it."""
    wave: int = WAVE


@dataclass(frozen=True)
class WritingProgress:
    """How far the writing is."""

    n_tokens: int
    """Kept, and of the wave that is being written."""
    n_new: int
    """Tokens that this process has written itself; the others were read from parts."""


@dataclass(frozen=True)
class Written:
    """A corpus and what was left out of it."""

    corpus: Corpus
    n_same: int
    """Documents dropped because an earlier one has the same ids."""
    n_loops: int
    """Documents dropped because they say the same over and over."""


def write_text(
    ask: WritingAsk, book: OpeningBook, model: LoadedModel, cache: Path, report: Callable[[WritingProgress], None] = lambda _: None
) -> Written:
    """Write a corpus, or what is still missing of it. Another number of tokens goes on from the same parts.

    Raises:
        BrokenText: if the openings are used up before the tokens are reached.
        RunMismatch: if another process writes the same.
    """
    folder = cache / f"corpus-{_key(ask, book, model)}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunMismatch(f"{folder} is being written by another process. Wait for it, or choose another --seed.") from error
    with lock:
        return _collect(ask, book, model, folder, report)


def is_loop(ids: list[int]) -> bool:
    """True if some LOOP_LENGTH ids in a row stand in the document LOOP_TIMES or more."""
    runs = Counter(tuple(ids[at : at + LOOP_LENGTH]) for at in range(len(ids) - LOOP_LENGTH + 1))
    return max(runs.values(), default=0) >= LOOP_TIMES


def _collect(ask: WritingAsk, book: OpeningBook, model: LoadedModel, folder: Path, report: Callable[[WritingProgress], None]) -> Written:
    kept: list[tuple[str, list[int]]] = []
    seen: set[tuple[int, ...]] = set()
    n_tokens = n_new = n_same = n_loops = 0
    openings = draw_openings(book, ask.seed)
    waves = iter(lambda: list(itertools.islice(openings, ask.wave)), [])
    for number, wave in enumerate(waves):
        part = folder / f"part-{number:05}.parquet"
        if not part.is_file():
            documents = [_Document(opening, model) for opening in wave]
            for n_written in _write(documents, ask, model):
                report(WritingProgress(n_tokens + n_written, n_new + n_written))
            n_new += sum(len(document.ids) for document in documents)
            write_corpus(part, join(part.stem, str(model.id), [(document.genre, document.ids) for document in documents]))
        for kind, ids in read_corpus(part).documents():
            if tuple(ids) in seen:
                n_same += 1
                continue
            seen.add(tuple(ids))
            if is_loop(ids):
                n_loops += 1
                continue
            kept.append((kind, ids))
            n_tokens += len(ids)
            if n_tokens >= ask.n_tokens:
                return Written(join("written", str(model.id), kept), n_same, n_loops)
        report(WritingProgress(n_tokens, n_new))
    raise BrokenText(f"All {len(seen) + n_same:,} openings together gave {n_tokens:,} of {ask.n_tokens:,} tokens. Ask for fewer.")


class _Document:
    """A document in the making: its opening as the model reads it, then what is written."""

    def __init__(self, opening: Opening, model: LoadedModel) -> None:
        self.genre, self.seed, self.is_chat = opening.genre, opening.seed, opening.prompt.chat
        self.prompt = tokenise(model, opening.prompt)
        bos_was_added = self.prompt.char_ranges[0] == (0, 0)
        self.ids = list(self.prompt.ids[bos_was_added:])


def _write(documents: list[_Document], ask: WritingAsk, model: LoadedModel) -> Iterator[int]:
    """Write documents to their ends, together; yields how many ids they have, after each token."""
    decoder, special = Decoder(model), set(model.tokenizer.all_special_ids)
    going: list[tuple[_Document, Iterator[Step]]] = []
    for document in documents:
        room = min(ask.longest, model.max_tokens - len(document.prompt))
        sampling = Sampling(room, ask.temperature, ask.top_p, document.seed)
        going.append((document, decoder.write(document.prompt, [(document.genre, (), document.seed)], sampling)))
    while going:
        ended: list[_Document] = []
        for document, stream in going:
            (delta,) = next(stream)
            # The token that ends a turn belongs to a chat; other text has no such mark.
            if document.is_chat or not (delta.last and delta.token_id in special):
                document.ids.append(delta.token_id)
            if delta.last:
                next(stream, None)  # takes its row away
                ended.append(document)
        going = [(document, stream) for document, stream in going if document not in ended]
        yield sum(len(document.ids) for document in documents)


def _key(ask: WritingAsk, book: OpeningBook, model: LoadedModel) -> str:
    """Of everything that a part depends on."""
    facts = asdict(ask) | {"model": str(model.id), "device": model.device, "dtype": str(model.dtype), "openings": book.sha256}
    del facts["n_tokens"]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
