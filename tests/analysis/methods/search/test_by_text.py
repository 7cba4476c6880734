"""Search by text: the ranking equals a brute-force one over every latent of every SAE, and what is filtered is counted."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.asks.capture import Capture, CaptureAsk, LatentActivations
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.index.facts import N_BINS, IndexHead, bin_of
from dashboard.analysis.index.file import LatentIndex
from dashboard.analysis.methods.search.by_text import By, History, RankAsk, rank, read_histories, report
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenizedPrompt

N_LATENTS, N_TOKENS = 12, 900
SAES = (SaeId("a", "2.x"), SaeId("a", "1.x"), SaeId("b", "1.x"))
BARE = SAES[1]
"""The SAE that has no index."""


def sparse(sae: SaeId, dense: np.ndarray) -> LatentActivations:
    position, latent = (places.astype(np.int32) for places in dense.nonzero())
    return LatentActivations(sae, *dense.shape, position, latent, dense[position, latent])


def text_of(n: int, special: tuple[int, ...] = (0,)) -> TokenizedPrompt:
    texts = tuple(f"t{i}" for i in range(n))
    is_special = tuple(i in special for i in range(n))
    return TokenizedPrompt(Prompt("".join(texts)), "".join(texts), tuple(range(n)), texts, ((0, 0),) * n, is_special)


def capture_of(*dense: np.ndarray, special: tuple[int, ...] = (0,)) -> Capture:
    return Capture(text_of(len(dense[0]), special), {sae: sparse(sae, one) for sae, one in zip(SAES, dense, strict=False)}, {})


def history_of(samples: list[np.ndarray], n_tokens: int = N_TOKENS) -> History:
    """The index of an SAE whose latents' activations above 0 in the corpus are these."""
    histograms = np.zeros((len(samples), N_BINS), dtype=np.int32)
    for row, values in zip(histograms, samples, strict=True):
        for value in values:
            row[bin_of(float(value), float(values.max()))] += 1
    head = IndexHead(n_tokens, 0, "corpus", "", "", "float32", (), "0")
    maximum = np.array([values.max(initial=0.0) for values in samples], dtype=np.float32)
    mean = np.array([values.mean() if len(values) else 0.0 for values in samples], dtype=np.float32)
    n_fired = np.array([len(values) for values in samples], dtype=np.int64)
    return History(
        LatentIndex(head, n_fired, mean, maximum, tuple(f"label {i}" for i in range(len(samples)))),
        np.pad(histograms.cumsum(axis=1, dtype=np.int32), ((0, 0), (1, 0))),
    )


def random_samples(generator: np.random.Generator, most: int = 60) -> list[np.ndarray]:
    """Some latents never fired; some fired once."""
    return [generator.exponential(2.0, generator.integers(0, most)).astype(np.float32) for _ in range(N_LATENTS)]


def random_dense(generator: np.random.Generator, n_tokens: int, rate: float) -> np.ndarray:
    """Rounded, so that ties happen."""
    fires = generator.random((n_tokens, N_LATENTS)) < rate
    return (fires * generator.integers(1, 9, (n_tokens, N_LATENTS)) / 2).astype(np.float32)


