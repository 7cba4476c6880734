"""The one encoder: asks, results and records as plain JSON values, and back by their annotations, bit for bit.

A dataclass becomes an object of its fields, a tuple a list, an enum its value, a name (`LatentId`, `Site` ...) the text that
it prints, a path its text, a number that JSON lacks ("nan", "inf", "-inf") a text, bytes and arrays Base64. A mapping becomes
an object where its keys print as texts, else a list of pairs. Where an annotation allows several dataclasses, the object
also says which, under "class". Nothing else is tagged: the annotations of the reader say what a value is.
"""

import base64
import collections.abc
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints, overload

import numpy as np

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import LatentId, ModelId, NodeId, SaeId, Site

T = TypeVar("T")


class _Parsed(Protocol):
    """A name."""

    @classmethod
    def parse(cls, text: str) -> Any:
        """Read what it prints."""
        ...


_NAMES: tuple[type[Any], ...] = (LatentId, SaeId, ModelId, Site, NodeId)
"""Written as they print, read by their `parse`."""
_CLASS = "class"
"""Key of the name of a dataclass, where several are possible. No field can be called so."""
_SEQUENCES = (tuple, list, collections.abc.Sequence)
_SETS = (set, frozenset, collections.abc.Set)
_MAPPINGS = (dict, collections.abc.Mapping)


def to_plain(value: Any, kind: Any = None) -> Any:
    """A value as `json.dumps(..., allow_nan=False)` takes it.

    `kind` is the annotation by which it will be read; without it, its own class. It matters for unions of dataclasses.

    Raises:
        TypeError: if it holds something that cannot be written, or that its annotation does not allow.
    """
    return _write(type(value) if kind is None else kind, value)


@overload
def from_plain(kind: type[T], value: Any) -> T: ...
@overload
def from_plain(kind: Any, value: Any) -> Any: ...
def from_plain(kind: Any, value: Any) -> Any:
    """What `to_plain` was given, of the class or annotation that it was.

    Raises:
        TypeError, ValueError, KeyError: if it is of another form: a field too few or too many, text in place of a number.
        AnalysisError: if a name does not parse or a dataclass refuses its values.
    """
    return _read(kind, value)


