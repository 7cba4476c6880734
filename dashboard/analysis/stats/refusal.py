"""Whether an answer declines, by its wording.

Steps: lower case, curly apostrophes straightened, white space trimmed; then any phrase of `contained` anywhere in it, or
any of `opening` at its start; both lists stand in `assets/prompts/refusals.toml`. The phrases are broad ("unknown",
"please note", "as an"), so some answers that do not decline match: read a few of those that do before a share is believed.
It judges no meaning, and English only.

Source: the matcher behind Ferrando et al. 2024, arXiv:2411.14257, section 5, as its published code holds it. Differs from
it: two missing commas there fuse phrases ("not aware" with "not familiar", "provide me with more" with "there doesn't
seem to be any"), so that none of them is searched for, a phrase is misspelt ("i cannnot") and two have capitals that
lower-cased text cannot have; all are mended here. Doubled phrases are listed once, curly apostrophes count
as straight, and "don't know" and a few like it are added: small models decline so.
"""

import tomllib
from functools import cache
from typing import NamedTuple

from dashboard.analysis.settings import ASSETS

FILE = ASSETS / "prompts" / "refusals.toml"


class Phrases(NamedTuple):
    """Wordings that count as declining, in lower case."""

    contained: tuple[str, ...]
    """Anywhere."""
    opening: tuple[str, ...]
    """At the start only."""


@cache
def phrases() -> Phrases:
    """The lists of the file, read once."""
    lists = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return Phrases(tuple(lists["contained"]), tuple(lists["opening"]))


def is_refusal(text: str) -> bool:
    """True if the wording is one of declining or not knowing."""
    lowered = text.lower().replace("’", "'").strip()
    known = phrases()
    return lowered.startswith(known.opening) or any(phrase in lowered for phrase in known.contained)
