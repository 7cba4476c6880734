"""A command of typer from the options of an ask."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboard.analysis.asks.edits import Intervention
from dashboard.analysis.studies.option import Many, Parameter, of_words, parameters
from dashboard.cli.output import Json
from dashboard.cli.runner import Dtype

_OWN = (int, float, bool, str, Path)
"""What typer reads itself; everything else it gives as text."""
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the tables, the record and the report.")]
DtypeOption = Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        help="Edits that a recipe makes, for example 'flow-path smollm2-135m/19.resid_post/615 --strength 1': its name and the words of "
        "its command in one pair of quotes; may be given more than once. `latents recipe` lists them.",
    ),
]


@dataclass(frozen=True)
class Around:
    """What every command takes beside its ask."""

    out: Path | None = None
    as_json: bool = False
    dtype: Dtype | None = None
    recipe: list[str] | None = None
    """Only of asks that hold edits."""


def edits_of(ask: type[Any]) -> Parameter | None:
    """The option of an ask that holds edits; None if it has none."""
    return next((one for one in parameters(ask) if one.several and one.kind is Intervention), None)


def command_of(ask: type[Any], about: str, run: Callable[[Any, Around], None]) -> Callable[..., None]:
    """A function for `typer.Typer.command`: it reads an ask and gives it to `run`, with what every command takes."""
    around: dict[str, tuple[Any, Any]] = {"recipe": (None, RecipeOption)} if edits_of(ask) else {}
    around |= {"dtype": (None, DtypeOption), "out": (None, Out), "as_json": (False, Json)}
    signature = [_parameter(one) for one in parameters(ask)]
    signature += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (default, annotation) in around.items()
    ]

    def command(**given: Any) -> None:
        own = Around(**{name: given.pop(name) for name in around})
        run(of_words(ask, given), own)

    command.__doc__ = about
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in signature}
    return command


def _parameter(one: Parameter) -> inspect.Parameter:
    kind, default = _kind(one), _default(one)
    if one.option.argument:
        required = not one.option.argument.startswith("[")
        note: Any = typer.Argument(help=one.option.help, metavar=one.option.argument)
        default = inspect.Parameter.empty if required else default
    else:
        numeric = one.kind in (int, float) and not one.several
        low, high = (one.option.low, one.option.high) if numeric else (None, None)
        note = typer.Option(*_flags(one), help=one.option.help, min=low, max=high)
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, note])


def _kind(one: Parameter) -> Any:
    if one.several:
        if one.option.argument:
            return list[str]
        many: Any = {Many.REPEATED: list[str], Many.LINES: Path, Many.COMMAS: str}[one.option.many]
        return many | None
    own = one.kind if one.kind in _OWN else str
    return own | None if one.default is None else own


def _default(one: Parameter) -> Any:
    """As typer takes it; None for a tuple that is empty unless it is given."""
    if one.several:
        return one.show_all(one.default) or None
    return one.default if one.kind in _OWN or one.default is None else one.show(one.default)


def _flags(one: Parameter) -> tuple[str, ...]:
    """A switch that is off has no word for no."""
    if one.kind is bool and one.default:
        return tuple(f"{flag}/{flag.replace('--', '--no-', 1)}" for flag in one.flags)
    return one.flags
