"""Commands of the studies of the registry, made from their declarations when they are called."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dashboard.analysis.asks.edits import Intervention
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.registry import RECIPES, STUDIES, Entry
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.bundle import files_of
from dashboard.analysis.studies.recipe import FoundEdits
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Made, Progress, Study, run
from dashboard.cli.options import Around, command_of, edits_of
from dashboard.cli.output import emit, paper, print_rows, progress, screen
from dashboard.cli.runner import open_default_runner

After = Callable[[Bench, Made[Any, Any]], None]


class _Secrets(Mapping[str, str]):
    """The environment, which is read only where a study asks for a name."""

    def __getitem__(self, name: str) -> str:
        return os.environ[name]

    def __iter__(self) -> Any:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


def open_bench(dtype: str | None = None) -> Bench:
    """The bench of a command: the default model, and what is kept on this machine."""
    from dashboard.analysis.sae.catalog import Catalog, read_catalog
    from dashboard.analysis.settings import get_settings
    from dashboard.analysis.text.corpora import default_corpus
    from dashboard.analysis.text.corpus import Corpus, check_corpus, read_corpus
    from dashboard.cli.output import say

    runner, settings = open_default_runner(dtype), get_settings()

    def corpus(file: Path | None) -> Corpus:
        text = read_corpus(file) if file else default_corpus(settings, say)
        check_corpus(text, runner.model.id)
        return text

    def renew() -> Catalog:
        runner.renew(read_catalog(settings))
        return runner.catalog

    return Bench(runner, runner.catalog, ResultStore(settings.cache / "results"), corpus, settings, renew, _Secrets())


class StudyGroup(TyperGroup):
    """A group that also has the studies and recipes of the registry under its name; each is imported when it is called."""

    def entries(self, ctx: Any) -> dict[str, Entry]:
        """By the word of its command."""
        own = () if ctx.parent is None else (self.name,)
        return {entry.command[-1]: entry for entry in (*STUDIES, *RECIPES) if entry.command[:-1] == own}

    def list_commands(self, ctx: Any) -> list[str]:
        """Those that are written by hand, then those of the registry."""
        return [*super().list_commands(ctx), *self.entries(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make the command of a study."""
        entry = self.entries(ctx).get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else study_command(entry.study(), cmd_name)


def study_command(study: Study[Any, Any], name: str, after: After | None = None) -> Any:
    """The command of a study; `after` is called with what was made, before it is printed."""
    app = typer.Typer(add_completion=False)
    app.command(name)(command_of(study.ask, study.about, lambda ask, around: _run(study, ask, around, after)))
    return typer.main.get_command(app)


def _run(study: Study[Any, Any], ask: Any, around: Around, after: After | None) -> None:
    bench = open_bench(around.dtype.value if around.dtype else None)
    if around.recipe and (own := edits_of(study.ask)):
        ask = replace(ask, **{own.name: (*getattr(ask, own.name), *recipe_edits(bench, around.recipe))})
    made = make(study, bench, ask)
    if after is not None:
        after(bench, made)
    files = [] if around.out is None else write(study, made, around.out)
    if around.as_json:
        answer = study.answer(made)
        emit({**answer, "files": [str(file) for file in files]} if files else answer)
        return
    for part in study.printed(made) if study.printed else _everything(study, made):
        if isinstance(part, str):
            paper.print(part, soft_wrap=True)
        else:
            print_rows([dict(row) for row in part])
    if around.out is not None:
        screen.print(f"{len(files)} files in {around.out}", markup=False)


def recipe_edits(bench: Bench, commands: Sequence[str]) -> tuple[Intervention, ...]:
    """The edits of some recipes, each given as its name and the words of its command.

    Vectors among them are kept on this machine, so that the edits can be named again.

    Raises:
        BadAsk: if there is no such recipe, or it cannot make edits.
    """
    from dashboard.analysis.notebook.vectors import VectorFolder
    from dashboard.analysis.settings import get_settings

    edits: list[Intervention] = []
    for command in commands:
        name, *words = shlex.split(command) or [""]
        entry = next((entry for entry in RECIPES if entry.command[-1] == name), None)
        if entry is None:
            known = ", ".join(entry.command[-1] for entry in RECIPES)
            raise BadAsk(f"--recipe {command!r}: there is no recipe {name!r}. There are: {known}.")
        study = entry.study()
        found: FoundEdits = make(study, bench, _read(study, words)).result
        edits += found.kept(VectorFolder(get_settings().cache / "vectors"), str(bench.runner.describe().model))
    return tuple(edits)


def _read(study: Study[Any, Any], words: Sequence[str]) -> Any:
    """The ask that the words of a command give."""
    asks: list[Any] = []
    app = typer.Typer(add_completion=False)
    app.command(study.command[-1])(command_of(study.ask, study.about, lambda ask, around: asks.append(ask)))
    typer.main.get_command(app).main([*words], study.command[-1], standalone_mode=False)
    if not asks:  # its help was asked for
        raise typer.Exit
    return asks[0]


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