def brute_force(
    dense: dict[SaeId, np.ndarray], histories: dict[SaeId, History], counted: list[int], by: By
) -> list[tuple[LatentId, float]]:
    """Every latent of every SAE in a plain loop: (name, score), NaN for what is not known."""
    found = []
    for sae, acts in dense.items():
        for latent in range(acts.shape[1]):
            values = [float(acts[i, latent]) for i in counted]
            if not any(values):
                continue
            peak, score, density = max(values), math.nan, math.inf
            if by is By.MAX:
                score = peak
            elif by is By.SUM:
                score = math.fsum(values)
            if history := histories.get(sae):
                counts, most = np.diff(history.cumulative[latent]), float(history.index.maximum[latent])
                density = int(history.index.n_fired[latent]) / N_TOKENS
                quantile, above = math.nan, 0.0
                if most > 0:
                    place = min(peak / most * N_BINS, N_BINS)
                    inside = min(N_BINS - 1, int(place))
                    upto = int(counts[:inside].sum()) + (place - inside) * int(counts[inside])
                    quantile, above = upto / int(counts.sum()), int(counts.sum()) - upto
                rarity = round(-math.log10((above + 1) / (N_TOKENS + 1)), 3)
                score = {By.QUANTILE: quantile, By.SHARE: peak / most if most else math.nan, By.RARITY: rarity}.get(by, score)
            unknown = math.isnan(score)
            key = (unknown, -peak if unknown else -score, density, LatentId(sae, latent))
            found.append((key, LatentId(sae, latent), score))
    return [(latent, score) for _, latent, score in sorted(found, key=lambda one: one[0])]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 9),
    rate=st.sampled_from([0.0, 0.05, 0.3, 0.9]),
    by=st.sampled_from(By),
    with_special=st.booleans(),
    chosen=st.sets(st.integers(0, 8)),
)
@settings(max_examples=150, deadline=None)
def test_the_ranking_is_a_brute_force_ranking_over_all_latents_of_all_saes(
    seed: int, n: int, rate: float, by: By, with_special: bool, chosen: set[int]
) -> None:
    generator = np.random.default_rng(seed)
    dense = {sae: random_dense(generator, n, rate) for sae in SAES}
    histories = {sae: history_of(random_samples(generator)) for sae in SAES if sae != BARE}
    positions = tuple(sorted(i for i in chosen if i < n))
    ask = RankAsk(by, positions, with_special)
    ranking = rank(capture_of(*dense.values()), histories, ask)
    counted = [i for i in (positions or range(n)) if with_special or i != 0]
    expected = brute_force(dense, histories, counted, by)
    rows = ranking.rows()
    assert len(rows) == len(ranking) == ranking.n_firing == len(expected)
    for row, (_, score) in zip(rows, expected, strict=True):
        assert row.score == pytest.approx(score, rel=1e-6, nan_ok=True) if row.score is not None else math.isnan(score)
        values = ranking.values(row.latent)
        assert values.tolist() == dense[row.latent.sae][:, row.latent.index].tolist()
        inside = values[counted]
        assert row.peak == inside.max() == values[row.position] and row.position == counted[int(inside.argmax())]
        assert row.total == pytest.approx(float(inside.sum()), rel=1e-6) and row.n_tokens == (inside > 0).sum()
    assert [row.latent for row in rows] == [latent for latent, _ in expected]


def test_a_cut_takes_the_head_of_the_whole_ranking() -> None:
    generator = np.random.default_rng(3)
    capture = capture_of(*(random_dense(generator, 30, 0.3) for _ in SAES))
    ranking = rank(capture, {}, RankAsk(By.SUM))
    every = ranking.rows()
    assert ranking.rows(0, 7) == every[:7] and ranking.rows(7, 14) == every[7:14] and len(every) > 20
    assert all(a.total >= b.total for a, b in pairwise(every))


def test_equal_scores_go_to_the_latent_that_fires_more_seldom_then_by_name() -> None:
    dense = np.zeros((2, N_LATENTS), dtype=np.float32)
    dense[1, [3, 5, 9]] = 1.0
    samples = [np.ones(4, dtype=np.float32)] * N_LATENTS
    samples[9] = np.ones(2, dtype=np.float32)
    found = rank(capture_of(dense), {SAES[0]: history_of(samples)}, RankAsk(By.MAX)).rows()
    assert [row.latent.index for row in found] == [9, 3, 5]


@given(seed=st.integers(0, 2**32 - 1), by=st.sampled_from(By), with_special=st.booleans())
@settings(max_examples=25, deadline=None)
def test_choosing_every_token_is_choosing_none(seed: int, by: By, with_special: bool) -> None:
    generator = np.random.default_rng(seed)
    capture = capture_of(random_dense(generator, 7, 0.3), random_dense(generator, 7, 0.3))
    known = {SAES[0]: history_of(random_samples(generator))}
    every = rank(capture, known, RankAsk(by, tuple(range(7)), with_special)).rows()
    assert every == rank(capture, known, RankAsk(by, (), with_special)).rows() != []


def test_the_sum_over_two_sets_of_tokens_is_the_sum_of_both_sums() -> None:
    capture = capture_of(random_dense(np.random.default_rng(5), 8, 0.5))

    def totals(*positions: int) -> dict[LatentId, float]:
        return {row.latent: row.total for row in rank(capture, {}, RankAsk(By.SUM, positions)).rows()}

    first, second, both = totals(1, 2, 5), totals(3, 7), totals(1, 2, 3, 5, 7)
    assert (
        both == pytest.approx({latent: first.get(latent, 0) + second.get(latent, 0) for latent in both})
        and len({*first, *second}) == len(both) > 8
    )


