"""Laws of the exact tests: equal to scipy's table by table, honest under no difference."""

import numpy as np
import pytest
import scipy.stats

from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.significance import corrected, fisher_exact, fisher_greater, significance
from tests.analysis.methods.known.statistics.test_separation import columns_of, counts_of, two_types


@pytest.mark.parametrize(("n_first", "n_second"), [(7, 11), (5, 5), (1, 30)])
def test_every_table_has_the_p_of_scipy(n_first: int, n_second: int) -> None:
    first, second = (axis.ravel() for axis in np.meshgrid(np.arange(n_first + 1), np.arange(n_second + 1)))
    both, greater = fisher_exact(first, second, n_first, n_second), fisher_greater(first, second, n_first, n_second)
    for a, b, two, one in zip(first, second, both, greater, strict=True):
        table = [[a, n_first - a], [b, n_second - b]]
        assert two == pytest.approx(scipy.stats.fisher_exact(table).pvalue, rel=1e-9)
        assert one == pytest.approx(scipy.stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


def test_large_tables_too() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 700, 40), generator.integers(0, 2500, 40)
    found = fisher_exact(first, second, 700, 2500)
    for a, b, p in zip(first, second, found, strict=True):
        assert p == pytest.approx(scipy.stats.fisher_exact([[a, 700 - a], [b, 2500 - b]]).pvalue, rel=1e-6, abs=1e-300)


def test_swapping_the_groups_changes_no_two_sided_p() -> None:
    first, second = np.array([0, 3, 9, 2]), np.array([4, 4, 1, 0])
    assert fisher_exact(first, second, 9, 20) == pytest.approx(fisher_exact(second, first, 20, 9))


def test_q_is_benjamini_hochberg_by_hand_over_all_latents_of_all_saes() -> None:
    found = significance(two_types(6), Split.TEST)
    for p, q in ((found.p[0], found.q[0]), (found.p_known, found.q_known)):
        rank = scipy.stats.rankdata(p, method="max")
        by_hand = [min(1.0, *(other * len(p) / r for other, r in zip(p, rank, strict=True) if other >= one)) for one in p]
        assert q == pytest.approx(by_hand)
        assert len(q) == 25 and (q >= p).all()
    assert len(corrected(np.zeros(0))) == 0


def test_over_types_the_worst_type_decides() -> None:
    counts = two_types(7)
    found = significance(counts, Split.TEST)
    for i in range(25):
        worst = []
        for kind in counts.kinds:
            known, unknown = (counts.share(kind, label, i, Split.TEST) for label in (Knowledge.KNOWN, Knowledge.UNKNOWN))
            table = [[known.k, known.n - known.k], [unknown.k, unknown.n - unknown.k]]
            worst.append(scipy.stats.fisher_exact(table, alternative="greater").pvalue)
        assert found.p_known[i] == pytest.approx(max(worst))


def test_latents_that_fire_nowhere_have_p_1() -> None:
    silent = np.zeros((6, 4))
    groups = {("city", label, Split.TEST): silent for label in (Knowledge.KNOWN, Knowledge.UNKNOWN)}
    found = significance(counts_of(groups, columns_of(4)), Split.TEST)
    assert (found.p == 1).all() and (found.q == 1).all() and (found.n_known, found.n_unknown) == ((6,), (6,))
    nobody = significance(counts_of({("city", Knowledge.KNOWN, Split.TEST): silent}, columns_of(4)), Split.TEST)
    assert nobody.kinds == () and (nobody.p_known == 1).all()


def test_with_no_difference_small_p_are_no_more_than_their_level() -> None:
    generator = np.random.default_rng(1)
    p = fisher_exact(generator.binomial(40, 0.4, 20_000), generator.binomial(90, 0.4, 20_000), 40, 90)
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() <= level + 0.003
