"""The default text, and the text behind an index: the shipped one, or one saved on this machine.

Token ids mean nothing to another model's tokenizer. So for every model but the one that wrote the shipped corpus its text is
made into that model's tokens, once; where the writer's own tokenizer is not on this machine, the openings of that text are.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dashboard.analysis.roster.chosen import DEFAULT_MODEL, chosen_model
from dashboard.analysis.settings import ASSETS, Settings
from dashboard.analysis.system.files import sha256
from dashboard.analysis.text.corpus import LONGEST_PIECE, SHIPPED, Corpus, join, read_corpus, write_corpus
from dashboard.analysis.text.openings import draw_openings, read_openings

_N_OPENINGS = 3000


def default_corpus(settings: Settings, say: Callable[[str], None] = lambda line: None) -> Corpus:
    """The default text, in the tokens of the model that the settings choose.

    Raises:
        ModelUnavailable: if that model is not on this machine, or its tokenizer cannot be read.
        BrokenText: if the shipped corpus cannot be read.
    """
    model = chosen_model(settings)
    if model == DEFAULT_MODEL:
        return read_corpus(SHIPPED)
    from dashboard.analysis.model.bridge import load_tokenizer
    from dashboard.analysis.model.prepare import is_prepared, model_path
    from dashboard.analysis.model.sources import cached_folder, prepare_model

    # Pages ask at every turn: a model that is here is not looked for on the hub again.
    folder, whole = cached_folder(settings) or prepare_model(settings, say), is_prepared(settings.cache)
    marks = next((sha256(folder / name)[:8] for name in ("tokenizer.json", "tokenizer_config.json") if (folder / name).is_file()), "")
    name = f"{SHIPPED.stem if whole else 'openings'}-for-{model.repo.rpartition('/')[2]}"
    file = settings.cache / "corpora" / f"{_slug(name)}-{marks}.parquet"
    if not file.is_file():
        tokenizer = load_tokenizer(folder, model)
        texts = _shipped_texts(load_tokenizer(model_path(settings.cache), DEFAULT_MODEL)) if whole else _openings()
        write_corpus(file, join(name, str(model), [(kind, piece) for kind, text in texts for piece in _pieces(text, tokenizer)]))
    return read_corpus(file)


def _shipped_texts(tokenizer: Any) -> Iterator[tuple[str, str]]:
    for kind, ids in read_corpus(SHIPPED).documents():
        yield kind, tokenizer.decode(ids, skip_special_tokens=True)


def _openings() -> Iterator[tuple[str, str]]:
    for text in (ASSETS / "prompts" / "calibration.txt").read_text(encoding="utf-8").split("\n\n"):
        yield "calibration", text
    for opening in itertools.islice(draw_openings(read_openings(), 0), _N_OPENINGS):
        yield opening.genre, opening.prompt.text


def _pieces(text: str, tokenizer: Any) -> Iterator[list[int]]:
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    yield from (ids[start : start + LONGEST_PIECE] for start in range(0, len(ids), LONGEST_PIECE))


def corpus_file(corpus: Corpus, settings: Settings) -> Path:
    """Where a corpus that does not ship is kept."""
    return _kept(corpus.name, corpus.sha256, settings)


def keep_corpus(corpus: Corpus, settings: Settings) -> None:
    """Keep the text behind an index where `find_corpus` looks for it, unless it ships."""
    file = corpus_file(corpus, settings)
    if not (SHIPPED.is_file() and read_corpus(SHIPPED).sha256 == corpus.sha256) and not file.is_file():
        write_corpus(file, corpus)


def _kept(name: str, sha256: str, settings: Settings) -> Path:
    return settings.cache / "corpora" / f"{_slug(name)}-{sha256[:8]}.parquet"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
