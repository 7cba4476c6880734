"""Commands on studies of entities: `study entities`, its parts `study causality` and `study uncertainty`, and `study list`."""

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from dashboard.analysis.settings import get_settings
from dashboard.cli.options import Around, command_of
from dashboard.cli.output import Json, emit, figure, paper, say, screen
from dashboard.cli.studies import StudyGroup, make, open_bench


class _Group(StudyGroup):
    """`entities` also makes the parts of its study that are asked for."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make a command."""
        return _entities_command() if cmd_name == "entities" else super().get_command(ctx, cmd_name)


app = typer.Typer(cls=_Group, no_args_is_help=True, help="Studies of many entities: entities, causality, uncertainty, list.")


def _entities_command() -> Any:
    from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesCommand

    own = typer.Typer(add_completion=False)
    own.command("entities")(command_of(EntitiesCommand, STUDY.about, _entities))
    return typer.main.get_command(own)


def _entities(ask: Any, around: Around) -> None:
    from dashboard.analysis.entities.checking import left_out_note
    from dashboard.analysis.entities.kinds import find_kinds
    from dashboard.analysis.entities.tables import read_table
    from dashboard.analysis.methods.known import study_causality, study_uncertainty
    from dashboard.analysis.methods.known.effects import CAUSALITY_PREVIEW, CausalitySettings, UncertaintySettings
    from dashboard.analysis.methods.known.study import summary
    from dashboard.analysis.methods.known.study_entities import STUDY, study_of

    kinds = find_kinds(get_settings())
    for table in [read_table(kinds.get(name)) for name in ask.types]:
        if note := left_out_note(table):
            say(f"{table.kind.name}: {note}")
    bench = open_bench(around.dtype.value if around.dtype else None)
    found = study_of(make(STUDY, bench, ask))
    if ask.causality:
        settings = (CAUSALITY_PREVIEW if ask.preview else CausalitySettings()).with_amount(ask.amount, ask.seed)
        make(study_causality.STUDY, bench, study_causality.ask_of(found.key, settings))
    if ask.uncertainty:
        settings = UncertaintySettings(n_questions=60 if ask.preview else 300, seed=ask.seed)
        make(study_uncertainty.STUDY, bench, study_uncertainty.ask_of(found.key, settings))
    written = _written(bench.store, found, around.out) if around.out is not None else []
    answer = summary(bench.store, found)
    if around.as_json:
        emit({**answer, "files": [str(file) for file in written]})
        return
    _show(answer)
    if around.out is not None:
        screen.print(f"{len(written)} files in {around.out}", markup=False)


@app.command("list")
def study_list(as_json: Json = False) -> None:
    """Studies that are kept on this machine, newest first."""
    from dashboard.analysis.methods.known.study import list_studies
    from dashboard.analysis.studies.store import ResultStore

    rows = [
        {
            "key": head.key,
            "created": head.created,
            "types": [one.name for one in head.ask.types],
            "n_entities": head.n_entities,
            "labels": head.ask.settings.way.value,
            "saes": [str(sae) for sae in head.ask.saes],
            "model": head.model,
            "seconds": head.seconds,
        }
        for head in list_studies(ResultStore(get_settings().cache / "results"))
    ]
    if as_json:
        emit(rows)
        return
    table = Table("key", "created", "types", "entities", "labels", "SAEs", "s", box=None, pad_edge=False)
    for row in rows:
        cells = (", ".join(row["types"]), str(row["n_entities"]), row["labels"], str(len(row["saes"])), figure(row["seconds"]))
        table.add_row(row["key"], row["created"], *cells)
    paper.print(table)


def _written(store: Any, found: Any, out: Path) -> list[Path]:
    """The tables, the record and the report."""
    from dashboard.analysis.methods.known import study
    from dashboard.ui.known.report import report

    files = study.write_study(store, found, out)
    parts = study.find_causality(store, found.key), study.find_uncertainty(store, found.key)
    page = out / "report.html"
    page.write_text(report(found, lambda latent: study.activations(store, found, (latent,))[0], *parts), "utf-8")
    return [*files, page]


def _show(answer: dict[str, Any]) -> None:
    for one in answer["types"]:
        paper.print(f"{one['title']}: {one['n_known']} known, {one['n_unknown']} unknown, {one['n_aside']} set aside")
    for side in ("known", "unknown"):
        table = Table(f"{side} latent", "train", "test", "q", *answer["kinds"], "random tokens", box=None, pad_edge=False)
        for one in answer[side]:
            by_type = {pair["type"]: f"{pair['known']} / {pair['unknown']}" for pair in one["pairs"]}
            noise = one["random_tokens"]
            cells = [by_type.get(kind, "") for kind in answer["kinds"]]
            table.add_row(one["latent"], figure(one["train"]), figure(one["test"]), figure(one["q"]), *cells, noise)
        paper.print(table)
    for one in answer["nulls"]:
        by_chance = f"5 % of shuffles above {one['threshold']:.3f}, p {one['p']:.3g}"
        paper.print(f"best {one['side']} separation, {one['type'] or 'all types'}: {one['observed']:.3f} ({by_chance})")
    for line in answer["notes"]:
        paper.print(line, soft_wrap=True)
    for one in answer["rates"]:
        of = f"{one['type']} ({one['label']}), {one['condition']}"
        paper.print(f"{of}: refused {one['refused']}, hallucinated {one['hallucinated']}", soft_wrap=True)
    paper.print(f"key {answer['key']}")
