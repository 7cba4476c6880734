"""Grades that people overruled: a small JSON file in the folder of a study."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.errors import NotUsable
from dashboard.analysis.methods.known.results import Overrule

_FILE = "overruled.json"
_WAIT_S = 20.0


@dataclass(frozen=True)
class Overrules:
    """The current grades."""

    verdicts: Mapping[tuple[str, str, str, int | None], Verdict]
    """By type, name, attribute and sample."""
    version: str
    """Of the file: changes with every judgement, "" where there is none."""


def read_overrules(folder: Path) -> Overrules:
    """Those of a study.

    Raises:
        NotUsable: if the file cannot be read.
    """
    try:
        content = (folder / _FILE).read_bytes()
    except FileNotFoundError:
        return Overrules({}, "")
    try:
        rows = json.loads(content)
        verdicts = {(str(kind), str(name), str(attribute), sample): Verdict(verdict) for kind, name, attribute, sample, verdict in rows}
    except (ValueError, TypeError) as error:
        raise NotUsable(f"The overruled grades {folder / _FILE} cannot be read: {error}. Correct or remove the file.") from error
    return Overrules(verdicts, hashlib.sha256(content).hexdigest()[:16] if verdicts else "")


def keep_overrule(folder: Path, given: Overrule) -> None:
    """Put one judgement with the others, or take it back."""
    with FileLock(folder / f"{_FILE}.lock", timeout=_WAIT_S):
        verdicts = dict(read_overrules(folder).verdicts)
        verdicts.pop(given.place, None)
        if given.verdict is not None:
            verdicts[given.place] = given.verdict
        rows = [[*place, verdict.value] for place, verdict in verdicts.items()]
        rows.sort(key=lambda row: (row[0], row[1], row[2], -1 if row[3] is None else row[3]))
        scratch = folder / f"{_FILE}.writing"
        scratch.write_text(json.dumps(rows, indent=0), "utf-8")
        scratch.replace(folder / _FILE)
