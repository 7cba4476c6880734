"""What every command prints with: progress and messages on standard error, answers on standard output."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

screen = Console(stderr=True, highlight=False)
paper = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


def emit(value: Any) -> None:
    """The answer of --json."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def progress(what: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error; call it with the share that is done and a few words."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, TextColumn("{task.fields[words]}"), console=screen) as bar:
        task = bar.add_task(what, total=1.0, words="")
        yield lambda share, words="": bar.update(task, completed=share, words=words)


def say(line: str) -> None:
    """One line on standard error."""
    screen.print(line, markup=False, soft_wrap=True)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A table of rows that have the same columns."""
    if not rows:
        paper.print("none")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(figure(value) for value in row.values()))
    paper.print(table)


def figure(value: Any) -> str:
    """A cell of a table; None is not known."""
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
