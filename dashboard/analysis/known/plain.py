"""Frozen dataclasses as JSON holds them, and back by their annotations: what is kept of causality and uncertainty."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dashboard.analysis.names import LatentId, Site

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
