"""Whether an answer is right, by its wording.

Steps: the attribute's matcher compares the answer with each right one; if none fits, an answer whose wording declines
(`methods.refusal`) is a refusal; any other is an error.

- `names`: lower case; , . - are spaces; the share of common words (`token_set_ratio`) is above 90. An answer that holds
  every word of a right one has 100, whatever stands around it, and so has one whose words all stand in the right one.
- `contains`: a right answer stands in it, in lower case, its `drop` taken out first.
- `first`: of all answers of the column, the one that is named first is right. For columns of few values (continents).
- `number`: a run of digits, thousands commas taken out, is within the tolerance.
- `quantity`: the same with decimals, signs and "million".
- `coordinates`: the whole parts of latitude and longitude, signs aside, each stand in it, give or take `tolerance` degrees.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 2, as its published code matches. Differs from it: accents are
folded (there, letters beyond ASCII are dropped), right answers are separated by "; " (there by commas, which cuts albums
in two), `first` and `quantity` are additions, used by no type of the paper. The score of `token_set_ratio` is that of
thefuzz 0.22 on ASCII.
"""

import math
import re
from collections.abc import Sequence
from enum import StrEnum

from dashboard.analysis.entities.kinds import Attribute, Matcher
from dashboard.analysis.entities.quantities import parse_coordinates, quantities, truncated, whole_numbers
from dashboard.analysis.stats.refusal import is_refusal
from dashboard.analysis.text.spelling import fold, words

THRESHOLD = 90
"""A name fits above this score, of 100."""


class Verdict(StrEnum):
    """What an answer is."""

    CORRECT = "correct"
    ERROR = "error"
    REFUSAL = "refusal"


def grade(attribute: Attribute, answer: str, right: Sequence[str], others: Sequence[str] = ()) -> Verdict:
    """Judge one answer. `right` are the cell's answers, any of which will do; `others` the other answers of the column,
    which `first` alone looks at. With no right answer nothing is correct."""
    if fits(attribute, answer, right, others):
        return Verdict.CORRECT
    return Verdict.REFUSAL if is_refusal(answer) else Verdict.ERROR


def fits(attribute: Attribute, answer: str, right: Sequence[str], others: Sequence[str] = ()) -> bool:
    """True if one of the right answers is found in the answer."""
    match attribute.matcher:
        case Matcher.NAMES:
            spaced = re.sub(r"[,.\-]", " ", answer)
            return any(token_set_ratio(spaced, one) > THRESHOLD for one in with_aliases(attribute, right))
        case Matcher.CONTAINS:
            lowered, drop = fold(answer), fold(attribute.drop)
            wanted = (fold(one).replace(drop, "").strip() if drop else fold(one) for one in with_aliases(attribute, right))
            return any(one and one in lowered for one in wanted)
        case Matcher.FIRST:
            return _first_is_right(answer, with_aliases(attribute, right), with_aliases(attribute, others))
        case Matcher.NUMBER:
            wanted = [n for one in right for n in whole_numbers(one)]
            return any(_near(n, one, attribute) for n in whole_numbers(answer) for one in wanted)
        case Matcher.QUANTITY:
            wanted = [n for one in right for n in quantities(one)]
            return any(_near(n, one, attribute) for n in quantities(answer) for one in wanted)
        case Matcher.COORDINATES:
            said = truncated(answer)
            pairs = [pair for one in right if (pair := parse_coordinates(one)) is not None]
            return any(all(_says(said, degrees, attribute.tolerance) for degrees in pair) for pair in pairs)


def given_away(attribute: Attribute, name: str, right: Sequence[str], others: Sequence[str] = ()) -> bool:
    """True if repeating the entity's name would be graded correct: the country of Mexico City. Such a pair tests nothing."""
    return fits(attribute, name, right, others)


def with_aliases(attribute: Attribute, right: Sequence[str]) -> tuple[str, ...]:
    """The right answers and what else each is called."""
    return tuple(dict.fromkeys(other for one in right for other in (one, *attribute.aliases.get(one.lower(), ()))))


def token_set_ratio(a: str, b: str) -> int:
    """How alike two texts are as sets of words, 0 to 100, rounded: 100 if all words of one stand in the other.

    Otherwise the best of three likenesses: of the common words with either text, and of the two texts with each other,
    words sorted. A likeness is 1 - (letters to insert or delete) / (letters of both).
    """
    words_a, words_b = set(words(a)), set(words(b))
    if not words_a or not words_b:
        return 0
    common = words_a & words_b
    if common and common in (words_a, words_b):
        return 100
    rest_a, rest_b = (" ".join(sorted(each - common)) for each in (words_a, words_b))
    shared = len(" ".join(common))
    gap = 1 if common else 0
    length_a, length_b = shared + gap + len(rest_a), shared + gap + len(rest_b)
    edits = len(rest_a) + len(rest_b) - 2 * _longest_common(rest_a, rest_b)
    likeness = [1 - edits / (length_a + length_b)]
    if common:
        likeness += [1 - (length - shared) / (shared + length) for length in (length_a, length_b)]
    return round(100 * max(likeness))


def _longest_common(a: str, b: str) -> int:
    """Length of the longest common subsequence, 64 and more columns of its table in one number.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    where: dict[str, int] = {}
    for i, c in enumerate(a):
        where[c] = where.get(c, 0) | 1 << i
    every = (1 << len(a)) - 1
    row = every
    for c in b:
        hits = row & where.get(c, 0)
        row = ((row + hits) | (row - hits)) & every
    return len(a) - row.bit_count()


def _first_is_right(answer: str, right: Sequence[str], others: Sequence[str]) -> bool:
    """True if a right answer is named, as whole words, and no other before it; of two at one place the longer counts."""
    text = f" {' '.join(words(answer))} "

    def place(one: str) -> tuple[float, int]:
        wanted = " ".join(words(one))
        at = text.find(f" {wanted} ") if wanted else -1
        return (float(at) if at >= 0 else math.inf, -len(wanted))

    best = min((place(one) for one in right), default=(math.inf, 0))
    known = {" ".join(words(one)) for one in right}
    return best[0] < math.inf and all(best <= place(one) for one in others if " ".join(words(one)) not in known)


def _near(said: int | float, right: int | float, attribute: Attribute) -> bool:
    allowed = attribute.tolerance * abs(right) if attribute.relative else attribute.tolerance
    return abs(said - right) <= allowed


def _says(said: Sequence[int], degrees: float, tolerance: int | float) -> bool:
    return any(abs(one - math.trunc(abs(degrees))) <= tolerance for one in said)
