"""Laws of the uncertainty figures: the method's worked example, scipy's t, counts that add up."""

import itertools

import numpy as np
import pytest
import scipy.stats

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.right_or_wrong import (
    Moments,
    Welch,
    auroc,
    balanced,
    best_threshold,
    confusion,
    detector,
    paired_auroc,
    uncertainty_scores,
    welch,
)
from dashboard.analysis.stats.refusal import is_refusal


def rows(n: int, seed: int, n_columns: int = 12) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(-0.3, 1, (n, n_columns)), 0)


def sparse_moments(dense: np.ndarray) -> Moments:
    row, column = np.nonzero(dense)
    return Moments.of_sparse(len(dense), column, dense[row, column], dense.shape[1])


def test_the_fourth_worked_example_of_the_method() -> None:
    right, wrong = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [5.0], [6.0]])
    assert round(float(welch(Moments.of_dense(right), Moments.of_dense(wrong)).t[0]), 4) == -3.6742
    found = auroc(np.concatenate([right, wrong])[:, 0], np.array([False] * 3 + [True] * 3))
    assert (found.value, found.n_right, found.n_wrong) == (1.0, 3, 3)
    assert is_refusal("Unfortunately, I don't have access to real-time information")
    assert not is_refusal("LeBron James was born in Akron, Ohio")
    assert is_refusal("There is no player by that name")


def test_t_and_p_are_scipys_from_sparse_rows_in_any_chunks() -> None:
    right, wrong = rows(57, 0), rows(23, 1) + rows(23, 2)
    expected = scipy.stats.ttest_ind(right, wrong, equal_var=False)
    for cuts in ([], [10], [1, 1, 30, 56]):
        moments = Moments.none(12)
        for part in np.split(right, cuts):
            moments = moments + sparse_moments(part)
        found = welch(moments, Moments.of_dense(wrong))
        assert (found.n_right, found.n_wrong) == (57, 23)
        for ours, theirs in ((found.t, expected.statistic), (found.p, expected.pvalue), (found.df, expected.df)):
            assert ours == pytest.approx(theirs, rel=1e-9)


def test_far_from_nought_the_variance_is_still_right() -> None:
    dense = rows(40, 3) + 1e6
    found = sparse_moments(dense[:20]) + sparse_moments(dense[20:])
    assert found.variance == pytest.approx(dense.var(axis=0, ddof=1), rel=1e-6)


def test_latents_that_do_not_vary_have_no_t_to_speak_of() -> None:
    right = Moments.of_dense(np.array([[0.0, 2.0, 1.0]] * 4))
    wrong = Moments.of_dense(np.array([[0.0, 1.0, 1.0]] * 3))
    found = welch(right, wrong)
    assert found.t.tolist() == [0, np.inf, 0] and found.p.tolist() == [1, 0, 1]
    with pytest.raises(BadAsk, match="1 wrong"):
        welch(right, Moments.of_dense(np.zeros((1, 3))))


def test_an_uncertainty_latent_must_rise_in_every_type() -> None:
    nothing = np.zeros(3)
    t = {"city": np.array([-5.0, -2.0, 4.0]), "song": np.array([1.0, -3.0, -9.0])}
    types = {kind: Welch(2, 2, values, nothing, nothing) for kind, values in t.items()}
    assert uncertainty_scores(types).tolist() == [-1.0, 2.0, -4.0]
    with pytest.raises(BadAsk, match="0 types"):
        uncertainty_scores({})


def test_the_auroc_is_the_share_of_pairs_won() -> None:
    values, wrong = rows(50, 4)[:, 0], np.random.default_rng(0).random(50) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(values[wrong], values[~wrong])]
    assert auroc(values, wrong).value == pytest.approx(np.mean(pairs))
    assert auroc(values, ~wrong).value == pytest.approx(1 - np.mean(pairs))
    assert paired_auroc(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])) == 0.5
    with pytest.raises(BadAsk, match="0 wrong"):
        auroc(values, np.zeros(50, dtype=bool))


def test_balanced_rows_have_as_many_of_each_and_all_of_the_smaller() -> None:
    wrong = np.arange(40) % 4 == 0
    chosen = balanced(wrong, 1)
    assert wrong[chosen].sum() == 10 and len(chosen) == len({*chosen.tolist()}) == 20
    assert np.array_equal(chosen, balanced(wrong, 1)) and not np.array_equal(chosen, balanced(wrong, 2))
    found = auroc(rows(40, 5)[:, 0], wrong, seed=1)
    assert (found.n_right, found.n_wrong) == (10, 10)


def test_a_confusion_adds_up_and_its_figures_are_those_of_its_counts() -> None:
    values, wrong = np.array([0.0, 0.0, 1.0, 2.0, 3.0]), np.array([False, True, True, False, True])
    found = confusion(values, wrong, 0.0)
    assert (found.true_positive, found.false_positive, found.false_negative, found.true_negative, found.n) == (2, 1, 1, 1, 5)
    assert (str(found.precision), str(found.recall), found.f1) == ("2/3", "2/3", pytest.approx(2 / 3))
    assert confusion(values, wrong, 9.0).f1 == 0 and confusion(values, wrong, 9.0).precision.value is None


def test_no_other_of_the_100_thresholds_is_better() -> None:
    values, wrong = rows(80, 6)[:, 0], np.random.default_rng(1).random(80) < 0.4
    best = confusion(values, wrong, best_threshold(values, wrong)).f1
    assert best == max(confusion(values, wrong, one).f1 for one in np.linspace(values.min(), values.max(), 100))
    with pytest.raises(BadAsk, match="0 wrong"):
        best_threshold(values, np.zeros(80, dtype=bool))


def test_the_test_split_has_no_say_in_the_threshold() -> None:
    generator = np.random.default_rng(2)
    validation = (generator.random(60), generator.random(60) < 0.5)
    one, other = ((generator.random(70), generator.random(70) < 0.5) for _ in range(2))
    first, second = detector(validation, one, 0), detector(validation, other, 0)
    assert (first.threshold, first.validation) == (second.threshold, second.validation) and first.test != second.test
    assert first.always.recall.value == 1 and first.always.precision.k == int(one[1].sum()) and first.test.n == 70
