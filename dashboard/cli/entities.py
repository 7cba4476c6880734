"""Commands on types of entities: `entities list`, `entities check`, `entities build`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dashboard.analysis.entities.checking import TableCheck, check_table
from dashboard.analysis.entities.kinds import find_kinds, read_kind
from dashboard.analysis.entities.tables import read_entities, read_table
from dashboard.analysis.errors import BadAsk, BrokenEntityFile
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, paper, progress, say, screen

app = typer.Typer(no_args_is_help=True, help="Entities by type: list, check a file, build one from Wikidata.")


@app.command("list")
def entities_list(as_json: Json = False) -> None:
    """Every type: its attributes, and how many entities its table has."""
    found = find_kinds(get_settings())
    rows, refused = [], list(found.broken)
    for kind in found.kinds.values():
        try:
            check = check_table(read_table(kind))
        except BrokenEntityFile as error:
            refused.append(error)
            continue
        attributes = [one.name for one in kind.attributes]
        counts = {"entities": check.n_entities, "testable": check.n_testable, "familiarity": dict(check.by_familiarity)}
        rows.append({"type": kind.name, "title": kind.title, **counts, "attributes": attributes, "file": str(kind.file)})
    for error in refused:
        say(str(error))
    if as_json:
        emit(rows)
        return
    table = Table("type", "entities", "testable", "familiarity", "attributes", box=None, pad_edge=False)
    for row in rows:
        familiarity = ", ".join(f"{n} {name}" for name, n in row["familiarity"].items())
        table.add_row(row["type"], str(row["entities"]), str(row["testable"]), familiarity, ", ".join(row["attributes"]))
    paper.print(table)


@app.command("check")
def entities_check(
    file: Annotated[Path, typer.Argument(help="TYPE.toml or TYPE.csv of a type of yours, or a CSV of any name with --type.")],
    kind: Annotated[str | None, typer.Option("--type", help="An installed type; default: the TOML file beside the CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Read a file of entities and report what a study would have problems with. A file that cannot be used exits with status 2."""
    beside = file.with_suffix(".toml")
    if kind is not None:
        of = find_kinds(get_settings()).get(kind)
    elif beside.is_file() or file.suffix == ".toml":
        of = read_kind(beside)
    else:
        raise BadAsk(f"{file.name} has no {beside.name} beside it. Write one, or name the type it is of: --type TYPE.")
    check = check_table(read_entities(of, file if file.suffix != ".toml" else of.table))
    if as_json:
        emit({"type": of.name, **asdict(check)})
        return
    _show(of.name, check)


def _show(kind: str, check: TableCheck) -> None:
    familiarity = ", ".join(f"{n:,} {name}" for name, n in check.by_familiarity.items())
    paper.print(f"{kind}: {check.n_entities:,} entities ({familiarity}); {check.n_testable:,} can be tested on two attributes or more")
    table = Table("attribute", "matcher", "answers", "values", "given away", box=None, pad_edge=False)
    for one in check.attributes:
        table.add_row(one.name, one.matcher, f"{one.n_answers:,}", f"{one.n_values:,}", f"{len(one.given_away):,}")
    paper.print(table)
    for note in check.notes:
        paper.print(note, soft_wrap=True)


@app.command("build")
def entities_build(
    kind: Annotated[str, typer.Argument(help="A type whose TOML file has a query.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows to ask for; fewer are kept.")] = 2000,
    out: Annotated[Path, typer.Option(help="Folder to write TYPE.csv and TYPE.toml into.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Name of the new type; default: TYPE-wikidata.")] = None,
    as_json: Json = False,
) -> None:
    """Ask Wikidata for entities of a type. If interrupted, run it again to fetch the missing pages."""
    from dashboard.analysis.entities.wikidata import build_type

    settings = get_settings()
    of = find_kinds(settings).get(kind)
    with progress("asking") as show:
        built = build_type(of, rows, out, name or f"{of.name}-wikidata", settings, show)
    if as_json:
        emit({**asdict(built), "file": str(built.file)})
        return
    screen.print(f"Check it: latents entities check {built.file}; use it: LATENTS_ENTITY_FOLDERS={built.file.parent}", markup=False)
    paper.print(
        f"{built.file}: {built.n_kept:,} of {built.n_rows:,} rows. Dropped: {built.n_repeated:,} with a duplicate name, "
        f"{built.n_missing:,} without an attribute, {built.n_unnamed:,} without a name. {built.n_asked:,} pages asked, "
        f"{built.n_cached:,} were already fetched.",
        soft_wrap=True,
    )
