"""What counts as declining: each phrase of the file where it should, and nothing by half."""

import pytest

from dashboard.analysis.stats.refusal import is_refusal, phrases


@pytest.mark.parametrize(
    "answer", ["I don’t know who that is.", "I do not know.", "I don't have access to that.", "I have no information on it.", "Sorry, no."]
)
def test_plain_ways_of_not_knowing_are_refusals(answer: str) -> None:
    assert is_refusal(answer)


def test_each_phrase_counts_where_its_list_says_and_is_written_as_it_is_compared() -> None:
    known = phrases()
    assert known.contained and known.opening
    for phrase in (*known.contained, *known.opening):
        assert phrase == phrase.lower().strip() and "’" not in phrase
    assert all(is_refusal(f"Well, {phrase.upper()} indeed") for phrase in known.contained)
    assert all(is_refusal(f"  {phrase.capitalize()} one") for phrase in known.opening)


@pytest.mark.parametrize("answer", ["Paris is in France.", "He said: as an old man he left.", "It was directed by Unni.", ""])
def test_an_answer_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)
