"""What a result was made with, so that anybody can make it again."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from dashboard.analysis.files import sha256
from dashboard.analysis.names import SaeId
from dashboard.analysis.results import ModelCard, RunRecord
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.versions import CODE, LIBRARIES


def make_record(
    kind: str, ask: dict[str, Any], card: ModelCard, catalog: Catalog, saes: Iterable[SaeId], seconds: float | None
) -> RunRecord:
    """The record of something that has just been done. `ask` is plain data."""
    return RunRecord(
        kind=kind,
        ask=ask,
        model=str(card.model),
        saes={str(sae): weights_sha256(catalog.get(sae)) for sae in dict.fromkeys(saes)},
        device=card.device,
        dtype=card.dtype,
        code=CODE,
        libraries=dict(LIBRARIES),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=None if seconds is None else round(seconds, 2),
    )


def key_of(record: RunRecord) -> str:
    """A name for the result: equal for equal asks of equal models and dictionaries, whenever and wherever they ran."""
    depends_on = {"kind": record.kind, "ask": record.ask, "model": record.model, "saes": record.saes, "dtype": record.dtype}
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]


def weights_sha256(spec: SaeSpec) -> str:
    """SHA-256 of the file that holds an SAE's weights."""
    file = spec.source if spec.is_packed else spec.source / "sae_weights.safetensors"
    return _sha256(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, changed: int) -> str:
    return sha256(file)