def test_a_special_token_is_never_the_peak_unless_it_counts() -> None:
    dense = np.ones((4, N_LATENTS), dtype=np.float32)
    dense[[0, 3]] = 9.0
    capture = capture_of(dense, special=(0, 3))
    assert {(row.position, row.peak, row.n_tokens) for row in rank(capture, {}, RankAsk()).rows()} == {(1, 1.0, 2)}
    assert {(row.position, row.peak, row.n_tokens) for row in rank(capture, {}, RankAsk(with_special=True)).rows()} == {(0, 9.0, 4)}
    assert rank(capture, {}, RankAsk(positions=(0, 3))).rows() == []
    assert {row.position for row in rank(capture, {}, RankAsk(positions=(3,), with_special=True)).rows()} == {3}


@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([0.0, 0.01, 0.03, 5 / 900, 1.0]))
@settings(max_examples=30, deadline=None)
def test_the_density_filter_hides_exactly_those_above_and_says_how_many(seed: int, limit: float) -> None:
    generator = np.random.default_rng(seed)
    capture = capture_of(*(random_dense(generator, 6, 0.4) for _ in SAES))
    known = {sae: history_of(random_samples(generator)) for sae in SAES if sae != BARE}
    every, kept = (rank(capture, known, RankAsk(By.MAX, max_density=most)) for most in (None, limit))
    assert kept.rows() == [row for row in every.rows() if row.density is None or row.density <= limit]
    assert kept.n_firing == every.n_firing == kept.n_hidden + len(kept) and every.n_hidden == 0
    assert kept.counts == {sae: sum(row.latent.sae == sae for row in kept.rows()) for sae in SAES}


def test_chosen_saes_are_a_part_of_the_ranking_and_the_others_are_still_counted() -> None:
    generator = np.random.default_rng(8)
    capture = capture_of(*(random_dense(generator, 6, 0.4) for _ in SAES))
    every, some = rank(capture, {}, RankAsk(By.MAX)), rank(capture, {}, RankAsk(By.MAX, saes=SAES[:2]))
    assert some.rows() == [row for row in every.rows() if row.latent.sae in SAES[:2]] != every.rows()
    assert some.counts == every.counts and some.n_firing == some.counts[SAES[0]] + some.counts[SAES[1]]
    assert rank(capture, {}, RankAsk(By.MAX, saes=())).rows() == []


@given(
    samples=st.lists(st.floats(2**-10, 100, width=32), min_size=1, max_size=80),
    values=st.lists(st.floats(2**-12, 200, width=32), min_size=2, max_size=20),
)
@settings(max_examples=150, deadline=None)
def test_a_quantile_is_a_count_to_within_one_bin_and_rises_with_the_value(samples: list[float], values: list[float]) -> None:
    kept = np.array(samples, dtype=np.float32)
    history = history_of([kept])
    asked = np.sort(np.array(values, dtype=np.float32))
    got = history.quantiles(np.zeros(len(asked), dtype=np.int32), asked)
    assert (np.diff(got) >= -1e-12).all() and got.min() >= 0 and got.max() <= 1
    for value, quantile in zip(asked, got, strict=True):
        own = np.diff(history.cumulative[0])[bin_of(float(value), float(kept.max()))] / len(kept)
        assert abs(quantile - (kept <= value).mean()) <= own + 1e-6
    assert history.quantiles(np.zeros(1, dtype=np.int32), np.array([kept.max()])) == 1.0


def test_what_the_index_cannot_say_is_none_and_comes_last() -> None:
    dense = np.zeros((2, N_LATENTS), dtype=np.float32)
    dense[1, :4] = [9.0, 1.0, 2.0, 3.0]
    samples = [np.zeros(0, dtype=np.float32), *[np.full(5, 4.0, dtype=np.float32)] * (N_LATENTS - 1)]
    capture = capture_of(dense, dense)
    found = rank(capture, {SAES[0]: history_of(samples)}, RankAsk(By.QUANTILE)).rows()
    known, unknown = found[:3], found[3:]
    assert all(row.latent.sae == SAES[0] and row.quantile is not None for row in known)
    assert [row.latent for row in unknown] == [LatentId(SAES[0], 0), *(LatentId(BARE, i) for i in (0, 3, 2, 1))]
    assert unknown[0].quantile is None and unknown[0].density == 0.0
    assert unknown[0].one_in == pytest.approx(N_TOKENS + 1, rel=2e-3)
    assert all((row.quantile, row.share, row.density, row.one_in, row.maximum, row.label) == (None,) * 5 + ("",) for row in unknown[1:])


