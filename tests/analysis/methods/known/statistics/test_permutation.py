"""Laws of the shuffled labels: honest without a difference, sharp with one, equal to slow shuffling, fast."""

import time

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, Firing, Member, Roster, Split, count
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.permutation import MaxNull, max_null
from dashboard.analysis.methods.known.statistics.separation import separation
from tests.analysis.methods.known.statistics.test_separation import columns_of, dense_firing

KINDS = ("city", "song")


def study(generator: np.random.Generator, n: int, columns: Columns, kinds: tuple[str, ...] = KINDS) -> tuple[Roster, Firing]:
    """Entities whose latents fire at rates of their own, in correlated pairs, whatever the label."""
    labels = generator.permuted(np.arange(n) % 3 == 0)
    names = [Member(kinds[i % len(kinds)], str(i), Knowledge.KNOWN if labels[i] else Knowledge.UNKNOWN, Split.TEST) for i in range(n)]
    fires = generator.random((n, columns.n)) < generator.beta(0.5, 2, columns.n)
    fires[:, 1::2] = np.where(generator.random((n, columns.n // 2)) < 0.8, fires[:, ::2], fires[:, 1::2])
    return Roster(tuple(names)), dense_firing(fires, columns)


def by_name(found: tuple[MaxNull, ...]) -> dict[tuple[str | None, Knowledge], MaxNull]:
    return {(one.kind, one.side): one for one in found}


def test_a_shuffled_labelling_gives_p_above_5_per_cent_in_90_of_100_runs() -> None:
    columns = columns_of(100, 100)
    counts: dict[tuple[str | None, Knowledge], int] = {}
    for seed in range(100):
        everyone, fires = study(np.random.default_rng(seed), 90, columns)
        for name, one in by_name(max_null(everyone, fires, everyone.where(), n_shuffles=200, seed=seed)).items():
            counts[name] = counts.get(name, 0) + (one.p > 0.05)
    assert len(counts) == 6 and min(counts.values()) >= 90


def test_a_latent_that_knows_is_found_and_named() -> None:
    everyone, fires = study(np.random.default_rng(0), 120, columns_of(100, 100))
    known = np.array([one.knowledge is Knowledge.KNOWN for one in everyone.members])
    dense = fires.matrix().toarray()
    dense[:, 137] = known
    found = by_name(max_null(everyone, dense_firing(dense, columns_of(100, 100)), everyone.where()))
    for kind in (*KINDS, None):
        best = found[kind, Knowledge.KNOWN]
        assert (best.observed, best.column) == (pytest.approx(1.0), 137)
        assert best.p == 1 / 1001 and best.threshold < 0.8
        assert best.p_of(0.0) > 0.9
    assert found[None, Knowledge.KNOWN].n_known == known.sum() and found[None, Knowledge.KNOWN].n_unknown == (~known).sum()


def test_what_is_observed_is_what_the_counts_say() -> None:
    columns = columns_of(30, 20)
    everyone, fires = study(np.random.default_rng(1), 60, columns)
    scores = separation(count(everyone, columns, fires), Split.TEST)
    for one in max_null(everyone, fires, everyone.where(), n_shuffles=5):
        values = scores.weakest(one.side) if one.kind is None else scores.s(one.side)[scores.kinds.index(one.kind)]
        assert one.observed == pytest.approx(values.max(), abs=1e-6)
        assert values[one.column] == pytest.approx(values.max(), abs=1e-6)


def test_the_null_is_what_slow_shuffling_gives() -> None:
    columns = columns_of(12)
    everyone, fires = study(np.random.default_rng(2), 24, columns)
    found = by_name(max_null(everyone, fires, everyone.where(), n_shuffles=4_000))
    dense, generator = fires.matrix().toarray() > 0, np.random.default_rng(3)
    rows = {kind: np.array([i for i, one in enumerate(everyone.members) if one.kind == kind]) for kind in KINDS}
    known = {kind: np.array([everyone.members[i].knowledge is Knowledge.KNOWN for i in rows[kind]]) for kind in KINDS}
    slow = []
    for _ in range(4_000):
        s = []
        for kind in KINDS:
            label = generator.permutation(known[kind])
            s.append(dense[rows[kind]][label].mean(0) - dense[rows[kind]][~label].mean(0))
        slow.append((s[0].max(), np.minimum(*s).max(), (-np.maximum(*s)).max()))
    expected = np.array(slow)
    for name, values in (
        (("city", Knowledge.KNOWN), expected[:, 0]),
        ((None, Knowledge.KNOWN), expected[:, 1]),
        ((None, Knowledge.UNKNOWN), expected[:, 2]),
    ):
        assert found[name].null.mean() == pytest.approx(values.mean(), abs=0.01)
        assert np.quantile(found[name].null, 0.9) == pytest.approx(np.quantile(values, 0.9), abs=0.05)


def test_the_same_seed_gives_the_same_null_whatever_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone, fires = study(np.random.default_rng(4), 60, columns_of(50))
    first = max_null(everyone, fires, everyone.where(), n_shuffles=50, seed=7)
    monkeypatch.setattr("dashboard.analysis.methods.known.statistics.permutation._AT_ONCE_CELLS", 500)
    again = max_null(everyone, fires, everyone.where(), n_shuffles=50, seed=7)
    assert all(np.array_equal(one.null, other.null) for one, other in zip(first, again, strict=True))
    other = max_null(everyone, fires, everyone.where(), n_shuffles=50, seed=8)
    assert not np.array_equal(first[0].null, other[0].null)


def test_only_kept_latents_are_looked_at() -> None:
    everyone, fires = study(np.random.default_rng(5), 60, columns_of(50))
    known = np.array([one.knowledge is Knowledge.KNOWN for one in everyone.members])
    dense = fires.matrix().toarray()
    dense[:, 20] = known
    kept = np.ones(50, dtype=bool)
    kept[20] = False
    found = max_null(everyone, dense_firing(dense, columns_of(50)), everyone.where(), kept, n_shuffles=50)
    assert all(one.column != 20 and one.observed < 1 for one in found)
    with pytest.raises(BadAsk, match="0 latents"):
        max_null(everyone, fires, everyone.where(), np.zeros(50, dtype=bool))


def test_silent_latents_have_separation_nought_under_every_labelling() -> None:
    everyone, _ = study(np.random.default_rng(6), 30, columns_of(10))
    silent = dense_firing(np.zeros((30, 10)), columns_of(10))
    for one in max_null(everyone, silent, everyone.where(), n_shuffles=20):
        assert one.observed == 0 and (one.null == 0).all() and one.p == 1 and one.column == 0


def test_types_with_one_side_and_entities_set_aside_take_no_part() -> None:
    everyone, fires = study(np.random.default_rng(7), 60, columns_of(40))
    changed = [
        Member(one.kind, one.name, Knowledge.UNKNOWN if one.kind == "song" else Knowledge.ASIDE if i < 10 else one.knowledge, one.split)
        for i, one in enumerate(everyone.members)
    ]
    found = max_null(Roster(tuple(changed)), fires, np.arange(60), n_shuffles=20)
    assert {one.kind for one in found} == {"city", None}
    cities = sum(one.kind == "city" and one.knowledge is not Knowledge.ASIDE for one in changed)
    assert all(one.n_known + one.n_unknown == cities for one in found)
    with pytest.raises(BadAsk, match="0 types"):
        max_null(Roster(tuple(one for one in changed if one.kind == "song")), fires, np.arange(30))


def test_a_thousand_shuffles_of_250_entities_and_24576_latents_take_seconds() -> None:
    columns = columns_of(*[2048] * 12)
    generator = np.random.default_rng(8)
    start = np.arange(251, dtype=np.int64) * 12 * 32
    column = np.concatenate([np.sort(generator.choice(columns.n, 12 * 32, replace=False)) for _ in range(250)]).astype(np.int32)
    names = [Member("city", str(i), Knowledge.KNOWN if i % 3 else Knowledge.UNKNOWN, Split.TEST) for i in range(250)]
    begun = time.process_time()
    found = max_null(Roster(tuple(names)), Firing(start, column, columns.n), np.arange(250))
    assert len(found) == 4 and time.process_time() - begun < 5
