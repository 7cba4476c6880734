"""A command of typer from the options of an ask."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboard.analysis.studies.option import Many, Parameter, of_words, parameters
from dashboard.cli.output import Json

_OWN = (int, float, bool, str, Path)
"""What typer reads itself; everything else it gives as text."""
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the tables, the record and the report.")]


def command_of(ask: type[Any], about: str, run: Callable[[Any, bool, Path | None], None]) -> Callable[..., None]:
    """A function for `typer.Typer.command`: it reads an ask and gives it to `run`, with `--json` and `--out`."""
    signature = [_parameter(one) for one in parameters(ask)]
    signature += [
        inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Out),
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    ]

    def command(**given: Any) -> None:
        as_json, out = given.pop("as_json"), given.pop("out")
        run(of_words(ask, given), as_json, out)

    command.__doc__ = about
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in signature}
    return command


def _parameter(one: Parameter) -> inspect.Parameter:
    kind, default = _kind(one), _default(one)
    if one.option.argument:
        required = one.several and not one.default
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
