"""Options of an ask, declared once on its fields: read and printed as words of a command line, described for forms.

`option(250, "Documents of the corpus.", flag="--texts", low=1)` is the default of a field. The annotation says the rest: a
number, a text, a file, an enum (on the command line the name of its member in small letters), a name (`LatentId` ...), True
or False, or a tuple of any of these, which is written with commas, given as an option that is repeated, as arguments, or as
the lines of a file.
"""

import shlex
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from dashboard.analysis.errors import BadAsk

T = TypeVar("T")
_KEY = "option"


class Many(StrEnum):
    """How several values are given on a command line."""

    COMMAS = "commas"
    REPEATED = "repeated"
    """The option is given once a value."""
    LINES = "lines"
    """The option names a file of UTF-8 text with one value a line."""


@dataclass(frozen=True)
class Option:
    """What is declared of a field beside its type and default."""

    help: str
    flag: str = ""
    """`--name`, several apart by spaces; empty: made of the field's name."""
    low: int | float | None = None
    high: int | float | None = None
    reads: Callable[[str], Any] | None = None
    """Reads one value; empty: by the annotation. It refuses with a ValueError or an AnalysisError."""
    many: Many = Many.COMMAS
    argument: str = ""
    """What stands for it in the usage line, for an argument of the command."""
    what: str = ""
    """What one value is, in a refusal: `way of matching`."""
    label: str = ""
    """Of its widget; empty for an option of the command line alone."""
    shows: bool = False
    """True: it changes what is shown of a result and not the result."""
    file: str = ""
    """The value is given as a file, which is called so in the command that makes a result again: `reads` reads the file, and
    the value prints its content. Empty: it is no file."""


def option(
    default: Any,
    help: str,
    flag: str = "",
    low: int | float | None = None,
    high: int | float | None = None,
    reads: Callable[[str], Any] | None = None,
    many: Many = Many.COMMAS,
    argument: str = "",
    what: str = "",
    label: str = "",
    shows: bool = False,
    file: str = "",
) -> Any:
    """The default of a field of an ask, with what forms and the command line say of it. See `Option`."""
    return field(default=default, metadata={_KEY: Option(help, flag, low, high, reads, many, argument, what, label, shows, file)})


@dataclass(frozen=True)
class Parameter:
    """A field of an ask that is an option."""

    name: str
    option: Option
    default: Any
    kind: Any
    """Of one value: int, str, an enum ... ; None is left out of it."""
    several: bool
    """True for a tuple."""

    @property
    def flags(self) -> tuple[str, ...]:
        """`--texts`; none for an argument."""
        if self.option.argument:
            return ()
        return tuple(self.option.flag.split()) or ("--" + self.name.replace("_", "-"),)

    @property
    def said(self) -> str:
        """How a refusal calls it."""
        return self.option.argument or self.flags[0]

    @property
    def is_enum(self) -> bool:
        """True where one of a few values is meant."""
        return isinstance(self.kind, type) and issubclass(self.kind, Enum)

    def read(self, text: str) -> Any:
        """One value.

        Raises:
            BadAsk: if it is none, or outside its limits.
        """
        own = self.option
        try:
            value = _readers(self)(text)
        except BadAsk:
            raise
        except ValueError as error:
            raise BadAsk(f"{self.said} {text[:80]!r} is not {_form(self)}.") from error
        if (own.low is not None and value < own.low) or (own.high is not None and value > own.high):
            raise BadAsk(f"{self.said} is {text}; it must be {_limits(own.low, own.high)}.")
        return value

    def read_all(self, text: str) -> tuple[Any, ...]:
        """Values with commas between them.

        Raises:
            BadAsk: if one is none.
        """
        return tuple(self.read(word.strip()) for word in text.split(",") if word.strip())

    def show(self, value: Any) -> str:
        """One value as it is read."""
        if isinstance(value, Enum):
            return value.name.lower()
        if isinstance(value, float):
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        return str(value)

    def show_all(self, value: Any) -> str:
        """The value of the field as a text: several with commas."""
        return ",".join(map(self.show, value)) if self.several else "" if value is None else self.show(value)


@lru_cache(maxsize=64)
def parameters(ask: type[Any]) -> tuple[Parameter, ...]:
    """The options of an ask in the order of its fields."""
    hints = get_type_hints(ask)
    return tuple(_parameter(one, hints[one.name]) for one in fields(ask) if _KEY in one.metadata)


