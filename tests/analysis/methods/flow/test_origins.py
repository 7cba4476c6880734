"""Laws of origins: the eight groups, their shares, tests and matrix, by hand-made firings and by the tiny model."""

import itertools

import numpy as np
import pytest
import scipy.stats

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.chosen_tokens import Activity, ActivityAsk, SampledActivity
from dashboard.analysis.asks.matching import MatchTable
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.coactivation import CoActivation, coactivation
from dashboard.analysis.methods.flow.origins import (
    ORIGINS,
    Origin,
    Origins,
    group_tests,
    group_to_group,
    latents_of,
    origin_of,
    origins,
    scores,
    shares,
    significant_shares,
)
from dashboard.analysis.methods.flow.samples import SOURCES, Predecessors, SampleAsk, draw
from dashboard.analysis.names import Point, SaeId
from dashboard.analysis.text.corpus import Corpus, join
from dashboard.analysis.tokens import Prompt
from tests.only_asked import OnlyAsked

RES, MLP, ATT, TARGET = (SaeId("hand", name) for name in ("res", "mlp", "att", "target"))
N = 12


def table(among: SaeId, index: np.ndarray, cosine: np.ndarray) -> MatchTable:
    return MatchTable(TARGET, among, np.arange(len(index), dtype=np.int32), index.astype(np.int32), cosine.astype(np.float64))


def hand_layer(seed: int = 0, top: int = 1, without: tuple[Point, ...] = ()) -> Predecessors:
    rng = np.random.default_rng(seed)
    tables = {
        point: table(sae, rng.integers(0, N, (N, top)), np.sort(rng.uniform(0, 1, (N, top)))[:, ::-1])
        for point, sae in zip(SOURCES, (RES, MLP, ATT), strict=True)
        if point not in without
    }
    return Predecessors(TARGET, 5, tables)


def corpus(n: int = 12, length: int = 20) -> Corpus:
    rng = np.random.default_rng(1)
    return join("hand", "m", [(("tale", "list", "code")[i % 3], rng.integers(2, 50, length).tolist()) for i in range(n)])


class HandRunner(OnlyAsked):
    """Random firings that depend on the tokens; ids below 4 are special."""

    def ask(self, ask):
        assert isinstance(ask, ActivityAsk)
        ids = [row[position] for row, chosen in zip(ask.rows, ask.positions, strict=True) for position in chosen]
        places = [(row, position) for row, chosen in zip(ask.rows, ask.positions, strict=True) for position in chosen]
        found = {sae: self.dense(sae, places) for sae in ask.saes}
        return SampledActivity(np.array([i < 4 for i in ids], dtype=bool), {sae: sparse(sae, acts) for sae, acts in found.items()})

    @staticmethod
    def dense(sae: SaeId, places: list[tuple[tuple[int, ...], int]]) -> np.ndarray:
        rows = [np.random.default_rng([*row, position, len(str(sae)), *str(sae).encode()]).normal(-0.3, 1, N) for row, position in places]
        return np.maximum(np.array(rows).reshape(len(rows), N), 0)


def sparse(sae: SaeId, dense: np.ndarray) -> Activity:
    sample, latent = np.nonzero(dense)
    return Activity(sae, *dense.shape, sample.astype(np.int32), latent.astype(np.int32), dense[sample, latent].astype(np.float32))


def study(layer: Predecessors, ask: SampleAsk | None = None) -> Origins:
    return list(origins(HandRunner(), corpus(), [layer], ask or SampleAsk(12, 6)))[-1]


def test_the_eight_groups_are_the_eight_sets_of_active_sources() -> None:
    seen = {origin_of(active) for size in range(4) for active in itertools.combinations(SOURCES, size)}
    assert seen == {*Origin} and len(ORIGINS) == 8
    for origin in Origin:
        assert origin_of(origin.sources) is origin
    assert origin_of(()) is Origin.NOWHERE and origin_of((Point.MLP_OUT, Point.ATTN_OUT)) is Origin.MLP_ATT


