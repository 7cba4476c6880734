"""A runner that notes what it is asked to read or write, and what stands on a bench with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.store import ResultStore


class Recording(LocalRunner):
    """Answers as a runner does."""

    def __init__(self, runner: LocalRunner) -> None:
        self.__dict__ = dict(runner.__dict__)
        self.asked: list[Any] = []

    def ask(self, ask: Any) -> Any:
        """Note it, and answer."""
        self.asked.append(ask)
        return super().ask(ask)

    def stream(self, ask: Any) -> Iterator[Any]:
        """Note it, and answer."""
        self.asked.append(ask)
        return super().stream(ask)


def bench_of(runner: LocalRunner, folder: Path) -> Bench:
    """A bench whose results are kept in a folder."""
    return Bench(runner, runner.catalog, ResultStore(folder))
