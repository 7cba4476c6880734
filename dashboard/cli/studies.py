"""Commands of the studies of the registry, made from their declarations when they are called."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dashboard.analysis.registry import STUDIES, Entry
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.bundle import files_of
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Made, Progress, Study, run
from dashboard.cli.options import command_of
from dashboard.cli.output import emit, paper, progress, screen
from dashboard.cli.runner import open_default_runner
from dashboard.cli.steer import print_rows

After = Callable[[Bench, Made[Any, Any]], None]


class _Secrets(Mapping[str, str]):
    """The environment, which is read only where a study asks for a name."""

    def __getitem__(self, name: str) -> str:
        return os.environ[name]

    def __iter__(self) -> Any:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


def open_bench() -> Bench:
    """The bench of a command: the default model, and what is kept on this machine."""
    from dashboard.analysis.settings import get_settings
    from dashboard.analysis.text.corpora import default_corpus
    from dashboard.analysis.text.corpus import Corpus, check_corpus, read_corpus
    from dashboard.cli.output import say

    runner, settings = open_default_runner(), get_settings()

    def corpus(file: Path | None) -> Corpus:
        text = read_corpus(file) if file else default_corpus(settings, say)
        check_corpus(text, runner.model.id)
        return text

    return Bench(runner, runner.catalog, ResultStore(settings.cache / "results"), corpus, settings, _Secrets())


class StudyGroup(TyperGroup):
    """A group that also has the studies of the registry under its name; each is imported when it is called."""

    @property
    def entries(self) -> dict[str, Entry]:
        """By the word of its command."""
        return {entry.command[1]: entry for entry in STUDIES if entry.command[0] == self.name}

    def list_commands(self, ctx: Any) -> list[str]:
        """Those that are written by hand, then those of the registry."""
        return [*super().list_commands(ctx), *self.entries]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make the command of a study."""
        entry = self.entries.get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else study_command(entry.load(), cmd_name)


def study_command(study: Study[Any, Any], name: str, after: After | None = None) -> Any:
    """The command of a study; `after` is called with what was made, before it is printed."""
    app = typer.Typer(add_completion=False)
    app.command(name)(command_of(study.ask, study.about, lambda ask, as_json, out: _run(study, ask, as_json, out, after)))
    return typer.main.get_command(app)


def _run(study: Study[Any, Any], ask: Any, as_json: bool, out: Path | None, after: After | None) -> None:
    bench = open_bench()
    made = make(study, bench, ask)
    if after is not None:
        after(bench, made)
    files = [] if out is None else write(study, made, out)
    if as_json:
        answer = study.answer(made)
        emit({**answer, "files": [str(file) for file in files]} if files else answer)
        return
    for part in study.printed(made) if study.printed else _everything(study, made):
        if isinstance(part, str):
            paper.print(part, soft_wrap=True)
        else:
            print_rows([dict(row) for row in part])
    if out is not None:
        screen.print(f"{len(files)} files in {out}", markup=False)


def _everything(study: Study[Any, Any], made: Made[Any, Any]) -> list[Any]:
    tables = [part for name, rows in study.tables(made).items() for part in (f"\n{name}", rows)]
    return [*tables, *study.notes(made)]


def make(study: Study[Any, Any], bench: Bench, ask: Any) -> Made[Any, Any]:
    """The result of an ask, with a bar while it is made."""
    last: Progress[Any] | None = None
    with progress(study.kind) as show:
        for last in run(study, bench, ask):
            show(last.done / max(1, last.total), last.words or f"{last.done} of {last.total} {study.unit}")
    assert last is not None and last.made is not None
    return last.made


def write(study: Study[Any, Any], made: Made[Any, Any], folder: Path) -> list[Path]:
    """The tables as CSV, the record and the report; the files."""
    from dashboard.ui.shell.report import report

    folder.mkdir(parents=True, exist_ok=True)
    content = {**files_of(study, made), "report.html": report(study, made)}
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in content]
