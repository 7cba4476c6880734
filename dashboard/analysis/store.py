"""Results on disk, named by what they depend on. The only writer of results.

A result is a folder `KIND/KEY/` with `record.json` and `result.json`, written beside and renamed. Never pickles.
"""

import json
import re
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import BadAsk, UnknownResult
from dashboard.analysis.records import key_of
from dashboard.analysis.results import RunRecord


class ResultStore:
    """The results below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, record: RunRecord, result: dict[str, Any]) -> str:
        """Keep a result and return its key. The same result again replaces the one before."""
        key = key_of(record)
        target = self._folder / record.kind / key
        scratch = target.with_name(f"{key}.{uuid.uuid4().hex[:8]}.writing")
        scratch.mkdir(parents=True)
        (scratch / "record.json").write_text(json.dumps(asdict(record), indent=1, sort_keys=True, ensure_ascii=False))
        (scratch / "result.json").write_text(json.dumps(result, ensure_ascii=False, allow_nan=False))
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        return key

    def load(self, kind: str, key: str) -> tuple[RunRecord, dict[str, Any]]:
        """A result and its record.

        Raises:
            UnknownResult: if there is none of that key, or it cannot be read.
        """
        if not re.fullmatch(r"[0-9a-f]{16}", key):
            raise BadAsk(f"{key[:40]!r} is not the key of a result: 16 digits of 0-9 and a-f.")
        folder = self._folder / kind / key
        try:
            record = RunRecord(**json.loads((folder / "record.json").read_text()))
            return record, json.loads((folder / "result.json").read_text())
        except (OSError, ValueError, TypeError) as error:
            raise UnknownResult(kind, key, len(self.keys(kind))) from error

    def keys(self, kind: str) -> list[str]:
        """Keys of one kind, newest first."""
        found = [path.parent for path in (self._folder / kind).glob("*/record.json") if path.parent.suffix != ".writing"]
        return [folder.name for folder in sorted(found, key=lambda folder: folder.stat().st_mtime, reverse=True)]
