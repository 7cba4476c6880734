"""Laws of separations: the two worked examples of the method, symmetry, power by simulation."""

import itertools

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, Counts, Firing, Member, Roster, Split, count, firing
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.separation import frequencies, max_min, min_over_types, separation, smallest_separation
from dashboard.analysis.methods.known.statistics.significance import fisher_exact
from dashboard.analysis.names import SaeId, Site

KNOWN = np.array([[1, 0, 0, 2], [0.5, 0, 0, 0], [2, 0, 1, 0], [0, 0, 3, 0]])
UNKNOWN = np.array([[0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 1], [0, 3, 0, 0]])


def columns_of(*widths: int) -> Columns:
    names = range(len(widths))
    return Columns(tuple(SaeId("hand", str(i)) for i in names), tuple(Site.parse(f"{i}.resid_post") for i in names), widths)


def counts_of(groups: dict[tuple[str, Knowledge, Split], np.ndarray], columns: Columns) -> Counts:
    """Counts of dense activations, entities by latents, for each type, label and split."""
    members = [
        Member(kind, f"{label} {split} {i}", label, split) for (kind, label, split), rows in groups.items() for i in range(len(rows))
    ]
    return count(Roster(tuple(members)), columns, dense_firing(np.concatenate(list(groups.values())), columns))


def dense_firing(activations: np.ndarray, columns: Columns) -> Firing:
    blocks = {sae: np.nonzero(activations[:, columns.block(sae)] > 0) for sae in columns.saes}
    return firing(columns, len(activations), blocks)


def test_the_first_worked_example_of_the_method() -> None:
    assert frequencies(KNOWN).tolist() == [0.75, 0, 0.5, 0.25]
    assert frequencies(UNKNOWN).tolist() == [0, 0.75, 0.5, 0.25]
    groups = {("city", Knowledge.KNOWN, Split.TEST): KNOWN, ("city", Knowledge.UNKNOWN, Split.TEST): UNKNOWN}
    for split in (Split.TEST, None):
        found = separation(counts_of(groups, columns_of(4)), split)
        assert found.f_known.tolist() == [[0.75, 0, 0.5, 0.25]]
        assert found.f_unknown.tolist() == [[0, 0.75, 0.5, 0.25]]
        assert found.s(Knowledge.KNOWN).tolist() == [[0.75, -0.75, 0, 0]]
        assert found.s(Knowledge.UNKNOWN).tolist() == [[-0.75, 0.75, 0, 0]]
    assert separation(counts_of(groups, columns_of(4)), Split.TRAIN).kinds == ()


def test_the_second_worked_example_before_its_filter() -> None:
    weakest = min_over_types(np.array([[0.9, 0.6, 0.7], [0.1, 0.5, 0.65]]))
    assert weakest.tolist() == [0.1, 0.5, 0.65]
    assert (weakest.max(), weakest.argmax()) == (0.65, 2)


def two_types(seed: int) -> Counts:
    generator = np.random.default_rng(seed)
    groups = {
        (kind, label, Split.TEST): generator.random((generator.integers(3, 40), 25)) < generator.random(25)
        for kind, label in itertools.product(("city", "song"), (Knowledge.KNOWN, Knowledge.UNKNOWN))
    }
    return counts_of(groups, columns_of(10, 15))


def test_the_max_min_of_an_sae_is_its_best_latent_by_its_worst_type() -> None:
    found = separation(two_types(3), Split.TEST)
    for side in (Knowledge.KNOWN, Knowledge.UNKNOWN):
        for one, block in zip(max_min(found, side), (range(10), range(10, 25)), strict=True):
            by_hand = {column: min(found.s(side)[0, column], found.s(side)[1, column]) for column in block}
            assert one.value == max(by_hand.values()) == by_hand[one.column]
            assert (one.sae, one.site) == (found.columns.latent(one.column).sae, Site.parse(f"{one.sae.name}.resid_post"))
    kept = np.zeros(25, dtype=bool)
    kept[12] = True
    assert [one.column for one in max_min(found, Knowledge.KNOWN, kept)] == [12]


def test_swapping_the_labels_swaps_the_sides() -> None:
    counts = two_types(4)
    turned = Counts(counts.kinds, counts.columns, counts.n[:, [1, 0, 2]], counts.fires[:, [1, 0, 2]])
    there, back = separation(counts, Split.TEST), separation(turned, Split.TEST)
    assert np.array_equal(there.s(Knowledge.KNOWN), back.s(Knowledge.UNKNOWN))
    assert np.array_equal(there.weakest(Knowledge.UNKNOWN), back.weakest(Knowledge.KNOWN))


def test_a_pair_shows_the_counts_behind_its_separation() -> None:
    found = separation(two_types(5), Split.TEST)
    pair = found.pair("song", 7)
    assert (pair.known.k, pair.known.n) == (found.known[1, 7], found.n_known[1])
    assert pair.separation == pytest.approx(found.s(Knowledge.KNOWN)[1, 7])
    low, high = found.intervals(Knowledge.UNKNOWN)
    assert (low[1, 7], high[1, 7]) == pytest.approx(pair.unknown.interval)


def test_without_a_type_that_has_both_sides_there_is_no_score() -> None:
    empty = separation(counts_of({("city", Knowledge.KNOWN, Split.TEST): KNOWN}, columns_of(4)), Split.TEST)
    with pytest.raises(BadAsk, match="0 types"):
        empty.weakest(Knowledge.KNOWN)
    with pytest.raises(BadAsk, match="set aside"):
        separation(two_types(1), Split.TEST).s(Knowledge.ASIDE)


@pytest.mark.parametrize(("n_known", "n_unknown"), [(40, 60), (12, 100)])
def test_the_smallest_separation_is_found_eight_times_in_ten(n_known: int, n_unknown: int) -> None:
    least = smallest_separation(n_known, n_unknown)
    assert least is not None
    generator = np.random.default_rng(0)
    for difference, expected in ((least, 0.8), (0.0, 0.05)):
        known = generator.binomial(n_known, (1 + difference) / 2, 20_000)
        unknown = generator.binomial(n_unknown, (1 - difference) / 2, 20_000)
        found = float((fisher_exact(known, unknown, n_known, n_unknown) <= 0.05).mean())
        assert found == pytest.approx(expected, abs=0.01) if difference else found <= expected


def test_more_entities_find_smaller_separations_and_two_find_none() -> None:
    least = [smallest_separation(n, n) for n in (10, 30, 100, 300, 498)]
    assert all(a > b for a, b in itertools.pairwise(least))
    assert smallest_separation(2, 2) is None and smallest_separation(0, 100) is None
    assert smallest_separation(30, 30, alpha=0.05 / 24_576) > smallest_separation(30, 30)


def test_the_exact_and_the_approximate_power_meet() -> None:
    exact, approximate = smallest_separation(495, 495), smallest_separation(505, 505)
    assert exact == pytest.approx(approximate, abs=0.01)
