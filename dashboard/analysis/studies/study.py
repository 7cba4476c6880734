"""A study is long work that is declared once: what may be asked, how it is done, and what its result is.

From the declaration it gets: found again in the store, resumed by blocks after a kill, joined where equal work is under way,
cancelled, a form on a page, a command, the command that makes it again, progress, downloads and a report.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import SaeId
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Jobs, Lane
from dashboard.analysis.studies.option import parameters
from dashboard.analysis.studies.record import RunRecord, key_of, make_record
from dashboard.analysis.studies.store import ResultStore

A = TypeVar("A")
R = TypeVar("R")
Rows = Sequence[Mapping[str, Any]]
"""A table: rows of plain data with the same columns."""
_BLOCKS = "blocks"


@dataclass(frozen=True)
class Made(Generic[A, R]):
    """A result that is kept."""

    key: str
    ask: A
    record: RunRecord
    result: R
    store: ResultStore = field(repr=False, compare=False)
    """Where it is kept, with what belongs to it."""


@dataclass(frozen=True)
class Progress(Generic[R]):
    """How far a study is."""

    done: int
    """Of `total`, in the study's unit."""
    total: int
    words: str = ""
    """What is being done; empty: `done` of `total` and the unit."""
    result: R | None = None
    """Results so far; complete with the last item."""
    made: Made[Any, R] | None = None
    """With the last item of `run`: what was kept, or found."""


def _no_saes(bench: Bench, ask: Any) -> tuple[SaeId, ...]:
    del bench, ask
    return ()


def _plain_ask(bench: Bench, ask: Any) -> dict[str, Any]:
    del bench
    shown = {one.name for one in parameters(cast("type[Any]", type(ask))) if one.option.shows}
    return {name: value for name, value in to_plain(ask).items() if name not in shown}


def _no_tables(made: Made[Any, Any]) -> Mapping[str, Rows]:
    del made
    return {}


def _no_notes(made: Made[Any, Any]) -> Sequence[str]:
    del made
    return ()


def _whole(made: Made[Any, Any]) -> dict[str, Any]:
    return {"result": to_plain(made.result), "record": to_plain(made.record)}


@dataclass(frozen=True)
class Study(Generic[A, R]):
    """One kind of study."""

    kind: str
    """Of its record and its folder in the store: `flow origins`."""
    about: str
    """One sentence: what it finds out. The help of its command."""
    ask: type[A]
    """A frozen dataclass whose fields are options (`option.py`)."""
    result: type[R]
    """A frozen dataclass that `plain.py` writes and reads."""
    unit: str
    """What its progress counts: texts."""
    steps: Callable[[Bench, A], Iterator[Progress[R]]]
    """Does it. What takes long goes through `bench.each`. The last item has the result."""
    title: Callable[[A], str]
    """What an ask is about, in a few words for people."""
    command: tuple[str, ...]
    """Words of its command behind `latents`."""
    asked: Callable[[Bench, A], dict[str, Any]] = _plain_ask
    """Plain data of everything that the result depends on, but the model and the dictionaries: what it is found again by."""
    saes: Callable[[Bench, A], tuple[SaeId, ...]] = _no_saes
    """Dictionaries that it reads."""
    schema: int = 1
    """Raised when results of before mean something else: they are made again then."""
    lane: Lane = Lane.STUDY
    tables: Callable[[Made[A, R]], Mapping[str, Rows]] = _no_tables
    """By name, for downloads, the report and the folder of `--out`."""
    notes: Callable[[Made[A, R]], Sequence[str]] = _no_notes
    """What a reader must know, one sentence each."""
    answer: Callable[[Made[A, R]], Any] = _whole
    """What `--json` prints."""
    printed: Callable[[Made[A, R]], Sequence[Rows | str]] | None = None
    """What its command prints without `--json`: tables and lines; None: the tables and notes."""
    look: Callable[[Made[A, R]], Any] = _no_tables
    """Works out what pages and commands show of a result and keep in memory, while the job is still shown as running."""
    keeps: bool = True
    """False: what it makes has a place of its own, say a folder of an SAE, and is looked for there; the store holds nothing of it."""
    example: A | None = None
    """What its form begins with: a first look that takes a minute or so; None: the defaults."""

    def record(self, bench: Bench, ask: A) -> RunRecord:
        """What a result of this ask is made with. The model is not asked anything, but must be known.

        Raises:
            AnalysisError: if it cannot be asked: no such dictionary, layer, text ...
        """
        asked = self.asked(bench, ask)
        if self.schema > 1:
            asked = {**asked, "schema": self.schema}
        return make_record(self.kind, asked, bench.runner.describe(), bench.catalog, self.saes(bench, ask), None)

    def key(self, bench: Bench, ask: A) -> str:
        """Equal for equal work."""
        return key_of(self.record(bench, ask))

    def load(self, store: ResultStore, key: str, ask: A) -> Made[A, R] | None:
        """A result that is kept and that this version reads."""
        with suppress(AnalysisError, TypeError, ValueError, KeyError):
            record, result = store.load(self.kind, key)
            return Made(key, ask, record, from_plain(self.result, result), store)
        return None

    def first(self) -> A:
        """The ask that a form begins with."""
        return self.ask() if self.example is None else self.example


