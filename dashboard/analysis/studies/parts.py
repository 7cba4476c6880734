"""What is kept of the parts of a study: causality and uncertainty of a study of known and unknown entities."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from dashboard.analysis.errors import BadAsk, UnknownResult
from dashboard.analysis.plain import from_plain
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.studies.store import ResultStore

T = TypeVar("T")


@dataclass(frozen=True)
class KeptPart:
    """A part of a study that is kept."""

    key: str
    record: RunRecord


def kept_parts(store: ResultStore, kind: str, study: str) -> tuple[KeptPart, ...]:
    """What is kept of one kind for a study, newest first."""
    records = ((key, store.load(kind, key)[0]) for key in store.keys(kind))
    return tuple(KeptPart(key, record) for key, record in records if record.ask.get("study") == study)


def load_part(store: ResultStore, kind: str, key: str, part: type[T]) -> T:
    """A part by its key; its `record` is that of the store.

    Raises:
        UnknownResult: if there is none of that key.
        BadAsk: if it was kept by another version.
    """
    record, result = store.load(kind, key)
    try:
        read: Any = from_plain(part, result)
        return replace(read, record=record)
    except (TypeError, ValueError, KeyError) as error:
        name = part.__name__
        raise BadAsk(f"{name} {key} was kept by another version of this project: {error}. Run it again.") from error


def has_part(store: ResultStore, kind: str, key: str, part: type[Any]) -> bool:
    """True if it is kept and this version reads it: what another version kept is made again."""
    with suppress(BadAsk, UnknownResult):
        load_part(store, kind, key, part)
        return True
    return False


def find_part(store: ResultStore, kind: str, study: str, part: type[T]) -> T | None:
    """The newest of a study that this version reads; None if there is none."""
    for kept in kept_parts(store, kind, study):
        with suppress(BadAsk):
            return load_part(store, kind, kept.key, part)
    return None
