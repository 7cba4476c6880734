"""Frozen dataclasses as JSON holds them, and back by their annotations: what is kept of causality and uncertainty."""

import math
import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dashboard.analysis.errors import BadAsk, UnknownResult
from dashboard.analysis.names import LatentId, Site
from dashboard.analysis.studies.record import RunRecord
from dashboard.analysis.studies.store import ResultStore

T = TypeVar("T")
_NAMES = (LatentId, Site)
"""Kept as they print."""


def to_plain(value: Any) -> Any:
    """Dataclasses become objects, tuples lists, names and enums texts, numbers that JSON lacks texts too."""
    match value:
        case LatentId() | Site():
            return str(value)
        case Enum():
            return value.value
        case float() if not math.isfinite(value):
            return repr(value)
        case tuple() | list():
            return [to_plain(one) for one in value]
        case Mapping():
            return {str(key): to_plain(one) for key, one in value.items()}
        case _ if is_dataclass(value):
            return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def from_plain(kind: type[T], value: Any) -> T:
    """What `to_plain` was given, of the class that it was.

    Raises:
        TypeError, ValueError, KeyError: if it is of another form.
    """
    return _read(kind, value)


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
        return replace(from_plain(part, result), record=record)  # pyright: ignore[reportArgumentType]
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


def _read(kind: Any, value: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(one for one in arguments if one is not type(None)), value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(_read(arguments[0], one) for one in value)
        return tuple(_read(one, part) for one, part in zip(arguments, value, strict=True))
    if kind in _NAMES:
        return kind.parse(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if is_dataclass(kind):
        return kind(**{name: _read(hint, value[name]) for name, hint in _hints(kind).items()})  # pyright: ignore[reportCallIssue]
    return float(value) if kind is float else value


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