def find(study: Study[A, R], bench: Bench, ask: A) -> Made[A, R] | None:
    """The result of an ask, if it is kept: the model is asked nothing."""
    return study.load(bench.store, study.key(bench, ask), ask)


def run(study: Study[A, R], bench: Bench, ask: A) -> Iterator[Progress[R]]:
    """Find a result in the store, or make it from where its blocks end and keep it with its record. The last item has `made`.

    Raises:
        AnalysisError: if it cannot be asked or done.
        RunMismatch: if another process is making it.
    """
    record = study.record(bench, ask)
    key = key_of(record)
    if study.keeps and (kept := study.load(bench.store, key, ask)) is not None:
        yield Progress(1, 1, "found in the store", kept.result, kept)
        return
    began, last = time.monotonic(), None
    own = bench.at(bench.store.folder(study.kind, key) / _BLOCKS)
    for last in study.steps(own, ask):
        yield last
    if last is None or last.result is None:
        raise RuntimeError(f"the study {study.kind} ended without a result")
    record = replace(record, seconds=round(time.monotonic() - began, 2))
    if study.keeps:
        bench.store.save(record, to_plain(last.result, study.result))
    own.forget_blocks()
    made = Made(key, ask, record, last.result, bench.store)
    study.look(made)
    yield replace(last, made=made)


def result_of(study: Study[A, R], bench: Bench, ask: A) -> R:
    """The result of an ask, found or made: for work that builds on a study's result.

    Raises:
        AnalysisError: as `run` says.
    """
    made = [one.made for one in run(study, bench, ask) if one.made is not None]
    return made[-1].result


def submit(
    study: Study[A, R], bench: Bench, jobs: Jobs, ask: A, runner: Runner | None = None, stop: Callable[[], None] | None = None
) -> str:
    """Queue an ask in the lane of its study, or join equal work that waits or runs already; the id of the job.

    `runner` answers the job in place of the bench's; `stop` ends what it is answering when the job is cancelled.

    Raises:
        AnalysisError: if it cannot be asked.
        QueueFull: if too many jobs wait.
    """
    key = study.key(bench, ask)
    title = f"{study.kind}: {study.title(ask)}"
    own = bench if runner is None else replace(bench, runner=runner)
    return jobs.submit(title, 1, lambda: run(study, own, ask), stop, key, study.lane, join=True)


def cancel(jobs: Jobs, id: str) -> None:
    """End a study before its next block. What is finished stays on disk: the same ask resumes from there.

    Raises:
        BadAsk: if there is no job of that id.
    """
    jobs.cancel(id)