def test_rarity_counts_tokens_of_the_corpus_that_are_as_strong() -> None:
    dense = np.zeros((2, N_LATENTS), dtype=np.float32)
    dense[1, :3] = [4.0, 4.0, 2.0]
    often, seldom = np.linspace(0.1, 8, 800, dtype=np.float32), np.linspace(0.1, 8, 8, dtype=np.float32)
    samples = [often, seldom, *[seldom] * (N_LATENTS - 2)]
    found = rank(capture_of(dense), {SAES[0]: history_of(samples)}, RankAsk(By.RARITY)).rows()
    assert [row.latent.index for row in found] == [1, 2, 0]
    for row in found:
        values = samples[row.latent.index]
        in_bin = np.histogram(values, N_BINS, (0, 8))[0].max()
        assert (N_TOKENS + 1) / row.one_in == pytest.approx((values > row.peak).sum() + 1, abs=in_bin + 2e-3 * N_TOKENS)
        assert row.score == pytest.approx(math.log10(row.one_in))


@pytest.mark.parametrize("by", By)
def test_the_same_text_taken_away_leaves_nothing_and_another_leaves_the_difference(by: By) -> None:
    generator = np.random.default_rng(13)
    dense, other = random_dense(generator, 6, 0.5), random_dense(generator, 9, 0.2)
    known = {SAES[0]: history_of(random_samples(generator))}
    capture, without = capture_of(dense), capture_of(other)
    assert {row.score for row in rank(capture, known, RankAsk(by), capture).rows()} <= {0.0, None}
    alone, there = ({row.latent: row.score for row in rank(one, known, RankAsk(by)).rows()} for one in (capture, without))
    found = rank(capture, known, RankAsk(by), without).rows()
    for row in found:
        mine, theirs = alone[row.latent], there.get(row.latent, 0.0)
        assert row.score == (None if mine is None or theirs is None else pytest.approx(mine - theirs))
    scores = [row.score for row in found if row.score is not None]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]


@pytest.mark.parametrize("position", [-1, 6, 900])
def test_a_token_outside_the_text_is_refused_with_the_range(position: int) -> None:
    with pytest.raises(BadAsk, match=rf"Token {position} is not in this text: it has 6 tokens \(0 to 5\)"):
        rank(capture_of(np.ones((6, N_LATENTS), dtype=np.float32)), {}, RankAsk(positions=(1, position)))


def test_a_search_without_an_sae_is_refused() -> None:
    with pytest.raises(BadAsk, match="at least 1 SAE"):
        rank(Capture(text_of(3), {}, {}), {}, RankAsk())


def test_a_report_of_the_tiny_model_is_what_plain_reading_gives(runner: LocalRunner, site_saes: tuple[SaeId, ...]) -> None:
    capture = runner.ask(CaptureAsk(Prompt("The quick brown fox"), site_saes))
    known, unknown = read_histories(runner.catalog.get(sae) for sae in site_saes)
    assert known == {} and {*unknown} == {*site_saes}
    own = LatentId(site_saes[0], 3)
    found = report(rank(capture, known, RankAsk(By.SUM)), 200, {own: "mine"})
    everything = {
        f"{sae}/{latent}": capture.activations[sae].of_latent(latent)[list(capture.tokens.ordinary)]
        for sae in site_saes
        for latent in range(64)
    }
    firing = {name: float(values.sum()) for name, values in everything.items() if values.any()}
    assert found["n_firing"] == len(firing) and found["without_index"] == sorted(map(str, site_saes))
    rows = found["rows"]
    assert {row["latent"]: row["sum"] for row in rows} == pytest.approx(firing)
    assert [row["sum"] for row in rows] == pytest.approx(sorted(firing.values(), reverse=True))
    assert [row["score"] for row in rows] == [row["sum"] for row in rows]
    assert all(len(row["values"]) == len(found["tokens"]) and row["values"][row["position"]] == row["max"] for row in rows)
    assert {row["latent"]: row["label"] for row in rows if row["label"]} == ({str(own): "mine"} if str(own) in firing else {})
