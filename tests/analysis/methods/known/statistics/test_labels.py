"""Laws of labels and shares: thresholds by hand, chance by enumeration, intervals against scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.labels import (
    Chance,
    Knowledge,
    KnowledgeRule,
    Label,
    LabelWay,
    Tally,
    chance,
    is_likeliest,
    label_by_answers,
    label_by_choices,
    label_by_file,
    tally,
)
from dashboard.analysis.stats.shares import Share, wilson


@pytest.mark.parametrize(
    ("n_right", "expected"),
    [
        ({"country": 3, "population": 10, "elevation": 0}, (Knowledge.KNOWN, 2, 3)),
        ({"country": 3, "population": 2, "elevation": 0}, (Knowledge.ASIDE, 1, 3)),
        ({"country": 2, "population": 2, "elevation": 2}, (Knowledge.UNKNOWN, 0, 3)),
        ({"country": 10}, (Knowledge.ASIDE, 1, 1)),
        ({}, (Knowledge.ASIDE, 0, 0)),
    ],
)
def test_two_attributes_right_in_3_of_10_make_an_entity_known_and_none_unknown(n_right, expected) -> None:
    assert label_by_answers(n_right) == Label(*expected, LabelWay.ANSWERS)


def test_the_thresholds_are_settings() -> None:
    strict, mild = KnowledgeRule(k=10, r=8, known_at=3), KnowledgeRule(k=10, r=1, known_at=1)
    answers = {"a": 7, "b": 8, "c": 1}
    assert label_by_answers(answers, strict).knowledge is Knowledge.ASIDE
    assert label_by_answers(answers, mild) == Label(Knowledge.KNOWN, 3, 3, LabelWay.ANSWERS)


def test_impossible_rules_and_counts_are_refused() -> None:
    for rule in ({"k": 3, "r": 4}, {"r": 0}, {"known_at": 0}):
        with pytest.raises(BadAsk):
            KnowledgeRule(**rule)
    with pytest.raises(BadAsk, match="11 of 10"):
        label_by_answers({"a": 11})


def test_one_more_right_answer_never_takes_knowledge_away() -> None:
    rank = {Knowledge.UNKNOWN: 0, Knowledge.ASIDE: 1, Knowledge.KNOWN: 2}
    for counts in itertools.product(range(4), repeat=3):
        rule = KnowledgeRule(k=4, r=2, known_at=2)
        before = label_by_answers(dict(zip("abc", counts, strict=True)), rule)
        after = label_by_answers({"a": counts[0] + 1, "b": counts[1], "c": counts[2]}, rule)
        assert rank[after.knowledge] >= rank[before.knowledge]


def test_labels_by_choice_and_by_file_say_so() -> None:
    assert label_by_choices({"a": True, "b": True}) == Label(Knowledge.KNOWN, 2, 2, LabelWay.CHOICES)
    assert label_by_choices({"a": False, "b": False}) == Label(Knowledge.UNKNOWN, 0, 2, LabelWay.CHOICES)
    words = {"famous": "known", " Known ": "known", "obscure": "unknown", "invented": "unknown", "": "set aside", "so so": "set aside"}
    for word, expected in words.items():
        assert label_by_file(word) == Label(Knowledge(expected), 0, 0, LabelWay.FILE)


def test_a_tie_is_not_the_likeliest() -> None:
    assert is_likeliest([-2.0, -1.0, -3.0], 1)
    assert not is_likeliest([-1.0, -1.0, -3.0], 1)
    assert not is_likeliest([-2.0, -1.0], 0)
    with pytest.raises(BadAsk):
        is_likeliest([-1.0], 0)


def test_chance_is_what_all_ways_of_guessing_give() -> None:
    choices = (2, 4, 4)
    known = unknown = 0
    for guess in itertools.product(*map(range, choices)):
        n_right = sum(one == 0 for one in guess)
        known, unknown = known + (n_right >= 2), unknown + (n_right == 0)
    found = chance(choices)
    assert (found.known, found.unknown) == pytest.approx((known / math.prod(choices), unknown / math.prod(choices)))
    assert chance([]) == Chance(0.0, 0.0)


def test_a_tally_adds_up() -> None:
    labels = [label_by_answers({"a": i % 11, "b": (3 * i) % 11}) for i in range(50)]
    found = tally(labels)
    assert found.n == 50 and found.n_known == sum(label.knowledge is Knowledge.KNOWN for label in labels)
    assert tally([Knowledge.KNOWN, Knowledge.ASIDE]) == Tally(1, 0, 1)


def test_the_wilson_interval_is_scipys() -> None:
    for n in (1, 7, 250):
        for k in {0, 1, n // 2, n}:
            expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
            assert Share(k, n).interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson(np.array([[0, 3], [2, 2]]), np.array([4, 5]))
    assert low.shape == (2, 2) and (low <= high).all() and low[0, 0] == 0


def test_a_share_of_nothing_is_not_known() -> None:
    assert Share(0, 0).value is None and Share(0, 0).interval is None and str(Share(3, 4)) == "3/4"
    with pytest.raises(ValueError):
        Share(2, 1)