def _parameter(one: "Field[Any]", hint: Any) -> Parameter:
    if one.default is MISSING:
        raise TypeError(f"The option {one.name} has no default.")
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    several = get_origin(hint) is tuple
    return Parameter(one.name, one.metadata[_KEY], one.default, get_args(hint)[0] if several else hint, several)


def read_lines(file: Path | None, said: str) -> tuple[str, ...]:
    """The lines of a file of UTF-8 text that are not empty.

    Raises:
        BadAsk: if it cannot be read.
    """
    try:
        return lines_of(file.read_text(encoding="utf-8")) if file else ()
    except (OSError, UnicodeDecodeError) as error:
        raise BadAsk(f"{said} {file} cannot be read: {error}. Give a file of UTF-8 text, one text a line.") from error


def lines_of(text: str) -> tuple[str, ...]:
    """Lines that are not empty, without the spaces around them."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def of_words(ask: type[T], given: Mapping[str, Any]) -> T:
    """An ask from what a command line gives: by field its value, for tuples the text with commas, the list, or the file.

    Raises:
        BadAsk: if a value is not of its form.
    """
    values: dict[str, Any] = {}
    for one in parameters(ask):
        value = given.get(one.name, one.default)
        if value is None or (one.several and isinstance(value, tuple)):
            values[one.name] = one.default
        elif one.several and one.option.many is Many.LINES:
            values[one.name] = read_lines(Path(value), one.said)
        elif one.several and isinstance(value, list):
            values[one.name] = tuple(one.read(word) for word in cast("list[str]", value))
        elif one.several:
            values[one.name] = one.read_all(value)
        else:
            values[one.name] = one.read(value) if isinstance(value, str) and one.kind is not str else value
    return ask(**values)


@dataclass(frozen=True)
class Command:
    """A command of a shell, and the files that it reads."""

    words: tuple[str, ...]
    files: Mapping[str, str]
    """Contents by name."""

    def __str__(self) -> str:
        return shlex.join(self.words)


def again(words: tuple[str, ...], ask: Any) -> Command:
    """The command that asks the same: what is at its default is left out."""
    arguments: list[str] = []
    options: list[str] = []
    files: dict[str, str] = {}
    for one in parameters(cast("type[Any]", type(ask))):
        value = getattr(ask, one.name)
        if one.option.file:
            files[one.option.file] = one.show(value)
            arguments.append(one.option.file)
        elif one.option.argument:
            arguments += [one.show(part) for part in value] if one.several else [one.show(value)]
        elif value != one.default:
            options += _said(one, value, files)
    # An argument that begins with a dash would be read as an option.
    dashed = any(word.startswith("-") for word in arguments)
    return Command((*words, *options, "--", *arguments) if dashed else (*words, *arguments, *options), files)


def _said(one: Parameter, value: Any, files: dict[str, str]) -> Iterator[str]:
    flag = one.flags[0]
    if one.kind is bool:
        yield flag if value else flag.replace("--", "--no-", 1)
    elif one.several and one.option.many is Many.LINES:
        name = f"{one.name.replace('_', '-')}.txt"
        files[name] = "".join(f"{line}\n" for line in value)
        yield f"{flag}={name}"
    elif one.several and one.option.many is Many.REPEATED:
        yield from (f"{flag}={one.show(part)}" for part in value)
    else:
        # An equals sign: a value may begin with a dash.
        yield f"{flag}={one.show_all(value)}"


def _readers(one: Parameter) -> Callable[[str], Any]:
    if one.option.reads is not None:
        return one.option.reads
    if one.is_enum:
        return lambda text: _member(one, text)
    parse = getattr(one.kind, "parse", None)
    return cast("Callable[[str], Any]", parse or one.kind)


def _member(one: Parameter, text: str) -> Any:
    members = {member.name.lower(): member for member in cast("type[Enum]", one.kind)}
    if text.lower() not in members:
        raise BadAsk(f"{one.said} {text!r} names no {one.option.what or one.name.replace('_', ' ')}. It is {_either([*members])}.")
    return members[text.lower()]


def _form(one: Parameter) -> str:
    numbers = {int: ("a whole number", "a list of whole numbers. Write for example 12,16"),
               float: ("a number", "a list of numbers. Write for example -1,0,1")}  # fmt: skip
    single, many = numbers.get(one.kind, (f"a {one.option.what or 'value'}", f"a list of {one.option.what or 'value'}s"))
    return many if one.several else single


def _limits(low: int | float | None, high: int | float | None) -> str:
    if high is None:
        return f"{low:g} or more"
    return f"at most {high:g}" if low is None else f"{low:g} to {high:g}"


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
