"""The TOML file of a type of which there is only a table: each column asked in the plainest words."""

import csv
import io
import json
import re
from pathlib import Path

from dashboard.analysis.entities.kinds import COLUMN, RESERVED

_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")
_FALLBACK = ("fame", "What is the {type} '{name}' known for?", "The {type} '{name}' is known for")
"""Asked where the table has no column of answers: nothing is right then, so a study takes its labels from the file."""


def bare_kind(name: str, raw: bytes) -> str:
    """TOML for a CSV file: one attribute a column that can be one, a number where all its cells are numbers.

    What is wrong with the table is left to `read_entities` to say.
    """
    try:
        header, *rows = csv.reader(io.StringIO(raw.decode("utf-8-sig", "replace"), newline=""))
    except (csv.Error, ValueError):
        header, rows = [], []
    word = re.sub(r"[_-]+", " ", name).strip()
    lines = [f"title = {_text(word.capitalize())}", f"type = {_text(word)}"]
    n_asked = 0
    for place, column in enumerate(cell.strip() for cell in header):
        if COLUMN.fullmatch(column) and column not in (*RESERVED, *(cell.strip() for cell in header[:place])):
            said, cells = column.replace("_", " "), [row[place].strip() for row in rows if len(row) > place and row[place].strip()]
            question = (column, f"What is the {said} of the {{type}} '{{name}}'?", f"The {said} of the {{type}} '{{name}}' is")
            lines += _attribute(*question, is_number=bool(cells) and all(map(_NUMBER.fullmatch, cells)))
            n_asked += 1
    return "\n".join(lines + ([] if n_asked else _attribute(*_FALLBACK))) + "\n"


def stem_of(file: str) -> str:
    """The name that a type gets from that of a file: "My Rivers.csv" makes my-rivers."""
    return re.sub(r"[^a-z0-9_-]+", "-", Path(file).stem.lower()).strip("-_")


def _attribute(name: str, question: str, stem: str, *, is_number: bool = False) -> list[str]:
    lines = ["", f"[attributes.{name}]", f"question = {_text(question)}", f"stem = {_text(stem)}"]
    return [*lines, 'matcher = "number"'] if is_number else lines


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
