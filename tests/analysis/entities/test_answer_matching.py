"""Grading: the matchers of the paper, what differs from them, and pairs that test nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.entities.answer_matching import Verdict, given_away, grade, token_set_ratio
from dashboard.analysis.entities.kinds import Attribute, Matcher
from dashboard.analysis.entities.quantities import parse_coordinates, quantities, whole_numbers
from dashboard.analysis.text.spelling import fold

TEXTS = st.text("ab c'", max_size=12)


def attribute(matcher: Matcher, tolerance: float | int = 0, relative: bool = False, drop: str = "") -> Attribute:
    aliases = {"united states of america": ("United States", "US", "USA")}
    return Attribute("a", "{name}?", "{name} is", matcher, float(tolerance), relative, drop=drop, aliases=aliases)


# Scores of thefuzz 0.22.1 with rapidfuzz 3.14.6; 20,000 random pairs were compared as well and none differed.
THEFUZZ = [
    ("New York Knicks and Boston", "New York Knicks", 100),
    ("Francis Ford Copola", "Francis Ford Coppola", 97),
    ("the Los Angeles", "Los Angeles Lakers", 85),
    ("Steven Spielburg, in 1993", "Steven Spielberg", 75),
    ("", "Paris", 0),
    ("London", "Paris", 0),
    ("Christopher Nolan's film", "Jonathan Nolan", 53),
    ("R.E.M.", "REM", 50),
    ("The Beatle", "The Beatles", 95),
]


@pytest.mark.parametrize(("a", "b", "score"), THEFUZZ)
def test_names_are_as_alike_as_thefuzz_says(a: str, b: str, score: int) -> None:
    assert token_set_ratio(a, b) == score == token_set_ratio(b, a)


@settings(deadline=None)
@given(a=TEXTS, b=TEXTS)
def test_likeness_is_between_0_and_100_and_100_for_a_text_within_a_text(a: str, b: str) -> None:
    assert 0 <= token_set_ratio(a, b) == token_set_ratio(b, a) <= 100
    assert token_set_ratio(a, f"{a} {b}") == (100 if a.replace("'", " ").split() else 0)


@pytest.mark.parametrize(
    ("answer", "right", "expected"),
    [
        (" Quentin Tarantino, and it stars", ["Quentin Tarantino"], "correct"),
        (" quentin tarantinno.", ["Quentin Tarantino"], "correct"),
        (" Steven Spielberg", ["Quentin Tarantino"], "error"),
        (" in the usa.", ["United States of America"], "correct"),
        (" Niksic, Montenegro", ["Nikšić"], "correct"),
        (" Łódź", ["Lodz"], "correct"),
        (" 東京 に", ["東京"], "correct"),
        (" Boston", ["Akron", "Boston"], "correct"),
        ("I'm not sure which Boston", ["Akron"], "refusal"),
        ("I'm not sure, but Akron", ["Akron"], "correct"),
        ("", ["Akron"], "error"),
        ("Akron", [], "error"),
    ],
)
def test_names(answer: str, right: list[str], expected: str) -> None:
    assert grade(attribute(Matcher.NAMES), answer, right) == Verdict(expected)


@pytest.mark.parametrize(
    ("answer", "right", "tolerance", "relative", "is_right"),
    [
        ("It was released in 1994, I think", ["1994"], 0, False, True),
        ("in 1996", ["1994"], 2, False, True),
        ("in 1997", ["1994"], 2, False, False),
        ("about 1,050,000 people", ["1000000"], 0.1, True, True),
        ("about 1,150,000 people", ["1,000,000"], 0.1, True, False),
        ("1,961,2002", ["2002"], 0, False, True),
        ("no number", ["0"], 9, False, False),
        ("100 or 120 minutes", ["90", "119"], 3, False, True),
        ("9" * 4000, ["9"], 0, False, False),
    ],
)
def test_numbers(answer: str, right: list[str], tolerance: float | int, relative: bool, is_right: bool) -> None:
    assert (grade(attribute(Matcher.NUMBER, tolerance, relative), answer, right) == "correct") is is_right


@pytest.mark.parametrize(
    ("answer", "right", "is_right"),
    [
        ("about 2.2 million", "2150000", True),
        ("-11 m", "-11", True),
        ("11 m", "-11", False),
        ("10-11", "11", True),
        ("2 people", "2000000", False),
    ],
)
def test_quantities_have_signs_decimals_and_millions(answer: str, right: str, is_right: bool) -> None:
    assert (grade(attribute(Matcher.QUANTITY, 0.1, True), answer, [right]) == "correct") is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [("48.8566° N, 2.3522° E", True), ("49 and 3", True), ("48", False), ("2 E", False), ("latitude 50.1, longitude 2", False)],
)
@pytest.mark.parametrize("right", ["48.86 2.35", "48.86, -2.35", "Point(2.35 48.86)"])
def test_coordinates_need_both_numbers_within_a_degree(answer: str, is_right: bool, right: str) -> None:
    assert (grade(attribute(Matcher.COORDINATES, 1), answer, [right]) == "correct") is is_right


def test_a_genre_is_looked_for_without_its_last_word() -> None:
    genre = attribute(Matcher.CONTAINS, drop=" film")
    assert grade(genre, "a Drama about", ["drama film"]) == "correct" and grade(genre, "a comedy film", ["drama film"]) == "error"
    assert grade(genre, "anything", [" film"]) == "error"


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("in Asia, not in Europe", True),
        ("in Europe, not in Asia", False),
        ("South Asia", False),
        ("Eurasia", False),
        ("in asia", True),
        ("Asia Minor", False),
    ],
)
def test_the_first_value_of_a_column_that_is_named_counts(answer: str, is_right: bool) -> None:
    others = ["Europe", "Asia", "South Asia", "Asia Minor"]
    assert (grade(attribute(Matcher.FIRST), answer, ["Asia"], others) == "correct") is is_right


def test_a_right_answer_is_correct_whatever_the_matcher_and_a_pair_that_its_name_answers_is_given_away() -> None:
    for matcher, right in [("names", "Mexico"), ("contains", "Mexico"), ("first", "Mexico"), ("number", "1917"), ("quantity", "1.5")]:
        asked = attribute(Matcher(matcher))
        assert grade(asked, right, [right]) == "correct" and given_away(asked, f"{right} City", [right])
        assert not given_away(asked, "Guadalajara", [right]) and not given_away(asked, "Mexico City", [])


def test_texts_give_their_numbers() -> None:
    assert whole_numbers("1,234,567 in 1961, 2.5") == (1234567, 1961, 2, 5)
    assert list(quantities("−3.5, 1,200 and 2 billion")) == [-3.5, 1200.0, 2e9]
    assert parse_coordinates("Point(-100.4 20.5)") == (20.5, -100.4) == parse_coordinates(" 20.5,-100.4 ")
    assert [parse_coordinates(cell) for cell in ("", "1", "a b", "95 3", "1 2 3")] == [None] * 5


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
