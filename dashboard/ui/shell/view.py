"""What a page shows is one frozen value. Each field declares how an address says it; parsing and printing follow from that.

    @dataclass(frozen=True)
    class FlowView(View):
        seed: LatentId = latent("seed")                        # required: the page's first look stands in where it is not said
        t_res: float = number("t_res", 0.5, 0, 1, always=True)
        pins: tuple[LatentId, ...] = latents("pin", most=12)
        text: str = long_text("prompt")                             # left out of an address that would be too long
        wrapped: bool = local(True)                            # of the tab alone: no address names it

`parse(base, query(view), catalog)` gives back the view, but for texts that were too long and for what is the tab's alone.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, Self, TypeVar
from urllib.parse import quote

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog

MAX_TEXT_IN_URL = 8000
"""Characters of the percent-encoded texts of an address; servers refuse much longer addresses."""
_MAX_VALUES, _MAX_COMPLAINTS = 500, 3
"""Of one parameter: values that are looked at, and complaints that are shown."""

Url = Mapping[str, Sequence[str]]
Read = Callable[[str, Catalog], Any]
Write = Callable[[Any], str]
V = TypeVar("V", bound="View")


@dataclass(frozen=True)
class Part:
    """How a field is written in an address."""

    name: str
    """The parameter; empty for what is the tab's alone."""
    read: Read
    """A value from its text. An AnalysisError is shown unchanged; a ValueError says what the text is not."""
    write: Write = str
    """The text of a value; empty for what no address can carry."""
    most: int = 0
    """A field of several values takes so many at most; 0 for a field of one value."""
    too_many: str = ""
    """What is said where an address has more than `most`, with {n} and {most}; empty: nothing."""
    repeats: bool = False
    """The same value may occur several times."""
    always: bool = False
    """Printed even where it is the default."""
    is_text: bool = False
    """Left out of an address that would be too long, and then kept by the tab."""
    beside: str = ""
    """Printed only with this parameter, and kept with it."""
    takes: Callable[[Any], Any] = lambda value: value
    """The field's value from that of a widget, or from what was read."""


@dataclass(frozen=True)
class View:
    """Base of what pages show."""

    def completed(self, named: Mapping[str, bool], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """The view as the page shows it, and what is wrong in it, for people.

        Args:
            named: parameters that the address names, and whether with a value that can be taken; those too that the tab keeps
                because they were too long for it.
            before: what the tab showed; None on first open.
        """
        del named, catalog, before
        return self, []


def part(default: Any, own: Part) -> Any:
    """A field of a view. MISSING as default makes it required."""
    return field(default=default, metadata={"part": own})


def local(default: Any = MISSING) -> Any:
    """What no address names: the tab keeps it; by default required."""
    several = {"most": _MAX_VALUES, "takes": tuple} if isinstance(default, tuple) else {}
    return part(default, Part("", lambda said, _: said, **several))


def latent(name: str, default: Any = MISSING, *, always: bool = False) -> Any:
    """A latent of the catalogue; by default required."""
    return part(default, Part(name, _latent, always=always))


def latents(name: str, most: int) -> Any:
    """Latents of the catalogue, none by default."""
    return part((), Part(name, _latent, most=most, takes=tuple))


def sae(name: str, default: Any = MISSING, *, always: bool = False) -> Any:
    """An SAE of the catalogue; by default required."""
    return part(default, Part(name, lambda said, catalog: catalog.get(SaeId.parse(said)).id, always=always))


def number(name: str, default: float, low: float, high: float, what: str = "", *, digits: int = 10, always: bool = False) -> Any:
    """A finite number in a range, rounded to some decimals. `what` finishes the sentence "NAME='TEXT' is not ..."."""

    def read(said: str, _: Catalog) -> float:
        try:
            value = float(said)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"not {what or f'a number from {low:g} to {high:g}'}")
        return round(value, digits)

    return part(default, Part(name, read, "{:.10g}".format, always=always, takes=lambda value: round(float(value), digits)))


def whole(name: str, default: int | None, low: int, high: int, what: str = "", *, always: bool = False, beside: str = "") -> Any:
    """A whole number in a range."""
    return part(default, Part(name, _whole(low, high, what), always=always, beside=beside))


def wholes(name: str, low: int, high: int, what: str = "") -> Any:
    """Whole numbers in a range, in ascending order, none by default."""
    return part((), Part(name, _whole(low, high, what), most=_MAX_VALUES, takes=_ascending))


def flag(name: str, default: bool = False, *, on: str = "1", off: str = "0", beside: str = "") -> Any:
    """A switch: `on` or `off` in an address; every other text is off."""
    return part(default, Part(name, lambda said, _: said == on, lambda value: on if value else off, beside=beside))


def choice(name: str, default: Any, choices: Mapping[Any, str] | Sequence[str], *, always: bool = False) -> Any:
    """One of some values, each with its word in an address."""
    words = dict(choices) if isinstance(choices, Mapping) else {one: str(one) for one in choices}
    values = {word: value for value, word in words.items()}

    def read(said: str, _: Catalog) -> Any:
        if said not in values:
            raise ValueError(f"none of {', '.join(values)}")
        return values[said]

    return part(default, Part(name, read, words.__getitem__, always=always))


