"""What a result was made with, so that anybody can make it again."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """What a result was made with: enough to make it again."""

    kind: str
    """steer, sweep ..."""
    ask: dict[str, Any]
    model: str
    saes: dict[str, str]
    """SHA-256 of each SAE's weights by its name."""
    device: str
    dtype: str
    code: str
    """Version of this project."""
    libraries: dict[str, str]
    created: str
    """UTC, ISO 8601."""
    seconds: float | None
    """How long it took; None where that was not measured."""


def key_of(record: RunRecord) -> str:
    """A name for the result: equal for equal asks of equal models and dictionaries, whenever and wherever they ran."""
    depends_on = {"kind": record.kind, "ask": record.ask, "model": record.model, "saes": record.saes, "dtype": record.dtype}
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
