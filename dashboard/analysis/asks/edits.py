"""Edits of the residual stream: along which direction, how, how much and where."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dashboard.analysis.errors import BadAsk, BadName
from dashboard.analysis.names import LatentId, Site
from dashboard.analysis.tokens import TokenSpan

MAX_AMOUNT = 1e9
"""Largest amount of an edit, up or down."""
_LENGTHS = (1e-15, 1e15)
"""Shortest and longest vector: float32 holds the squares of both."""


def print_amount(amount: float) -> str:
    """A number in as few digits as read back to the same number."""
    short = f"{amount:g}"
    return short if float(short) == amount else repr(float(amount))


class Op(StrEnum):
    """What an intervention does along its direction; the arithmetic is in `model/edits.py`.

    The strength of a direction is a latent's activation, or for a vector v the coefficient x.v / |v|^2. Every operation
    adds a multiple of the direction to the residual stream, so whatever the SAE does not explain stays as it is.
    """

    ADD = "add"
    """Add `amount` times the direction."""
    CLAMP = "clamp"
    """Bring the strength to `amount`."""
    CAP = "cap"
    """Bring a strength above `amount` down to it."""
    SCALE = "scale"
    """Multiply the strength by `amount`, a plain factor."""
    ABLATE = "ablate"
    """Bring the strength to 0; `amount` is not used."""
    PROJECT_OUT = "project_out"
    """Take out everything along the direction, whatever the latent's activation: x - (x.d / |d|^2) d; `amount` is not used."""

    @property
    def takes_unit(self) -> bool:
        """True where `amount` is a strength and so has a unit."""
        return self in (Op.ADD, Op.CLAMP, Op.CAP)


class Unit(StrEnum):
    """What an amount of 1 is."""

    RAW = "raw"
    """The direction itself: a decoder row, a vector."""
    MAX = "max"
    """The largest activation of the latent that the index has seen."""
    NORM = "norm"
    """As much as makes |amount * direction| the mean norm of the residual stream at the site."""


VECTOR = "vector/"
"""What the name of a direction that is not a latent begins with in an edit."""


class Where(StrEnum):
    """Which tokens are edited."""

    PROMPT = "prompt"
    GENERATED = "generated"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True)
class NamedVector:
    """A direction that is not a latent: uploaded, or put together from several."""

    name: str
    site: Site
    values: tuple[float, ...]
    """One a dimension of the residual stream."""

    def __post_init__(self) -> None:
        if not self.values or not any(self.values) or not all(math.isfinite(value) for value in self.values):
            raise BadAsk(f"The vector {self.name} must have finite numbers, and not zeros alone.")
        length = math.hypot(*self.values)
        if not _LENGTHS[0] <= length <= _LENGTHS[1]:
            raise BadAsk(f"The vector {self.name} is {length:.3g} long; {_LENGTHS[0]:g} to {_LENGTHS[1]:g} can be used. Scale it.")

    def __str__(self) -> str:
        return f"{VECTOR}{self.name}"


Direction = LatentId | NamedVector


@dataclass(frozen=True)
class Intervention:
    """One edit of the residual stream along one direction, at the site of its SAE or vector."""

    direction: Direction
    op: Op
    amount: float = 0.0
    """In `unit`s of the direction's strength; a factor for SCALE."""
    unit: Unit = Unit.RAW
    where: Where | TokenSpan = Where.EVERYWHERE
    """Special tokens of the prompt are edited like all others."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.amount):
            raise BadAsk(f"The amount of {self.direction} is {self.amount}; it must be a finite number.")
        if abs(self.amount) > MAX_AMOUNT:
            raise BadAsk(f"The amount of {self.direction} is {self.amount:g}; it must be between -{MAX_AMOUNT:g} and {MAX_AMOUNT:g}.")
        if self.unit is Unit.MAX and isinstance(self.direction, NamedVector):
            raise BadAsk(f"{self.direction} is not a latent and has no largest activation: use the unit raw or norm.")

    def __str__(self) -> str:
        return f"{self.direction}:{self.op.value}:{print_amount(self.amount)}:{self.unit.value}"

    @classmethod
    def parse(
        cls, text: str, where: "Where | TokenSpan" = Where.EVERYWHERE, vectors: Mapping[str, NamedVector] | None = None
    ) -> "Intervention":
        """Read `LATENT:OP:AMOUNT:UNIT`, or `vector/NAME:OP:AMOUNT:UNIT` with NAME in `vectors`.

        The unit may be left out (raw), and so may the amount of an operation that takes none.

        Raises:
            BadName: if it is of another form.
            BadAsk: if the vector is not there.
        """
        name, *rest = text.split(":")
        op, amount, unit, *more = (*rest, *[""] * (3 - len(rest)))
        form = f"LATENT:OP:AMOUNT:UNIT, OP one of {', '.join(Op)}, UNIT one of {', '.join(Unit)}"
        if more or op not in {*Op} or unit not in {*Unit, ""} or (not amount and Op(op) not in (Op.ABLATE, Op.PROJECT_OUT)):
            raise BadName("an edit", text, form)
        try:
            number = float(amount or 0.0)
        except ValueError as error:
            raise BadName("an edit", text, form) from error
        direction: Direction
        if name.startswith(VECTOR):
            known = vectors or {}
            if name.removeprefix(VECTOR) not in known:
                raise BadAsk(f"There is no {name} here. Available vectors: {', '.join(known) or 'none'}.")
            direction = known[name.removeprefix(VECTOR)]
        else:
            direction = LatentId.parse(name)
        return cls(direction, Op(op), number, Unit(unit or Unit.RAW), where)


def parse_where(text: str) -> Where | TokenSpan:
    """Read `prompt`, `generated`, `everywhere`, a span `7:12`, or `7:` for everything from token 7 on.

    Raises:
        BadName: if it is of another form.
    """
    if text in {*Where}:
        return Where(text)
    match = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})?", text)
    if match is None or (match[2] and int(match[2]) <= int(match[1])):
        raise BadName("a part of the text", text, f"{', '.join(Where)}, START: or START:END with END above START")
    return TokenSpan(int(match[1]), int(match[2]) if match[2] else None)


def print_where(where: Where | TokenSpan) -> str:
    """What `parse_where` reads."""
    return where.value if isinstance(where, Where) else f"{where.start}:{'' if where.end is None else where.end}"
