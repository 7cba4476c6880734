"""What a result was made with, so that anybody can make it again."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.system.versions import CODE, LIBRARIES


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
