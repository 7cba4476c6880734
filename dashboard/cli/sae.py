"""Commands on dictionaries: `sae list`, `sae find`, `sae get`, `sae train`, `sae pack`, `sae eval`."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dashboard.analysis.errors import BadAsk, BrokenSaeFile
from dashboard.analysis.settings import ASSETS, get_settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.study import Made
from dashboard.cli.output import Json, emit, figure, paper, progress, say, screen
from dashboard.cli.runner import open_default_runner
from dashboard.cli.studies import StudyGroup, study_command


class _Group(StudyGroup):
    """`eval` and `absorption` also write what they have measured into the records, if they are asked to."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make a command."""
        after = {"eval": _keep_evaluation, "absorption": _keep_absorption}.get(cmd_name)
        return super().get_command(ctx, cmd_name) if after is None else study_command(self.entries(ctx)[cmd_name].study(), cmd_name, after)


app = typer.Typer(cls=_Group, no_args_is_help=True, help="Dictionaries: list, find, get, train, pack, evaluate.")

Text = Annotated[
    list[str], typer.Option("--text", help="FILE (.txt, .md, .jsonl), FOLDER of them, or hf:DATASET. May be given more than once.")
]
DialoguesAsChat = Annotated[bool, typer.Option(help='Put documents of "User:" and "Assistant:" turns through the chat template.')]


@app.command("list")
def sae_list(as_json: Json = False) -> None:
    """Every SAE with its measured figures. A figure that has not been measured is unknown (null)."""
    from dashboard.analysis.sae.catalog import read_catalog
    from dashboard.analysis.sae.loading import sae_folder

    settings = get_settings()
    catalog = read_catalog(settings)
    rows, refused = [], list(catalog.broken.values())
    for spec in catalog.specs:
        try:
            folder = sae_folder(spec, settings.cache)
        except BrokenSaeFile as error:
            refused.append(error)
            continue
        row = {
            "name": str(spec.id),
            "site": str(spec.site),
            "d_in": spec.d_in,
            "n_latents": spec.n_latents,
            "kind": spec.kind,
            **{key: spec.measured(key) for key in ("l0", "fvu", "ce_recovered")},
            "path": str(folder),
        }
        rows.append(row)
    for error in refused:
        say(str(error))
    if as_json:
        emit(rows)
        return
    table = Table("name", "site", "d_in", "latents", "kind", "L0", "FVU", "CE recovered", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(figure(row[key]) for key in list(row)[:-1]))
    paper.print(table)


@app.command("find")
def sae_find(
    query: Annotated[list[str], typer.Argument(help="Words that must all occur in release, id, model or Neuronpedia id.")],
    limit: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 50,
    as_json: Json = False,
) -> None:
    """Search sae-lens' directory of public SAEs. What it does not say is unknown (null)."""
    from dashboard.analysis.sae.public.directory import find

    hits = find(" ".join(query))
    say(f"{len(hits):,} SAEs" + (f"; the first {limit} are shown" if len(hits) > limit else ""))
    if as_json:
        emit([{"name": one.name, **asdict(one)} for one in hits[:limit]])
        return
    table = Table("name", "model", "site", "latents", "L0", "Neuronpedia", "", box=None, pad_edge=False)
    for one in hits[:limit]:
        row = (one.site, one.n_latents, one.l0, one.neuronpedia_id)
        table.add_row(one.name, one.model, *map(figure, row), "" if one.refused is None else f"cannot be used: {one.refused}")
    paper.print(table)


