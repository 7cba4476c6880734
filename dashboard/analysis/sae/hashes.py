"""SHA-256 of the weights of SAEs, and the record of a result."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.system.files import sha256
from dashboard.analysis.system.versions import CODE, LIBRARIES


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


def weights_sha256(spec: SaeSpec) -> str:
    """SHA-256 of the file that holds an SAE's weights."""
    file = spec.source if spec.is_packed else spec.source / "sae_weights.safetensors"
    return _sha256(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(file: Path, changed: int) -> str:
    return sha256(file)
