"""Small studies on the tiny model: types and tables made by hand, a corpus of random tokens, a runner that keeps count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.analysis.asks.many_texts import ReadingAsk
from dashboard.analysis.entities.kinds import EntityKind, read_kind
from dashboard.analysis.entities.tables import EntityTable, read_table
from dashboard.analysis.methods.known.results import KnownUnknownStudy, StudySettings
from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesAsk, ask_of, study_of
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run
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
    return kept(kind, lines)


def kept(kind: EntityKind, lines: Sequence[str]) -> EntityTable:
    """A table in the file of its type."""
    kind.table.write_text("\n".join(lines), "utf-8")
    return read_table(kind)


def bench_of(runner: Any, store: ResultStore, types: Path, catalog: Catalog | None = None) -> Bench:
    """Types of a folder, and the corpus of random tokens."""
    own = corpus()
    settings = Settings(cache=types / "cache", entity_folders=(types,))
    return Bench(runner, catalog or runner.catalog, store, lambda file: own, settings)


def asked(tables: Sequence[EntityTable], saes: Sequence[SaeId], settings: StudySettings) -> EntitiesAsk:
    """A study of the files of some tables."""
    return ask_of([table.kind.name for table in tables], saes, settings)


def made(
    runner: Any,
    tables: Sequence[EntityTable],
    store: ResultStore,
    saes: Sequence[SaeId],
    settings: StudySettings,
    catalog: Catalog | None = None,
) -> KnownUnknownStudy:
    """A study, made or found."""
    bench = bench_of(runner, store, tables[0].kind.file.parent, catalog)
    *_, last = run(STUDY, bench, asked(tables, saes, settings))
    assert last.made is not None
    return study_of(last.made)


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
