"""Small studies on the tiny model: types and tables made by hand, a corpus of random tokens, a runner that keeps count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.analysis.asks.many_texts import ReadingAsk
from dashboard.analysis.entities.kinds import EntityKind, read_kind
from dashboard.analysis.entities.tables import EntityTable, read_entities
from dashboard.analysis.methods.known.results import StudySettings
from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
from dashboard.analysis.text.corpus import Corpus, join
from tests.conftest import TINY

KIND = """
title = "{name}s"
type = "{word}"

[attributes.home]
question = "Where is the home of the {{type}} '{{name}}'?"
stem = "The home of the {{type}} '{{name}}' is"
recall = "lives in"

[attributes.age]
question = "How old is the {{type}} '{{name}}'?"
stem = "In years the {{type}} '{{name}}' is"
recall = "is aged"
matcher = "number"
"""
QUICK = StudySettings(noise_documents=20, noise_tokens=3, most_noise=1.0, n_chosen=3, n_baseline=3, n_shuffles=50)
"""Nothing is filtered out: on a random model every latent fires everywhere."""
ANSWERED = replace(QUICK, way=LabelWay.ANSWERS, rule=KnowledgeRule(2, 1, 1), new_tokens=3, most_entities=8)
"""Labels by answers."""
SMALL_BLOCKS = (2, 2, 2)
"""Texts, rows of noise and questions that are kept together."""


def kind_of(folder: Path, name: str, word: str | None = None) -> EntityKind:
    """A type with two attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(KIND.format(name=name, word=word or name), "utf-8")
    return read_kind(file)


def names(n: int, seed: int = 0) -> list[str]:
    """Different made-up names."""
    generator = np.random.default_rng(seed)
    letters = list("abcdefghiklmnoprstuvw")
    made: dict[str, None] = {}
    while len(made) < n:
        made["".join(generator.choice(letters, 5)).capitalize() + " " + "".join(generator.choice(letters, 4)).capitalize()] = None
    return list(made)


def table_of(kind: EntityKind, rows: Sequence[tuple[str, str]], answers: bool = True) -> EntityTable:
    """Names with their familiarity; each lives somewhere and has an age, unless it is invented."""
    lines = ["name,familiarity,home,age"]
    for place, (name, familiarity) in enumerate(rows):
        right = f"Place{place % 7},{place % 50}" if answers and familiarity != "invented" else ","
        lines.append(f"{name},{familiarity},{right}")
    return read_entities(kind, "\n".join(lines).encode())


def corpus(n: int = 30) -> Corpus:
    """Documents of random tokens."""
    generator = np.random.default_rng(5)
    return join("random", str(TINY), [("noise", generator.integers(2, 300, 20).tolist()) for _ in range(n)])


class Counting:
    """A runner that counts what it is asked, and can break down."""

    def __init__(self, runner: Any, breaks_after: int | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.texts: list[Any] = []
        self._runner, self._breaks_after = runner, breaks_after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def describe(self) -> Any:
        self._count("describe")
        return self._runner.describe()

    def ask(self, ask: Any) -> Any:
        self._count(type(ask).__name__)
        return self._runner.ask(ask)

    def stream(self, ask: Any) -> Any:
        if isinstance(ask, ReadingAsk):
            self.texts += ask.texts
        self._count(type(ask).__name__)
        return self._runner.stream(ask)

    def _count(self, kind: str) -> None:
        self.asked[kind] += 1
        if self._breaks_after is not None and sum(self.asked.values()) > self._breaks_after:
            raise KeyboardInterrupt
