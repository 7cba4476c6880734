"""Which entities the model knows: from its answers, from its choices, or from what a file says.

Steps: (1) of every attribute that was asked, count how many of k sampled answers are right; (2) an attribute counts where
that is r or more; (3) known = `known_at` attributes or more, unknown = none, the rest are set aside. An entity of whom
nothing was asked is set aside, never unknown. Attributes left out (not in the file, or given away by the name) do not count.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 3 and its published code: k 10, r 3, known at 2. Differs from it:
the numbers are settings, and there are two more ways, each marked in its labels: the likeliest of some choices (k = r = 1),
for which `chance` says what guessing would give, and the familiarity that a file states, which says nothing of this model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dashboard.analysis.errors import BadAsk


class Knowledge(StrEnum):
    """What the model is taken to know of an entity."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    ASIDE = "set aside"
    """Neither: it is read and shown, and counts in no score."""


class LabelWay(StrEnum):
    """Where labels come from."""

    ANSWERS = "answers"
    """Sampled answers, graded."""
    CHOICES = "choices"
    """The likeliest of some given answers."""
    FILE = "file"
    """The entity file says how well known it is; the model was not asked."""


@dataclass(frozen=True)
class KnowledgeRule:
    """When an attribute counts, and when an entity is known."""

    k: int = 10
    """Answers sampled for an attribute."""
    r: int = 3
    """Right ones among them from which the attribute counts."""
    known_at: int = 2
    """Attributes that must count for an entity to be known."""

    def __post_init__(self) -> None:
        if not 1 <= self.r <= self.k:
            raise BadAsk(f"An attribute is to count at {self.r} right of {self.k} answers; 1 to {self.k} are possible.")
        if self.known_at < 1:
            raise BadAsk(f"An entity is to be known at {self.known_at} attributes; at least 1 is needed.")

    def counts(self, n_right: int) -> bool:
        """Whether an attribute counts with so many right answers.

        Raises:
            BadAsk: if there are more right answers than answers.
        """
        if not 0 <= n_right <= self.k:
            raise BadAsk(f"{n_right} of {self.k} answers are said to be right; 0 to {self.k} are possible.")
        return n_right >= self.r


CHOICE_RULE = KnowledgeRule(k=1, r=1, known_at=2)


@dataclass(frozen=True)
class Label:
    """What one entity was found to be."""

    knowledge: Knowledge
    n_right: int
    """Attributes that count; 0 by file."""
    n_asked: int
    """Attributes that were asked; 0 by file."""
    way: LabelWay


@dataclass(frozen=True)
class Tally:
    """How many entities of one type fell where."""

    n_known: int
    n_unknown: int
    n_aside: int

    @property
    def n(self) -> int:
        """All of them."""
        return self.n_known + self.n_unknown + self.n_aside


@dataclass(frozen=True)
class Chance:
    """What guessing would give, each 0 to 1."""

    known: float
    """Probability that an entity comes out known."""
    unknown: float
    """Probability that it comes out unknown."""


def label_by_answers(n_right: Mapping[str, int], rule: KnowledgeRule = KnowledgeRule()) -> Label:
    """Label an entity by the number of right answers among the `rule.k` of each attribute asked."""
    return _label([rule.counts(right) for right in n_right.values()], rule, LabelWay.ANSWERS)


def label_by_choices(right: Mapping[str, bool], rule: KnowledgeRule = CHOICE_RULE) -> Label:
    """Label an entity by whether the likeliest choice was the right one, for each attribute asked."""
    return _label(list(right.values()), rule, LabelWay.CHOICES)


FILE_KNOWN = frozenset({"famous", "known"})
FILE_UNKNOWN = frozenset({"obscure", "unknown", "invented"})


def label_by_file(familiarity: str, known: frozenset[str] = FILE_KNOWN, unknown: frozenset[str] = FILE_UNKNOWN) -> Label:
    """Label an entity by the word in its file, in any case; a word of neither set sets it aside."""
    word = familiarity.strip().lower()
    found = Knowledge.KNOWN if word in known else Knowledge.UNKNOWN if word in unknown else Knowledge.ASIDE
    return Label(found, 0, 0, LabelWay.FILE)


def is_likeliest(scores: Sequence[float], right: int) -> bool:
    """Whether the choice at index `right` has a higher log-likelihood than every other; a tie is not right.

    Raises:
        BadAsk: if there are fewer than 2 choices.
    """
    if len(scores) < 2 or not 0 <= right < len(scores):
        raise BadAsk(f"Choice {right} of {len(scores)} is to be the likeliest; at least 2 choices are needed, counted from 0.")
    return all(scores[right] > score for place, score in enumerate(scores) if place != right)


def chance(n_choices: Iterable[int], rule: KnowledgeRule = CHOICE_RULE) -> Chance:
    """What guessing gives an entity whose attributes have so many choices each: 1 in n for each, apart from one another."""
    distribution = np.ones(1)
    for n in n_choices:
        if n < 2:
            raise BadAsk(f"An attribute has {n} choices; at least 2 are needed.")
        distribution = np.convolve(distribution, [1 - 1 / n, 1 / n])
    asked = len(distribution) > 1
    return Chance(float(distribution[rule.known_at :].sum()), float(distribution[0]) if asked else 0.0)


def tally(labels: Iterable[Label | Knowledge]) -> Tally:
    """Count labels."""
    found = [label.knowledge if isinstance(label, Label) else label for label in labels]
    return Tally(found.count(Knowledge.KNOWN), found.count(Knowledge.UNKNOWN), found.count(Knowledge.ASIDE))


def _label(counts: Sequence[bool], rule: KnowledgeRule, way: LabelWay) -> Label:
    n_right, n_asked = sum(counts), len(counts)
    few = Knowledge.ASIDE if n_right or not n_asked else Knowledge.UNKNOWN
    return Label(Knowledge.KNOWN if n_right >= rule.known_at else few, n_right, n_asked, way)