def several(name: str, choices: Callable[[Catalog], Sequence[Any]], *, ascending: bool = False) -> Any:
    """Some of what a catalogue has, none by default; in ascending order, or as they were chosen."""

    def read(said: str, catalog: Catalog) -> Any:
        values = {str(value): value for value in choices(catalog)}
        if said not in values:
            raise ValueError(f"none of {', '.join(values)}")
        return values[said]

    return part((), Part(name, read, most=_MAX_VALUES, takes=_ascending if ascending else tuple))


def long_text(name: str, default: str = "", *, always: bool = False) -> Any:
    """A text of any length."""
    return part(default, Part(name, lambda said, _: said, always=always, is_text=True))


def short_text(name: str, default: str = "", *, longest: int = 400, always: bool = False) -> Any:
    """A few characters that are taken as they are: a key, a name."""
    return part(default, Part(name, lambda said, _: said[:longest], always=always))


def fits_link(said: str) -> bool:
    """Whether an address can carry the text."""
    return _length(said) <= MAX_TEXT_IN_URL


def parts(view: View | type[View]) -> list[tuple[Field[Any], Part]]:
    """The fields of a view, each with how it is written in an address."""
    return [(one, one.metadata["part"]) for one in fields(view) if "part" in one.metadata]


def part_of(view: View | type[View], name: str) -> Part:
    """How one field is written in an address."""
    return next(own for one, own in parts(view) if one.name == name)


def base_of(view_class: type[V], first_look: Callable[[], V], before: V | None) -> V:
    """What is shown where an address says nothing: the default, of a required field that of the first look, and what is the tab's alone."""
    required = [one.name for one, _ in parts(view_class) if one.default is MISSING]
    given = {name: getattr(first, name) for name in required} if required and (first := first_look()) else {}
    base = view_class(**given)
    return base if before is None else replace(base, **locals_of(before))


def locals_of(view: View) -> dict[str, Any]:
    """What is the tab's alone."""
    return {one.name: getattr(view, one.name) for one, own in parts(view) if not own.name}


def parse(base: V, url: Url, catalog: Catalog, before: V | None = None) -> tuple[V, list[str]]:
    """A view with what an address says, and what in that was wrong, for people.

    Args:
        base: what is shown where the address says nothing, or something wrong.
        before: what the tab showed. A text that was too long for its address is kept, with what stands beside it.
    """
    new: dict[str, Any] = {}
    problems: list[str] = []
    kept = set[str]() if before is None else _left_out(before) - url.keys()
    named: dict[str, bool] = {}
    for one, own in parts(base):
        said = [said for said in url.get(own.name, ()) if said or own.is_text] if own.name else []
        found = _values(own, said, catalog, problems)
        if said:
            named[own.name] = bool(found)
        if found:
            new[one.name] = own.takes(found if own.most else found[0])
        elif not said and before is not None and (own.name in kept or own.beside in kept):
            named[own.name] = True
            new[one.name] = getattr(before, one.name)
    view, more = replace(base, **new).completed(named, catalog, before)
    return view, problems + more


def query(view: View) -> dict[str, list[str]]:
    """What an address says of a view. Texts that would make it too long are left out."""
    url: dict[str, list[str]] = {}
    length = 0
    for one, own in parts(view):
        value = getattr(view, one.name)
        if not own.name or value is None or (own.beside and own.beside not in url):
            continue
        if own.is_text:
            length += _length(value)
            if length > MAX_TEXT_IN_URL:
                continue
        if own.most:
            url |= {own.name: [own.write(each) for each in value]} if value else {}
        elif (own.always or value != one.default) and ((said := own.write(value)) or own.is_text):
            url[own.name] = [said]
    return url


def _left_out(view: View) -> set[str]:
    """Texts that the view's own address cannot carry."""
    return {own.name for one, own in parts(view) if own.is_text and getattr(view, one.name)} - query(view).keys()


def _values(own: Part, said: Sequence[str], catalog: Catalog, problems: list[str]) -> tuple[Any, ...]:
    """The values of a field; none where all of it is wrong."""
    found: list[Any] = []
    wrong: list[str] = []
    if own.too_many and len(said) > own.most:
        problems.append(own.too_many.format(n=len(said), most=own.most))
        said = said[: own.most]
    for one in said[:_MAX_VALUES] if own.most else said[-1:]:
        try:
            found.append(own.read(one, catalog))
        except AnalysisError as error:
            wrong.append(str(error))
        except ValueError as error:
            wrong.append(f"{own.name}={one[:20]!r} is {error}.")
    problems += wrong[:_MAX_COMPLAINTS]
    return tuple(found if own.repeats else dict.fromkeys(found))[: own.most or 1]


def _latent(said: str, catalog: Catalog) -> LatentId:
    return catalog.latent(LatentId.parse(said))


def _whole(low: int, high: int, what: str) -> Read:
    def read(said: str, _: Catalog) -> int:
        digits = said.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and low <= int(said) <= high):
            raise ValueError(f"not {what or f'a whole number from {low} to {high}'}")
        return int(said)

    return read


def _ascending(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values))


def _length(said: str) -> int:
    return len(quote(said, errors="replace"))
