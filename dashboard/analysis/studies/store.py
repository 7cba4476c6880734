"""Results on disk, named by what they depend on. The only writer of results.

A result is a folder `KIND/KEY/` with one file `result.json`, `{"record", "result"}`, written beside and put in place in
one move: who reads gets one result whole, whoever writes or dies at the same moment. Never pickles.
"""

import json
import re
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from dashboard.analysis.errors import BadAsk, UnknownResult
from dashboard.analysis.studies.record import RunRecord, key_of

_FILE = "result.json"


class ResultStore:
    """The results below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, record: RunRecord, result: dict[str, Any]) -> str:
        """Keep a result and return its key. The same result again replaces the one before."""
        key = key_of(record)
        # Plain ASCII: half a surrogate pair, which a text may hold, is not UTF-8.
        content = json.dumps({"record": asdict(record), "result": result}, allow_nan=False)
        folder = self._folder / record.kind / key
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{uuid.uuid4().hex[:8]}.writing"
        try:
            scratch.write_text(content)
            scratch.replace(folder / _FILE)
        finally:
            scratch.unlink(missing_ok=True)
        return key

    def load(self, kind: str, key: str) -> tuple[RunRecord, dict[str, Any]]:
        """A result and its record.

        Raises:
            BadAsk: if that is not a key.
            UnknownResult: if there is none of that key, or it cannot be read.
        """
        if not re.fullmatch(r"[0-9a-f]{16}", key):
            raise BadAsk(f"{key[:40]!r} is not the key of a result: 16 digits of 0-9 and a-f.")
        try:
            saved = json.loads((self._folder / kind / key / _FILE).read_text())
            record, result = RunRecord(**saved["record"]), saved["result"]
            if not isinstance(result, dict):
                raise TypeError("the result is not an object")
            return record, cast("dict[str, Any]", result)
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UnknownResult(kind, key, len(self.keys(kind))) from error

    def folder(self, kind: str, key: str) -> Path:
        """Where a result of that key is or would be kept; files that belong to it may stand beside it."""
        return self._folder / kind / key

    def keys(self, kind: str) -> list[str]:
        """Keys of one kind, newest first."""
        found = sorted((self._folder / kind).glob(f"*/{_FILE}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [file.parent.name for file in found]
