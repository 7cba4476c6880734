"""A result as files: its tables as CSV, its record as JSON with the command that makes it again."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dashboard.analysis.studies.option import Command, again
from dashboard.analysis.studies.study import Made, Rows, Study


def command_of(study: Study[Any, Any], ask: Any) -> Command:
    """The command of a shell that makes a result again."""
    return again(("latents", *study.command), ask)


def csv_of(rows: Rows) -> str:
    """A table as CSV, a column for every name in any row."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _cell(value) for name, value in row.items()} for row in rows])
    return text.getvalue()


def record_text(study: Study[Any, Any], made: Made[Any, Any]) -> str:
    """The record with the command that makes the result again, as JSON."""
    return json.dumps({"command": str(command_of(study, made.ask)), **asdict(made.record)}, ensure_ascii=False, indent=1)


def files_of(study: Study[Any, Any], made: Made[Any, Any]) -> Mapping[str, str]:
    """Contents by name: a CSV a table, the record, and the files that the command reads."""
    tables = {f"{name}.csv": csv_of(rows) for name, rows in study.tables(made).items()}
    return tables | {"record.json": record_text(study, made), **command_of(study, made.ask).files}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value
