"""Commands on studies: `study entities`, which makes one, and `study list`."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dashboard.analysis.errors import BadAsk, UnknownSae
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, figure, paper, progress, say, screen
from dashboard.cli.runner import open_default_runner

app = typer.Typer(no_args_is_help=True, help="Studies of many entities: entities, list.")
_TYPES = "player,movie,city,song,country,animal"


@app.command("entities")
def study_entities(
    types: Annotated[str, typer.Option(help="Types of entities, with commas; `latents entities list` shows all.")] = _TYPES,
    sae: Annotated[
        list[str] | None, typer.Option(help="RELEASE/NAME, * and ? allowed; may be repeated. Default: those of the residual stream.")
    ] = None,
    labels: Annotated[str, typer.Option(help="How entities come to be known or unknown: file, answers or choices.")] = "file",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables, the record and the report.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="A first look, under a minute on two cores: 60 entities of each type.")
    ] = False,
    chat: Annotated[bool, typer.Option("--chat", help="Put the questions as chat messages.")] = False,
    samples: Annotated[int, typer.Option(min=1, max=64, help="By answers: samples of each question.")] = 10,
    right: Annotated[int, typer.Option(min=1, help="By answers: right samples from which an attribute counts.")] = 3,
    known_at: Annotated[int, typer.Option(min=1, help="Attributes that must count for an entity to be known.")] = 2,
    template: Annotated[str, typer.Option(help="Text in which names are read, with {type} and {name}; default: each type's own.")] = "",
    most: Annotated[int | None, typer.Option(min=4, help="Most entities of each type.")] = None,
    shuffles: Annotated[int | None, typer.Option(min=1, help="Shuffles of the labels.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    causality: Annotated[bool, typer.Option("--causality", help="Also steer with the best latents.")] = False,
    amount: Annotated[
        float | None,
        typer.Option(help="With --causality: multiples of the mean residual norm that are added; default: tuned on validation."),
    ] = None,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Also look for latents that fire before wrong answers.")] = False,
    as_json: Json = False,
) -> None:
    """Which latents tell entities that the model knows from those it does not? Killed and started again, it goes on."""
    from dashboard.analysis.entities.checking import left_out_note
    from dashboard.analysis.entities.kinds import find_kinds
    from dashboard.analysis.entities.tables import read_table
    from dashboard.analysis.methods.known import study
    from dashboard.analysis.methods.known.results import settings_of
    from dashboard.analysis.methods.known.statistics.labels import KnowledgeRule, LabelWay
    from dashboard.analysis.studies.store import ResultStore
    from dashboard.analysis.text.corpora import default_corpus

    if labels not in {*LabelWay}:
        raise BadAsk(f"--labels {labels} is not known: it is one of {', '.join(LabelWay)}.")
    settings = get_settings()
    kinds = find_kinds(settings)
    tables = [read_table(kinds.get(name.strip())) for name in types.split(",")]
    for table in tables:
        if note := left_out_note(table):
            say(f"{table.kind.name}: {note}")
    given: dict[str, Any] = {"most_entities": most, "n_shuffles": shuffles}
    own = settings_of(
        preview, way=LabelWay(labels), rule=KnowledgeRule(samples, right, known_at), chat=chat, template=template, seed=seed,
        **{name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    runner = open_default_runner()
    standard = study.preview_saes if preview else study.residual_saes
    saes = _saes([spec.id for spec in runner.catalog.specs], sae) if sae else standard(runner.catalog)
    corpus = default_corpus(settings, say)
    ask = study.make_ask(tables, saes, own, corpus)
    store = ResultStore(settings.cache / "results")
    found = _made("study", study.run_study(runner, ask, tables, store, runner.catalog, corpus)).study
    if causality:
        from dashboard.analysis.methods.known.effects import CAUSALITY_PREVIEW, CausalitySettings

        base = CAUSALITY_PREVIEW if preview else CausalitySettings()
        _made("causality", study.run_causality(runner, store, found, base.with_amount(amount, seed), runner.catalog))
    if uncertainty:
        from dashboard.analysis.methods.known.effects import UncertaintySettings

        base_ = UncertaintySettings(n_questions=60 if preview else 300, seed=seed)
        _made("uncertainty", study.run_uncertainty(runner, store, found, base_, runner.catalog))
    written = _written(store, found, out) if out is not None else []
    answer = study.summary(store, found)
    if as_json:
        emit({**answer, "files": [str(file) for file in written]})
        return
    _show(answer)
    if out is not None:
        screen.print(f"{len(written)} files in {out}", markup=False)


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


def _saes(known: list[Any], patterns: list[str]) -> list[Any]:
    """SAEs whose names match a pattern, in the order of the catalogue."""
    names = [str(sae) for sae in known]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UnknownSae(pattern, names[:3])
    return [sae for sae, name in zip(known, names, strict=True) if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def _written(store: Any, found: Any, out: Path) -> list[Path]:
    """The tables, the record and the report."""
    from dashboard.analysis.methods.known import study
    from dashboard.ui.known.report import report

    files = study.write_study(store, found, out)
    parts = study.find_causality(store, found.key), study.find_uncertainty(store, found.key)
    page = out / "report.html"
    page.write_text(report(found, lambda latent: study.activations(store, found, (latent,))[0], *parts), "utf-8")
    return [*files, page]


def _made(what: str, steps: Iterator[Any]) -> Any:
    """The last item of something that tells how far it is."""
    from dashboard.analysis.methods.known.results import TOTAL

    last: Any = None
    with progress(what) as show:
        for last in steps:
            show(last.done / TOTAL, last.words)
    return last


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