@pytest.mark.parametrize("top", [1, 3])
def test_each_active_latent_gets_the_group_that_looking_up_every_match_by_hand_gives(top: int) -> None:
    layer = hand_layer(top=top)
    found = study(layer)
    expected: list[tuple[int, int, Origin]] = []
    for sample, (row, position) in enumerate(zip(found.row, found.position, strict=True)):
        place = [(found.rows[row].ids, int(position))]
        assert found.rows[row].ids[position] >= 4  # special tokens are left out
        fires = {sae: HandRunner.dense(sae, place)[0] > 0 for sae in layer.saes}
        for latent in np.flatnonzero(fires[TARGET]):
            active = [p for p, t in layer.tables.items() if any(fires[t.among][i] for i in t.index[latent])]
            expected.append((sample, int(latent), origin_of(active)))
    layer_found = found.layers[0]
    ours = zip(layer_found.sample, layer_found.latent, layer_found.origin, strict=True)
    assert [(int(s), int(i), ORIGINS[o]) for s, i, o in ours] == expected and len(expected) > 100


def test_the_shares_of_a_layer_add_up_to_1_and_those_of_the_kinds_to_those_of_all() -> None:
    found = study(hand_layer())
    whole, parts = shares(found), shares(found, by_kind=True)
    assert sum(one.share.k for one in whole) == whole[0].share.n == len(found.layers[0].sample)
    assert {one.kind for one in parts} == {"tale", "list", "code"} and {one.kind for one in whole} == {None}
    for one in whole:
        of_kinds = [part for part in parts if part.origin is one.origin]
        assert sum(part.share.k for part in of_kinds) == one.share.k and sum(part.share.n for part in of_kinds) == one.share.n
        assert one.share.interval is not None and one.share.interval[0] <= one.share.value <= one.share.interval[1]


def test_a_source_without_a_dictionary_is_never_an_origin_and_is_said_to_be_missing() -> None:
    layer = hand_layer(without=(Point.MLP_OUT,))
    found = study(layer)
    assert layer.missing == (Point.MLP_OUT,) and np.isnan(layer.score(Point.MLP_OUT)).all()
    assert not any(one.share.k for one in shares(found) if Point.MLP_OUT in one.origin.sources)
    assert all(len(of) == 0 for of in scores(found.layers[0], Point.MLP_OUT).values())
    assert {test.source for test in group_tests(found)} <= {Point.RESID_POST, Point.ATTN_OUT}
    assert all(one.cosines[1] is None and one.cosines[0] is not None for one in latents_of(found.layers[0]))


@pytest.mark.parametrize("distinct", [False, True])
def test_a_group_test_is_scipys_on_the_cosines_of_that_groups_latents(distinct: bool) -> None:
    found = study(hand_layer())
    layer, tests = found.layers[0], group_tests(found, distinct)
    assert len(tests) > 10
    for test in tests:
        sets = []
        for origin in (test.first, test.second):
            latents = [int(i) for i, o in zip(layer.latent, layer.origin, strict=True) if ORIGINS[o] is origin]
            values = layer.predecessors.score(test.source).astype(float)
            sets.append([values[i] for i in (sorted({*latents}) if distinct else latents)])
        assert (test.n_first, test.n_second) == tuple(map(len, sets))
        expected = scipy.stats.mannwhitneyu(*sets, method="asymptotic")
        assert test.p == pytest.approx(expected.pvalue) and test.auroc == pytest.approx(expected.statistic / (len(sets[0]) * len(sets[1])))
        assert test.is_significant == (test.p < 0.001)


def test_every_pair_of_groups_is_ao_ab_or_ib_for_each_module() -> None:
    found = study(hand_layer())
    tests = group_tests(found)
    for test in tests:
        for module in SOURCES:
            n = (module in test.first.sources) + (module in test.second.sources)
            assert test.sort(module) == {0: "IB", 1: "AO", 2: "AB"}[n]
    counted = significant_shares(tests)
    for module, source in itertools.product(SOURCES, SOURCES):
        n = sum(share.n for (m, _, s), share in counted.items() if (m, s) == (module, source))
        assert n == sum(test.source is source for test in tests)


def test_the_matrix_counts_each_latent_once_and_its_diagonal_is_the_latents_seen() -> None:
    found = study(hand_layer())
    layer, matrix = found.layers[0], group_to_group(found)
    seen = [{int(i) for i, o in zip(layer.latent, layer.origin, strict=True) if o == g} for g in range(8)]
    assert matrix.tolist() == [[len(a & b) for b in seen] for a in seen]
    counts = {one.latent.index: one.counts for one in latents_of(layer)}
    assert sum(map(sum, counts.values())) == len(layer.sample)
    assert all((counts[i][g] > 0) == (i in seen[g]) for i in counts for g in range(8))