def _write(kind: Any, value: Any) -> Any:
    kind = _resolved(kind, value)
    if (one_of := _members(kind)) is not None:
        return _write_union(one_of, value)
    match value:
        case Enum():
            return value.value
        case np.ndarray():
            return _write_array(cast("np.ndarray", value))
        case np.generic():
            return _write(kind, value.item())
        case bool() | int() | float() if kind is float:
            return float(value) if math.isfinite(value) else repr(float(value))
        case float():
            return value if math.isfinite(value) else repr(value)
        case None | bool() | int() | str():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case Path():
            return str(value)
        case _ if isinstance(value, _NAMES):
            return str(value)
        case tuple() | list():
            items = cast("collections.abc.Sequence[Any]", value)
            return [_write(one, item) for one, item in zip(_of_items(kind, len(items)), items, strict=True)]
        case set() | frozenset():
            (of,) = get_args(kind) or (Any,)
            return sorted((_write(of, one) for one in cast("frozenset[Any]", value)), key=repr)
        case Mapping():
            return _write_mapping(kind, cast("Mapping[Any, Any]", value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _write_dataclass(kind, value)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written as plain data.")


def _write_dataclass(kind: Any, value: Any) -> dict[str, Any]:
    kind = get_origin(kind) or kind
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} stands where {getattr(kind, '__name__', kind)} is declared; it could not be read back.")
    return {name: _write(hint, getattr(value, name)) for name, hint in _hints(kind).items()}


def _write_union(members: tuple[Any, ...], value: Any) -> Any:
    if value is None:
        return None
    classes = _dataclasses(members)
    if type(value) in classes:
        plain = _write_dataclass(type(value), value)
        return {_CLASS: type(value).__name__, **plain} if len(classes) > 1 else plain
    # An array, a sequence or a mapping; for anything else its own class says as much as the annotation.
    own = _class_of(value)
    return _write(next((one for one in members if _holds(one, value)), own), value)


def _write_mapping(kind: Any, value: Mapping[Any, Any]) -> Any:
    of_key, of_value = get_args(kind) or (Any, Any)
    pairs = [(_write(of_key, key), _write(of_value, one)) for key, one in value.items()]
    if all(isinstance(key, str) or type(key) is int for key, _ in pairs):
        return {str(key): one for key, one in pairs}
    return [[key, one] for key, one in pairs]


def _write_array(value: np.ndarray) -> dict[str, Any]:
    if value.dtype.kind not in "biufc":
        raise TypeError(f"An array of {value.dtype} cannot be written as plain data.")
    little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    return {"dtype": str(value.dtype), "shape": list(value.shape), "base64": base64.b64encode(little.tobytes()).decode()}


def _read(kind: Any, value: Any) -> Any:
    if kind in (Any, object):
        return value
    if (members := _members(kind)) is not None:
        return _read_union(members, value)
    origin = get_origin(kind) or kind
    if origin is Literal:
        return _checked(value, value in get_args(kind), kind)
    if _is_array(kind):
        return _read_array(value)
    if origin in _MAPPINGS:
        return _read_mapping(kind, value)
    if origin in _SETS:
        (of,) = get_args(kind) or (Any,)
        items = [_read(of, one) for one in _checked(value, isinstance(value, list), kind)]
        return set(items) if origin is set else frozenset(items)
    if origin in _SEQUENCES:
        given = cast("list[Any]", _checked(value, isinstance(value, list), kind))
        read = [_read(of, item) for of, item in zip(_of_items(kind, len(given)), given, strict=True)]
        return read if origin is list else tuple(read)
    if isinstance(origin, type) and is_dataclass(cast("type[Any]", origin)) and origin not in _NAMES:
        return _read_dataclass(cast("type[Any]", origin), value)
    return _read_scalar(kind, value)


def _read_scalar(kind: Any, value: Any) -> Any:
    if kind is None or kind is type(None):
        return _checked(value, value is None, kind)
    if kind is float:
        return float(_checked(value, type(value) in (int, float) or value in ("nan", "inf", "-inf"), kind))
    if kind in (int, bool, str):
        return _checked(value, type(value) is kind, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind in _NAMES:
        named = cast("type[_Parsed]", kind)
        return named.parse(_checked(value, isinstance(value, str), kind))
    if kind is bytes:
        return base64.b64decode(_checked(value, isinstance(value, str), kind), validate=True)
    if isinstance(kind, type) and issubclass(kind, Path):
        return kind(_checked(value, isinstance(value, str), kind))
    raise TypeError(f"{kind!r} cannot be read from plain data.")


def _read_dataclass(kind: type[Any], value: Any) -> Any:
    hints = _hints(kind)
    given = cast("dict[str, Any]", _checked(value, isinstance(value, dict), kind))
    if unknown := given.keys() - hints.keys() - {_CLASS}:
        raise TypeError(f"{kind.__name__} has no field {min(unknown)!r}.")
    return kind(**{name: _read(hint, given[name]) for name, hint in hints.items()})


def _read_union(members: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in members:
        return None
    classes = _dataclasses(members)
    if len(classes) > 1 and isinstance(value, dict) and _CLASS in value:
        named = cast("dict[str, Any]", value)
        chosen = next((one for one in classes if one.__name__ == named[_CLASS]), None)
        if chosen is None:
            raise ValueError(f"{named[_CLASS]!r} is none of {', '.join(one.__name__ for one in classes)}.")
        return _read_dataclass(chosen, named)
    failed: Exception | None = None
    # A whole number is read as an int where that is possible, and a text as what it names before as a text.
    for member in sorted(members, key=lambda one: (one is float, one is str)):
        if member is type(None) or (member in classes and not isinstance(value, dict)):
            continue
        try:
            return _read(member, value)
        except (TypeError, ValueError, KeyError, AnalysisError) as error:  # the next member may take it
            failed = failed or error
    raise failed or TypeError(f"{value!r} is of none of the declared kinds.")


def _read_mapping(kind: Any, value: Any) -> dict[Any, Any]:
    of_key, of_value = get_args(kind) or (Any, Any)
    if isinstance(value, list):
        return {_read(of_key, key): _read(of_value, one) for key, one in cast("list[list[Any]]", value)}
    items = cast("dict[str, Any]", _checked(value, isinstance(value, dict), kind)).items()
    read_key: Callable[[str], Any] = int if of_key is int else lambda key: _read(of_key, key)
    return {read_key(key): _read(of_value, one) for key, one in items}


def _read_array(value: Any) -> np.ndarray:
    dtype = np.dtype(str(value["dtype"]))
    held = np.frombuffer(base64.b64decode(value["base64"], validate=True), dtype=dtype.newbyteorder("<"))
    return held.astype(dtype).reshape([int(length) for length in value["shape"]])


def _resolved(kind: Any, value: Any) -> Any:
    """An annotation that says nothing gives way to the class of the value."""
    own = _class_of(value)
    return own if kind in (Any, object) else kind


def _class_of(value: Any) -> Any:
    return cast("Any", type(value))


def _members(kind: Any) -> tuple[Any, ...] | None:
    """Of a union; None for another annotation."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else None


def _dataclasses(members: tuple[Any, ...]) -> tuple[type[Any], ...]:
    return tuple(one for one in members if isinstance(one, type) and is_dataclass(one) and one not in _NAMES)


def _holds(kind: Any, value: Any) -> bool:
    """True if a member of a union is meant for a value."""
    origin = get_origin(kind) or kind
    if _is_array(kind):
        return isinstance(value, np.ndarray)
    if kind is float:
        return type(value) is float
    return isinstance(origin, type) and isinstance(value, origin)


def _is_array(kind: Any) -> bool:
    """True for `np.ndarray` and for jaxtyping's types of it."""
    return np.ndarray in (kind, get_origin(kind), getattr(kind, "array_type", None))


def _of_items(kind: Any, n: int) -> tuple[Any, ...]:
    """The annotation of each of a sequence's `n` items."""
    arguments = get_args(kind)
    if not arguments:
        return (Any,) * n
    if get_origin(kind) is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return arguments
    return (arguments[0],) * n


def _checked(value: Any, fits: bool, kind: Any) -> Any:
    if not fits:
        raise TypeError(f"{str(value)[:60]!r} is not {getattr(kind, '__name__', kind)}.")
    return value


@lru_cache(maxsize=512)
def _hints(kind: type[Any]) -> dict[str, Any]:
    """The annotation of each field that `__init__` takes, in their order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}
