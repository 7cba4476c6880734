"""A corpus that the model writes itself: its openings, its seeds, its waves."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis.errors import BrokenText, RunMismatch
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.text.corpus import Corpus, read_corpus, write_corpus
from dashboard.analysis.text.openings import OpeningBook, draw_openings, read_openings
from dashboard.analysis.text.writing import WritingAsk, WritingProgress, is_loop, write_text
from tests.conftest import TINY

ASK = WritingAsk(900, temperature=1.0, longest=9, wave=7)
SMALL = """
[subjects]
animal = "dogs, foxes, quick brown foxes, owls"
thing = "a map, a lazy dog"
[genre.plain]
openings = ["{^animal} sleep", "The {thing|animal} {10-39}", "x = {1: {2-9}}"]
[genre.talk]
chat = true
weight = 2
openings = ["What are {animal}? {10-39}"]
"""


@pytest.fixture
def book(tmp_path: Path) -> OpeningBook:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return read_openings(file)


def ids_of(corpus: Corpus) -> list[tuple[str, list[int]]]:
    return list(corpus.documents())


def test_there_are_three_thousand_openings_of_every_genre_in_equal_shares() -> None:
    book = read_openings()
    drawn = list(itertools.islice(draw_openings(book, 0), 3000))
    assert len({opening.prompt for opening in drawn}) == 3000 and len(book.genres) >= 20
    turns = sum(genre.weight for genre in book.genres)
    counts = Counter(opening.genre for opening in drawn)
    for genre in book.genres:
        assert counts[genre.name] == pytest.approx(3000 * genre.weight / turns, abs=genre.weight + 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_opening_is_empty_ends_in_a_space_or_has_a_slot_left(seed: int) -> None:
    for opening in itertools.islice(draw_openings(read_openings(), seed), 6000):
        text = opening.prompt.text
        assert text.strip() and not text.endswith(" ") and not re.search(r"\{\^?[a-z_|]+\}|\{\d+-\d+\}", text), opening


def test_every_template_can_be_drawn_and_openings_are_the_seeds(book: OpeningBook) -> None:
    drawn = list(draw_openings(book, 5))
    assert drawn == list(draw_openings(book, 5)) and drawn != list(draw_openings(book, 6))
    texts = {opening.prompt.text for opening in drawn}
    assert {"Quick brown foxes sleep", "Owls sleep", "x = {1: 7}"} <= texts
    assert {text for text in texts if text.startswith("x")} == {f"x = {{1: {n}}}" for n in range(2, 10)}
    assert [opening.genre for opening in drawn[:6]] == ["plain", "talk", "talk"] * 2
    assert len({opening.seed for opening in drawn}) == len(drawn) == len(texts)


def test_a_kind_of_subject_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(SMALL.replace("{thing|animal}", "{thing|planet}"))
    with pytest.raises(BrokenText, match="0 subjects of the kinds planet"):
        read_openings(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("[genre")
    with pytest.raises(BrokenText, match="cannot be read"):
        read_openings(tmp_path / "bad.toml")


def test_a_document_is_its_opening_and_what_the_model_writes_after_it(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    written = write_text(ASK, book, tiny_model, tmp_path)
    assert written.n_same == written.n_loops == 0
    for opening, (kind, ids) in zip(draw_openings(book, ASK.seed), ids_of(written.corpus), strict=False):
        prompt = tokenise(tiny_model, opening.prompt).ids
        read = tiny_model.with_bos(tuple(ids))
        assert kind == opening.genre and read[: len(prompt)] == prompt and len(prompt) < len(read) <= len(prompt) + ASK.longest
        assert (ids[0] == tiny_model.bos_id) == opening.prompt.chat and read[1] != tiny_model.bos_id
    n_last = len(ids_of(written.corpus)[-1][1])
    assert ASK.n_tokens <= len(written.corpus) < ASK.n_tokens + n_last


def test_the_end_token_is_kept_in_a_chat_only(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    end = tiny_model.tokenizer.eos_token_id
    documents = ids_of(write_text(replace(ASK, n_tokens=8_000, longest=60, temperature=2.0, wave=96), book, tiny_model, tmp_path).corpus)
    assert any(kind == "talk" and ids[-1] == end for kind, ids in documents)
    assert any(kind == "plain" for kind, _ in documents) and not any(end in ids for kind, ids in documents if kind == "plain")


def test_the_text_is_the_seeds_and_not_the_size_of_the_waves(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    by_sevens = ids_of(write_text(ASK, book, tiny_model, tmp_path).corpus)
    assert ids_of(write_text(replace(ASK, wave=1), book, tiny_model, tmp_path).corpus) == by_sevens
    assert ids_of(write_text(replace(ASK, wave=50), book, tiny_model, tmp_path / "other").corpus) == by_sevens
    other = ids_of(write_text(replace(ASK, seed=1), book, tiny_model, tmp_path).corpus)
    assert not {tuple(ids) for _, ids in other} & {tuple(ids) for _, ids in by_sevens}


def test_a_longer_corpus_goes_on_from_the_parts_of_a_shorter_one(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    short = ids_of(write_text(ASK, book, tiny_model, tmp_path).corpus)
    seen: list[WritingProgress] = []
    long = write_text(replace(ASK, n_tokens=1800), book, tiny_model, tmp_path, seen.append)
    assert ids_of(long.corpus)[: len(short)] == short
    assert seen[-1].n_new < 1800 - len(short) < seen[-1].n_tokens
    assert ids_of(write_text(replace(ASK, n_tokens=1800), book, tiny_model, tmp_path / "afresh").corpus) == ids_of(long.corpus)
    again: list[WritingProgress] = []
    write_text(ASK, book, tiny_model, tmp_path, again.append)
    assert all(progress.n_new == 0 for progress in again)


def test_stopped_in_a_wave_it_goes_on_and_gives_the_same_file(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    straight = write_text(ASK, book, tiny_model, tmp_path / "straight").corpus

    def stop(progress: WritingProgress) -> None:
        if progress.n_tokens > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text(ASK, book, tiny_model, tmp_path / "resumed", stop)
    seen: list[WritingProgress] = []
    resumed = write_text(ASK, book, tiny_model, tmp_path / "resumed", seen.append).corpus
    assert 0 < seen[-1].n_new < seen[-1].n_tokens
    for name, corpus in (("a", straight), ("b", resumed)):
        write_corpus(tmp_path / name, corpus)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


KILLED = """
import sys
from pathlib import Path
from dashboard.analysis.model.bridge import load_model
from dashboard.analysis.text.writing import WritingAsk, write_text
from dashboard.analysis.names import ModelId
from dashboard.analysis.text.openings import read_openings
from dashboard.analysis.settings import Settings
model_path, book, cache = map(Path, sys.argv[1:4])
model = load_model(model_path, ModelId.parse(sys.argv[4]), Settings(cache=cache, device="cpu", dtype="float32", max_tokens=256))
write_text(WritingAsk(10**9, temperature=1.0, longest=9, wave=7), read_openings(book), model, cache)
"""


def test_killed_it_goes_on_and_gives_the_same_corpus(tiny_model: LoadedModel, tiny_path: Path, book: OpeningBook, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ask = replace(ASK, n_tokens=2500)
    arguments = [sys.executable, "-c", KILLED, str(tiny_path), str(tmp_path / "small.toml"), str(cache), str(TINY)]
    with subprocess.Popen(arguments, cwd=Path(__file__).parents[3], env={**os.environ, "OMP_NUM_THREADS": "1"}) as writer:
        while len(list(cache.glob("corpus-*/part-*.parquet"))) < 3:
            assert writer.poll() is None
            time.sleep(0.01)
        with pytest.raises(RunMismatch, match="another process"):
            write_text(ask, book, tiny_model, cache)
        writer.send_signal(signal.SIGKILL)
    n_parts = len(list(cache.glob("corpus-*/part-*.parquet")))
    seen: list[WritingProgress] = []
    resumed = write_text(ask, book, tiny_model, cache, seen.append).corpus
    assert n_parts >= 3 and seen[-1].n_new < seen[-1].n_tokens
    assert ids_of(resumed) == ids_of(write_text(ask, book, tiny_model, tmp_path / "straight").corpus)


def test_what_was_there_already_is_dropped_and_counted(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    whole = write_text(ASK, book, tiny_model, tmp_path)
    (first, second, *_) = sorted(tmp_path.glob("corpus-*/part-*.parquet"))
    n_first = read_corpus(first).n_documents
    second.write_bytes(first.read_bytes())
    written = write_text(ASK, book, tiny_model, tmp_path)
    assert written.n_same == n_first == ASK.wave
    distinct = [tuple(ids) for _, ids in ids_of(written.corpus)]
    assert len(set(distinct)) == len(distinct) and len(written.corpus) >= ASK.n_tokens
    assert ids_of(written.corpus)[:n_first] == ids_of(whole.corpus)[:n_first]


def test_a_loop_says_eight_tokens_three_times() -> None:
    eight = list(range(8))
    assert is_loop(eight * 3) and is_loop([*eight, 90, *eight, 91, 92, *eight]) and is_loop([5] * 10)
    assert not is_loop(eight * 2) and not is_loop([*eight[:7], 90] * 2 + eight[:7]) and not is_loop([5] * 9) and not is_loop([])


def test_documents_that_run_in_a_loop_are_dropped_and_counted(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    ask = replace(ASK, n_tokens=600, temperature=0.0, longest=60)
    written = write_text(ask, book, tiny_model, tmp_path)
    parts = [ids for part in sorted(tmp_path.glob("corpus-*/part-*.parquet")) for _, ids in ids_of(read_corpus(part))]
    kept = [ids for _, ids in ids_of(written.corpus)]
    assert written.n_loops > 0 and not any(is_loop(ids) for ids in kept)
    n_read = parts.index(kept[-1]) + 1
    assert written.n_loops + written.n_same + len(kept) == n_read


def test_openings_that_do_not_suffice_are_said(book: OpeningBook, tiny_model: LoadedModel, tmp_path: Path) -> None:
    n = len(list(draw_openings(book, 0)))
    with pytest.raises(BrokenText, match=rf"All {n:,} openings .* of 1,000,000 tokens"):
        write_text(WritingAsk(1_000_000, longest=1), book, tiny_model, tmp_path)
