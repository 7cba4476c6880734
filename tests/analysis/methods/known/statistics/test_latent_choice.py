"""Laws of the choice of latents: the method's worked example, no look at the test split, curves by hand."""

import itertools

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Counts, Split, firing
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.latent_choice import NoiseRates, best_columns, choose, layer_curves
from dashboard.analysis.methods.known.statistics.separation import max_min, separation
from tests.analysis.methods.known.statistics.test_separation import columns_of, counts_of

SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)


def worked_example() -> Counts:
    """20 known and 20 unknown entities a type, so that s_A = .9 .6 .7 and s_B = .1 .5 .65."""
    groups = {}
    for kind, s in (("A", (0.9, 0.6, 0.7)), ("B", (0.1, 0.5, 0.65))):
        for split in Split:
            known = np.arange(20)[:, None] < np.round(20 * np.array(s))
            groups[kind, Knowledge.KNOWN, split] = known
            groups[kind, Knowledge.UNKNOWN, split] = np.zeros((20, 3))
    return counts_of(groups, columns_of(3))


def random_counts(seed: int) -> Counts:
    generator = np.random.default_rng(seed)
    groups = {
        (kind, label, split): generator.random((generator.integers(5, 30), 40)) < generator.random(40)
        for kind, label, split in itertools.product(("city", "song", "film"), SIDES, Split)
    }
    return counts_of(groups, columns_of(15, 25))


def test_the_second_worked_example_of_the_method() -> None:
    counts = worked_example()
    noise = NoiseRates(np.array([0, 1, 3]), 100)
    found = separation(counts, Split.TRAIN)
    assert found.weakest(Knowledge.KNOWN) == pytest.approx([0.1, 0.5, 0.65])
    (unfiltered,) = max_min(found, Knowledge.KNOWN)
    assert (unfiltered.column, unfiltered.value) == (2, pytest.approx(0.65))
    first, second = choose(counts, Knowledge.KNOWN, 5, noise)
    assert (first.latent.index, first.train, first.test) == (1, pytest.approx(0.5), pytest.approx(0.5))
    assert first.weakest_kind == "B" and second.latent.index == 0
    assert [one.latent.index for one in choose(counts, Knowledge.KNOWN, 5)] == [2, 1, 0]


def test_a_latent_at_two_per_cent_stays_and_one_above_goes() -> None:
    assert NoiseRates(np.array([0, 20, 21, 1000]), 1000).kept().tolist() == [True, True, False, False]
    assert NoiseRates(np.array([0, 20, 21, 1000]), 1000).kept(1.0).all()


def test_noise_rates_count_rows_and_add() -> None:
    columns = columns_of(4)
    rows = firing(columns, 5, {columns.saes[0]: (np.array([0, 1, 1, 4]), np.array([2, 2, 3, 2]))})
    found = NoiseRates.of(rows)
    assert found.fires.tolist() == [0, 0, 3, 1] and found.n == 5
    twice = found + found
    assert str(twice.share(2)) == "6/10"


def test_the_test_split_has_no_say_in_the_choice() -> None:
    counts = random_counts(0)
    other = random_counts(1)
    fires, n = counts.fires.copy(), counts.n.copy()
    fires[:, :, 1:], n[:, :, 1:] = other.fires[:, :, 1:], other.n[:, :, 1:]
    swapped = Counts(counts.kinds, counts.columns, n, fires)
    for side in SIDES:
        before, after = choose(counts, side), choose(swapped, side)
        assert [(one.latent, one.train) for one in before] == [(one.latent, one.train) for one in after]
        assert [one.pairs for one in before] != [one.pairs for one in after]


def test_what_is_shown_is_counted_on_the_test_split() -> None:
    counts = random_counts(2)
    for side, sign in ((Knowledge.KNOWN, 1), (Knowledge.UNKNOWN, -1)):
        for rank, one in enumerate(choose(counts, side)):
            assert one.rank == rank and counts.columns.column(one.latent) == one.column
            for pair in one.pairs:
                assert pair.known == counts.share(pair.kind, Knowledge.KNOWN, one.column, Split.TEST)
                assert pair.unknown == counts.share(pair.kind, Knowledge.UNKNOWN, one.column, Split.TEST)
            worst = min(one.pairs, key=lambda pair: sign * pair.separation)
            assert (one.weakest_kind, one.test) == (worst.kind, pytest.approx(sign * worst.separation))


def test_the_choice_is_ranked_by_the_smallest_separation_then_by_the_mean() -> None:
    counts = random_counts(3)
    train = separation(counts, Split.TRAIN)
    found = choose(counts, Knowledge.KNOWN, 40)
    keys = [(one.train, float(train.s(Knowledge.KNOWN)[:, one.column].mean())) for one in found]
    assert keys == sorted(keys, reverse=True) and len({one.column for one in found}) == 40
    among = np.zeros(40, dtype=bool)
    among[:15] = True
    assert {one.column for one in choose(counts, Knowledge.KNOWN, 40, among=among)} == set(range(15))


def test_curves_are_the_five_best_of_train_shown_on_test() -> None:
    counts = random_counts(4)
    train, test = separation(counts, Split.TRAIN), separation(counts, Split.TEST)
    points = layer_curves(counts, Knowledge.UNKNOWN)
    assert [(point.kind, point.sae.name) for point in points] == list(itertools.product(("city", "song", "film", None), "01"))
    for point in points:
        block = counts.columns.block(point.sae)
        by, on = (
            found.weakest(Knowledge.UNKNOWN) if point.kind is None else found.s(Knowledge.UNKNOWN)[found.kinds.index(point.kind)]
            for found in (train, test)
        )
        best = sorted(range(block.start, block.stop), key=lambda column: (-by[column], column))[:5]
        assert point.columns == tuple(best)
        assert point.shown == tuple(on[best]) and point.chosen_by == tuple(by[best])
        assert (point.low, point.high, point.mean) == (min(on[best]), max(on[best]), pytest.approx(np.mean(on[best])))


def test_over_all_types_the_first_latent_of_a_curve_is_the_max_min() -> None:
    counts = random_counts(5)
    expected = max_min(separation(counts, None), Knowledge.KNOWN)
    points = [point for point in layer_curves(counts, Knowledge.KNOWN, chosen_on=None, shown_on=None) if point.kind is None]
    assert [(point.columns[0], point.shown[0]) for point in points] == [(one.column, one.value) for one in expected]
    assert all(point.n_known == counts.n_of(Knowledge.KNOWN).min() for point in points)


def test_without_both_sides_in_both_splits_there_is_no_curve() -> None:
    groups = {("city", label, Split.TRAIN): np.ones((3, 4)) for label in SIDES}
    counts = counts_of(groups, columns_of(4))
    assert [one.test for one in choose(counts, Knowledge.KNOWN, 1)] == [None]
    with pytest.raises(BadAsk, match="0 types"):
        layer_curves(counts, Knowledge.KNOWN)


def test_of_equal_scores_the_first_column_comes_first() -> None:
    assert best_columns(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist() == [1, 2, 3]
    assert best_columns(np.array([1.0, 3.0, 3.0, 2.0]), 2, np.array([True, False, True, True])).tolist() == [2, 3]
