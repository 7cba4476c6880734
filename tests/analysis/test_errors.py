"""The tree of refusals that the module draws is the tree of its classes."""

import re
from collections.abc import Iterator

from dashboard.analysis import errors
from dashboard.analysis.errors import AnalysisError


def subclasses(error: type[AnalysisError]) -> list[type[AnalysisError]]:
    """Those of the product, in the order in which they are defined."""
    return [one for one in error.__subclasses__() if one.__module__.startswith("dashboard.")]


def drawn(error: type[AnalysisError], stem: str = "") -> Iterator[str]:
    """The classes below one, in the order in which they are defined, a line each."""
    below = subclasses(error)
    for one in below:
        yield f"{stem}{'`' if one is below[-1] else '|'}-- {one.__name__}"
        yield from drawn(one, stem + ("    " if one is below[-1] else "|   "))


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    assert errors.__doc__ is not None
    lines = errors.__doc__.split("\n\n")[1].splitlines()
    # What a class is for may stand after its name.
    assert [re.sub(r"(\w)  .*", r"\1", line) for line in lines] == ["AnalysisError", *drawn(AnalysisError)]


def test_every_refusal_says_what_it_is_for_and_lives_here() -> None:
    found = [AnalysisError]
    for one in found:
        found += subclasses(one)
    assert all(one.__module__ == errors.__name__ and one.__doc__ for one in found)
