"""Laws of baselines: of the same SAE, as frequent, never the chosen ones, reproducible."""

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.baselines import (
    Comparison,
    compared,
    firing_above,
    frequency_matched,
    random_directions,
    rates,
    saying_nothing,
    thresholds_at,
)
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.separation import separation
from tests.analysis.methods.known.statistics.test_latent_choice import SIDES, random_counts
from tests.analysis.methods.known.statistics.test_separation import columns_of, counts_of


def wide_counts():
    generator = np.random.default_rng(0)
    groups = {}
    rate = generator.beta(0.4, 2, 600) * (np.arange(600) % 4 > 0)
    for kind in ("city", "song"):
        for label in SIDES:
            for split in Split:
                groups[kind, label, split] = generator.random((40, 600)) < rate
    return counts_of(groups, columns_of(300, 300))


def test_matched_latents_are_of_the_same_sae_as_frequent_and_not_the_chosen_ones() -> None:
    counts = wide_counts()
    rate = rates(counts)
    for column in (310, 401, 555, 33):
        without = frequency_matched(counts, column, seed=9)[:2]
        drawn = frequency_matched(counts, column, without.tolist())
        assert len({*drawn.tolist()}) == 10 and not {column, *without.tolist()} & {*drawn.tolist()}
        assert ((drawn >= 300) == (column >= 300)).all()
        block = np.arange(300) + (300 if column >= 300 else 0)
        distance = np.sort(np.abs(rate[block] - rate[column]))
        assert np.abs(rate[drawn] - rate[column]).max() <= distance[53]
        assert np.array_equal(drawn, frequency_matched(counts, column, without.tolist()))
    assert not np.array_equal(frequency_matched(counts, 401, seed=1), frequency_matched(counts, 401, seed=2))


def test_rates_weigh_every_type_and_side_the_same() -> None:
    counts = random_counts(0)
    by_hand = np.mean(
        [[counts.share(kind, label, i, Split.TRAIN).value for i in range(40)] for kind in counts.kinds for label in SIDES], axis=0
    )
    assert rates(counts) == pytest.approx(by_hand)


def test_latents_that_say_nothing_have_separation_nought() -> None:
    counts = wide_counts()
    drawn = saying_nothing(counts, 450, Knowledge.KNOWN)
    assert len(drawn) == 10 and (drawn >= 300).all()
    assert (separation(counts, Split.TRAIN).weakest(Knowledge.KNOWN)[drawn] == 0).all()


def test_random_directions_have_length_1_and_no_favourite() -> None:
    found = random_directions(4_000, 6, seed=3)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(found.mean(axis=0)).max() < 0.03 and (found**2).mean(axis=0) == pytest.approx(1 / 6, abs=0.01)
    assert np.array_equal(found, random_directions(4_000, 6, seed=3))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_a_direction_fires_as_often_as_it_should(rate: float) -> None:
    projections = np.random.default_rng(1).normal(size=(100, 7))
    found = firing_above(projections, thresholds_at(projections, rate))
    assert np.bincount(found.column, minlength=7).tolist() == [round(100 * rate)] * 7
    dense = projections > thresholds_at(projections, rate)
    assert np.array_equal(found.matrix().toarray() > 0, dense)
    with pytest.raises(BadAsk):
        thresholds_at(projections, 1.5)


def test_a_comparison_has_the_separations_of_the_split_that_is_shown() -> None:
    counts = random_counts(1)
    columns = np.array([16, 20, 39])
    found = compared(counts, 18, Knowledge.UNKNOWN, counts, columns)
    weakest = separation(counts, Split.TEST).weakest(Knowledge.UNKNOWN)
    assert (found.value, found.baselines) == (weakest[18], tuple(weakest[columns]))
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(weakest[columns].mean()), pytest.approx(weakest[columns].std(ddof=1)))
    assert found.n_at_least == (weakest[columns] >= weakest[18]).sum()
    assert Comparison(1.0, ()).mean is None and Comparison(1.0, (2.0,)).sd is None
