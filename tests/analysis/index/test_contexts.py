"""Contexts of examples: what is folded, and values that are those of the whole document."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.asks.capture import TraceAsk, TracedRow
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.index.contexts import SIDE, fold, read_contexts
from dashboard.analysis.index.facts import ExampleAt
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.text.corpus import Corpus, join

LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)


def corpus_of(*lengths: int, seed: int = 0) -> Corpus:
    rng = np.random.default_rng(seed)
    return join("c", "tests/tiny", [(f"kind {i}", rng.integers(10, 300, n).tolist()) for i, n in enumerate(lengths)])


def at(*positions: int) -> list[ExampleAt]:
    return [ExampleAt(position, 100.0 - place) for place, position in enumerate(positions)]


def test_examples_of_one_document_within_a_snippet_are_one_row() -> None:
    corpus = corpus_of(100, 100)
    spots = fold(corpus, at(50, 50 + SIDE, 50 + SIDE + 1, 34, 150))
    assert [spot.example.position for spot in spots] == [50, 50 + SIDE + 1, 150]
    assert [[one.position for one in spot.folded] for spot in spots] == [[50 + SIDE, 34], [], []]
    assert [spot.document for spot in spots] == [0, 0, 1]


def test_the_same_text_before_an_example_is_the_same_example() -> None:
    shared = list(range(20, 60))
    documents = [("a", [1, 2, *shared, 5, 6]), ("b", [3, *shared, 7]), ("c", [9, *shared[:10], 8])]
    corpus = join("c", "tests/tiny", documents)
    second, third = len(documents[0][1]), len(documents[0][1]) + len(documents[1][1])
    deep, shallow = (2 + 30, second + 1 + 30), (2 + 5, second + 1 + 5, third + 1 + 5)
    assert len(fold(corpus, at(*deep))) == 1
    assert len(fold(corpus, at(*shallow))) == 3, "their documents begin in different ways within reach"
    twins = join("c", "tests/tiny", [("a", [1, 2, 3, 4]), ("b", [1, 2, 3, 9])])
    assert len(fold(twins, at(2, 6))) == 1 and len(fold(twins, at(3, 7))) == 2


@given(st.lists(st.integers(0, 299), max_size=40, unique=True), st.integers(0, 3))
@settings(deadline=None)
def test_folding_loses_nothing_and_keeps_the_order(positions: list[int], seed: int) -> None:
    corpus, examples = corpus_of(90, 10, 200, seed=seed), at(*positions)
    spots = fold(corpus, examples)
    assert sorted([one.position for spot in spots for one in (spot.example, *spot.folded)]) == sorted(positions)
    firsts = [spot.example for spot in spots]
    assert firsts == [example for example in examples if example in firsts]
    assert all(spot.example.value > one.value for spot in spots for one in spot.folded)


@pytest.mark.parametrize("whole", [False, True])
def test_values_are_those_of_the_whole_document_read_alone(runner: LocalRunner, whole: bool) -> None:
    corpus = corpus_of(120, 7, 60, 61, 1)
    spots = fold(corpus, at(0, 90, 119, 123, 127, 150, 200, 247, 248))
    for context in read_contexts(runner.ask, corpus, LATENT, spots, whole=whole):
        document = corpus.document(context.spot.document)
        alone = runner.ask(TraceAsk((tuple(document.tolist()),), (LATENT,)))[0]
        offset = context.spot.example.position - int(corpus.starts[context.spot.document])
        first = 0 if whole else max(0, offset - SIDE)
        last = len(document) if whole else min(len(document), offset + SIDE + 1)
        np.testing.assert_allclose(context.values, alone.values[0, first:last], atol=1e-5)
        assert context.anchor == offset - first and context.kind == f"kind {context.spot.document}"
        assert (context.before, context.after) == (first > 0, last < len(document))
        assert len(context.texts) == len(context.special) == last - first


def test_long_rows_are_not_padded_onto_short_ones_and_every_row_is_read_once() -> None:
    lengths = (10, 12, 600, 700, 11, 640, 13, 14)
    corpus, asks = corpus_of(*lengths), list[TraceAsk]()

    def trace(ask: TraceAsk) -> list[TracedRow]:
        asks.append(ask)
        return [TracedRow(("x",) * len(row), (False,) * len(row), np.zeros((1, len(row)), np.float32)) for row in ask.rows]

    spots = fold(corpus, at(*(int(start) + length - 1 for start, length in zip(corpus.starts, lengths, strict=False))))
    read = read_contexts(trace, corpus, LATENT, spots)
    assert [context.spot for context in read] == list(spots)
    assert sorted(len(row) for ask in asks for row in ask.rows) == sorted(lengths)
    padded = [len(ask.rows) * max(map(len, ask.rows)) for ask in asks]
    assert max(padded) <= 1536 and len(asks) == 3
    assert all(n - sum(map(len, ask.rows)) <= 512 for n, ask in zip(padded, asks, strict=True))
