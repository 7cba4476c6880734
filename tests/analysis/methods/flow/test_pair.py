"""Two latents of a flow compared: counts are those of a plain loop."""

import numpy as np
import pytest

from dashboard.analysis.asks.capture import TraceAsk, TracedRow
from dashboard.analysis.index.contexts import SIDE
from dashboard.analysis.index.facts import ExampleAt, IndexHead, LatentFacts, TokenLogit
from dashboard.analysis.methods.flow.pair import FiringTogether, firing_together, shared_promoted
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.text.corpus import join

FIRST, SECOND = LatentId(SaeId("r", "1.resid_post"), 1), LatentId(SaeId("r", "2.resid_post"), 2)


def facts(latent: LatentId, positions: list[int], promoted: tuple[int, ...] = ()) -> LatentFacts:
    top = tuple(ExampleAt(position, 1.0) for position in positions)
    head = IndexHead(240, 0, "made", "", "", "float32", (), "")
    likelier = tuple(TokenLogit(i, 1.0) for i in promoted)
    return LatentFacts(latent, head, "", 1, 1.0, 1.0, (), (), top, (), (), likelier, (), 0.0, 1.0, (), (), ())


def test_firing_together_is_counted_on_the_texts_of_both_without_special_tokens() -> None:
    draw = np.random.default_rng(0)
    corpus = join("made", "m", [(f"k{i}", draw.integers(0, 50, 60).tolist()) for i in range(4)])
    asked: list[TraceAsk] = []
    values = {}

    def trace(ask: TraceAsk):
        asked.append(ask)
        rows = []
        for row in ask.rows:
            acts = np.where(draw.random((2, len(row))) < 0.4, 1.0, 0.0).astype(np.float32)
            values[row] = acts
            rows.append(TracedRow(("x",) * len(row), tuple(i == 0 for i in range(len(row))), acts))
        return rows

    found = firing_together(trace, corpus, facts(FIRST, [5, 70]), facts(SECOND, [130]))
    assert asked[0].latents == (FIRST, SECOND) and [len(row) for row in asked[0].rows] == [5 + SIDE + 1, 10 + SIDE + 1, 10 + SIDE + 1]
    both = first = second = n = 0
    for acts in values.values():
        for a, b in zip(*acts[:, 1:].tolist(), strict=True):
            n, first, second, both = n + 1, first + (a > 0), second + (b > 0), both + (a > 0 and b > 0)
    assert found == FiringTogether(3, n, first, second, both)
    assert found.share == pytest.approx(both / (first + second - both))


def test_without_texts_nothing_is_known() -> None:
    corpus = join("made", "m", [("k", [1, 2, 3])])
    found = firing_together(lambda ask: pytest.fail("nothing to read"), corpus, facts(FIRST, []), facts(SECOND, []))
    assert found == FiringTogether(0, 0, 0, 0, 0) and found.share is None


def test_shared_promoted_tokens_come_in_the_order_of_the_first() -> None:
    assert shared_promoted(facts(FIRST, [], (3, 1, 2)), facts(SECOND, [], (2, 9, 3))) == (3, 2)