def test_a_sample_takes_kinds_in_turn_and_the_same_seed_the_same_tokens() -> None:
    rows = draw(corpus(), SampleAsk(6, 4, seed=3))
    assert sorted(row.kind for row in rows) == ["code", "code", "list", "list", "tale", "tale"]
    assert all(len({*row.positions}) == 4 and max(row.positions) < len(row.ids) for row in rows)
    assert rows == draw(corpus(), SampleAsk(6, 4, seed=3)) != draw(corpus(), SampleAsk(6, 4, seed=4))
    assert {row.kind for row in draw(corpus(), SampleAsk(99, None, ("tale",)))} == {"tale"}
    assert len(draw(corpus(), SampleAsk(99, None, ("tale",)))) == 4
    with pytest.raises(BadAsk, match="0 documents of kind 'poem'"):
        draw(corpus(), SampleAsk(3, 3, ("poem",)))


def test_on_the_tiny_model_the_groups_are_what_captures_of_the_texts_say(runner: LocalRunner) -> None:
    target, before, mlp = SaeId("tiny", "2.resid_post"), SaeId("tiny", "1.resid_post"), SaeId("tiny", "1.mlp_out")
    index = np.arange(64, dtype=np.int32)[:, None]
    cosine = np.ones((64, 1))
    tables = {p: MatchTable(target, s, index[:, 0], index, cosine) for p, s in ((Point.RESID_POST, before), (Point.MLP_OUT, mlp))}
    texts = ("The quick brown fox jumps", "over the lazy dog, and the dog sleeps.")
    ids = [runner.tokens(Prompt(text)).ids[1:] for text in texts]
    documents = join("c", "m", [("a", list(ids[0])), ("b", list(ids[1]))])
    found = list(origins(runner, documents, [Predecessors(target, 2, tables)], SampleAsk(2, None)))[-1]
    assert len(found.row) == sum(map(len, ids))
    captures = [runner.ask(CaptureAsk(Prompt(texts[row.document]), (target, before, mlp))) for row in found.rows]
    layer, checked = found.layers[0], 0
    for sample, latent, origin in zip(layer.sample, layer.latent, layer.origin, strict=True):
        acts = captures[found.row[sample]].activations
        at = int(found.position[sample]) + 1
        assert acts[target].of_latent(int(latent))[at] > 0
        active = [p for p, t in tables.items() if acts[t.among].of_latent(int(latent))[at] > 0]
        assert ORIGINS[origin] is origin_of(active)
        checked += 1
    assert checked > 50


def co_activation(ask: SampleAsk) -> CoActivation:
    return list(coactivation(HandRunner(), corpus(), (TARGET, RES, MLP), ask))[-1]


def test_pearson_of_matched_pairs_is_numpys_over_every_ordinary_token() -> None:
    layer = hand_layer(without=(Point.ATTN_OUT,))
    found = co_activation(SampleAsk(12, None))
    places = [(row.ids, p) for row in draw(corpus(), SampleAsk(12, None)) for p in row.positions if row.ids[p] >= 4]
    dense = {sae: HandRunner.dense(sae, places) for sae in (TARGET, RES, MLP)}
    assert found.n_tokens == len(places)
    pairs = found.pairs(layer)
    assert len(pairs) == 2 * N
    for pair in pairs:
        x, y = dense[TARGET][:, pair.latent.index], dense[pair.predecessor.sae][:, pair.predecessor.index]
        assert pair.pearson == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6) and pair.n_fired == int((x > 0).sum())
        assert pair.cosine == layer.tables[pair.source].cosine[pair.latent.index, 0]


def test_the_best_correlated_is_the_argmax_of_numpys_matrix() -> None:
    found = co_activation(SampleAsk(12, None))
    dense = {sae: found.acts[sae].toarray() for sae in (TARGET, RES)}
    whole = np.corrcoef(dense[TARGET].T, dense[RES].T)[:N, N:]
    best = found.best_correlated(TARGET, RES)
    assert best.index[:, 0].tolist() == whole.argmax(axis=1).tolist()
    np.testing.assert_allclose(best.cosine[:, 0], whole.max(axis=1), atol=1e-6)
    assert found.best_correlated(RES, RES).index[:, 0].tolist() == list(range(N))


def test_matches_that_are_not_of_all_latents_in_order_are_refused() -> None:
    short = MatchTable(TARGET, RES, np.array([3, 1], dtype=np.int32), np.zeros((2, 1), dtype=np.int32), np.zeros((2, 1)))
    with pytest.raises(BadAsk, match="all latents"):
        Predecessors(TARGET, 1, {Point.RESID_POST: short})
    with pytest.raises(BadAsk, match="0 tables"):
        Predecessors(TARGET, 1, {})