@app.command("get")
def sae_get(
    name: Annotated[list[str], typer.Argument(help="RELEASE/ID as `sae find` shows it, or OWNER/REPO/ID in sae-lens' layout.")],
    everything: Annotated[bool, typer.Option("--all", help="Every SAE of a RELEASE; the total size is printed first.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch SAEs; afterwards they work offline. A RELEASE alone lists its ids and their sizes."""
    from dashboard.analysis.sae.catalog import fetched_folder
    from dashboard.analysis.sae.public.fetching import get_sae

    cache = get_settings().cache
    wanted = [one for given in name for one in _ids(given, everything)]
    got = [get_sae(one, cache, say) for one in wanted]
    if as_json:
        emit([{"name": str(sae), "path": str(fetched_folder(sae, cache))} for sae in got])
    else:
        paper.print(*map(str, got), sep="\n", soft_wrap=True)


def _ids(name: str, everything: bool) -> list[str]:
    """The name itself; of a whole release all that can be used, once their bytes are known and there is room."""
    from dashboard.analysis.sae.public.directory import entries
    from dashboard.analysis.sae.public.sizes import sizes_of

    own = [one for one in entries() if one.release == name.strip("/")]
    if not own:
        return [name]
    usable = [one for one in own if one.refused is None]
    if not usable:
        raise BadAsk(f"{name} has 0 SAEs that can be used here, of {len(own):,}: {own[0].refused}.")
    sizes = sizes_of(usable)
    known = [size for size in sizes.values() if size is not None]
    total = f"{sum(known) / 2**20:,.0f} MiB" + (f" and {len(usable) - len(known)} of unknown size" if len(known) < len(usable) else "")
    if not everything:
        table = Table("id", "site", "latents", "L0", "MiB", box=None, pad_edge=False)
        for one in usable:
            size = sizes[one.name]
            shown = None if size is None else round(size / 2**20)
            table.add_row(one.id, *map(figure, (one.site, one.n_latents, one.l0, shown)))
        screen.print(table)
        raise BadAsk(f"{name} is a release of {len(usable):,} SAEs, {total}. Name one: {usable[0].name}, or take them all: --all.")
    free = shutil.disk_usage(get_settings().cache).free
    say(f"{len(usable):,} SAEs, {total}, as float32 up to twice as much; the disk has {free / 2**20:,.0f} MiB free")
    if 2 * sum(known) > free:
        raise BadAsk(
            f"{name} needs up to {2 * sum(known) / 2**20:,.0f} MiB; {free / 2**20:,.0f} MiB are free. Name some of its SAEs instead."
        )
    return [one.name for one in usable]


@app.command("train")
def sae_train(
    text: Text,
    name: Annotated[str, typer.Option(help="Name of the run; the same command resumes it.")],
    site: Annotated[list[str], typer.Option(help="LAYER.POINT, for example 15.resid_post. One SAE a site; may be given more than once.")],
    tokens: Annotated[int, typer.Option(min=1000, help="Tokens that each SAE is trained on.")] = 1_000_000,
    latents: Annotated[int, typer.Option(min=2)] = 2048,
    k: Annotated[int, typer.Option(min=1, help="Mean number of active latents per token.")] = 32,
    matryoshka: Annotated[str, typer.Option(help="Nested widths, for example 128,512,2048. Empty: plain BatchTopK.")] = "",
    matryoshka_at: Annotated[
        list[str] | None, typer.Option(help="Point that gets the nested widths, for example resid_post. Default: every site.")
    ] = None,
    dialogues_as_chat: DialoguesAsChat = False,
    learning_rate: Annotated[float, typer.Option(min=0)] = 2e-3,
    batch: Annotated[int, typer.Option(min=8, help="Tokens per training step.")] = 1024,
    autocast: Annotated[
        bool | None, typer.Option(help="Matrix products of the SAEs in bfloat16. Default: if the model runs in bfloat16.")
    ] = None,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/NAME in the cache.")] = None,
    as_json: Json = False,
) -> None:
    """Train dictionaries on text, all sites in one pass of the model. If interrupted, run it again to resume."""
    import torch

    from dashboard.analysis.sae.train.training import TrainAsk, train

    model = open_default_runner().model
    ask = TrainAsk(
        model=str(model.id),
        sites=tuple(site),
        text=tuple(text),
        n_tokens=tokens,
        n_latents=latents,
        k=k,
        matryoshka_widths=_widths(matryoshka),
        matryoshka_points=tuple(matryoshka_at or ()),
        dialogues_as_chat=dialogues_as_chat,
        batch=batch,
        learning_rate=learning_rate,
        autocast=model.dtype == torch.bfloat16 if autocast is None else autocast,
        seed=seed,
    )
    run = out or get_settings().cache / "runs" / name
    screen.print(f"Run {run}", markup=False)
    with progress("training") as show:
        folders = train(
            ask,
            run,
            model,
            lambda m: show((m.chunk + 1) / m.n_chunks, f"{m.site} fvu {m.fvu:.3f} dead {m.dead_share:.1%} {m.tokens_per_s:,.0f} tokens/s"),
        )
    if as_json:
        emit({"run": str(run), "saes": [str(folder) for folder in folders]})
    else:
        paper.print(*folders, sep="\n", soft_wrap=True)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if width)
    except ValueError as error:
        raise BadAsk(f"--matryoshka {text!r} is not a list of whole numbers. Write for example 128,512,2048.") from error


@app.command("pack")
def sae_pack(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    release: Annotated[str, typer.Option(help="Name of the release that its SAEs belong to.")],
    into: Annotated[Path, typer.Option(help="Folder of releases.")] = ASSETS / "saes",
    as_json: Json = False,
) -> None:
    """Store the SAEs of a run with 8 bits a weight, ready to ship. Evaluate them afterwards."""
    from dashboard.analysis.sae.release import pack_run

    if "/" in release or release in ("", ".", ".."):
        raise BadAsk(f"{release!r} is not a valid release name: use letters, digits, dots and dashes.")
    written = pack_run(run_folder, into / release)
    if as_json:
        emit({"written": [str(path) for path in written]})
    else:
        paper.print(*written, sep="\n", soft_wrap=True)


def _keep_evaluation(bench: Bench, made: Made[Any, Any]) -> None:
    from dashboard.analysis.sae.release import write_evaluation

    if made.ask.write:
        for name, one in made.result.of_sae.items():
            write_evaluation(bench.catalog.get(name), one)


def _keep_absorption(bench: Bench, made: Made[Any, Any]) -> None:
    from dashboard.analysis.sae.release import write_figures

    if made.ask.write:
        for name, one in made.result.of_sae.items():
            write_figures(bench.catalog.get(name), absorption=asdict(one))
