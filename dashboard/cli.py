"""The `latents` command. With --json every command prints JSON and nothing else on standard output."""

import json
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text as Escaped

from dashboard.analysis.errors import AnalysisError, BadAsk, BrokenSaeFile
from dashboard.analysis.settings import ASSETS, get_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="See what the latents of sparse autoencoders do in a language model.")
sae_app = typer.Typer(no_args_is_help=True, help="Dictionaries: list, train, pack, evaluate.")
model_app = typer.Typer(no_args_is_help=True, help="The language model.")
app.add_typer(sae_app, name="sae")
app.add_typer(model_app, name="model")

screen = Console(stderr=True, highlight=False)
paper = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
Text = Annotated[
    list[str], typer.Option("--text", help="FILE (.txt, .md, .jsonl), FOLDER of them, or hf:DATASET. May be given more than once.")
]


class Dtype(StrEnum):
    """Number formats that the model can run in."""

    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


def main() -> None:
    """Run the command line; an AnalysisError is one message and exit status 2."""
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except AnalysisError as error:
        screen.print(str(error), style="red", markup=False)
        sys.exit(2)


def _emit(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error; call it with the share that is done and a few words."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, TextColumn("{task.fields[words]}"), console=screen) as bar:
        task = bar.add_task(what, total=1.0, words="")
        yield lambda share, words="": bar.update(task, completed=share, words=words)


def _say(line: str) -> None:
    screen.print(line, markup=False, soft_wrap=True)


def _runner(dtype: str | None = None, folder: Path | None = None) -> Any:
    """A LocalRunner on the default model; `folder` is one more SAE that it knows."""
    from dashboard.analysis.installation import open_runner
    from dashboard.analysis.sae.catalog import Catalog, folder_spec, read_catalog

    settings = get_settings()
    if dtype is not None:
        settings = settings.model_copy(update={"dtype": dtype})
    catalog = read_catalog(settings)
    if folder is not None:
        own = folder_spec(folder)
        catalog = Catalog((own, *(spec for spec in catalog.specs if spec.id != own.id)), catalog.broken)
    return open_runner(settings, _say, catalog)


@app.command()
def run(
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8501,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = False,
) -> None:
    """Prepare the model if need be, then serve the dashboard on this machine."""
    from dashboard.analysis.model.prepare import prepare_default_model

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadAsk(
                f"Port {port} cannot be used: {error.strerror}. Stop what listens there, or choose another: PORT={port + 1}."
            ) from error
    prepare_default_model(get_settings().cache, _say)
    url = f"http://127.0.0.1:{port}"
    _say(f"The dashboard is on {url}  (Ctrl+C stops it)")
    if browser:
        webbrowser.open(url)
    # The configuration lies in .streamlit of the repository, which Streamlit looks for in the working folder.
    script = Path(__file__).with_name("app.py")
    os.chdir(script.parents[1])
    from streamlit.web import cli as streamlit_cli

    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    flags = ["--server.port", str(port), "--server.address", "127.0.0.1"]
    streamlit_cli.main(["run", str(script), *flags], prog_name="latents run")


def _warm_up() -> None:
    from dashboard.ui.resources import warm_up  # takes seconds: it imports torch

    warm_up()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look whether everything is in place; exit status 1 and the cure if something is missing."""
    from dashboard.analysis.doctor import diagnose

    found = diagnose(get_settings())
    if as_json:
        _emit({"ok": not found.problems, **asdict(found)})
    else:
        for name, value in asdict(found).items():
            if name not in ("problems", "versions"):
                paper.print(f"{name:16} {value}", markup=False, soft_wrap=True)
        for library, version in found.versions.items():
            paper.print(f"{library:16} {version}", markup=False)
        for problem in found.problems:
            paper.print(f"MISSING: {problem.what}\n  -> {problem.cure}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1 if found.problems else 0)


@app.command()
def highlight(
    text: str,
    sae: Annotated[str, typer.Option(help="RELEASE/NAME, or the folder of an SAE in sae-lens' layout.")],
    latent: Annotated[int | None, typer.Option(help="Show this latent instead of the strongest ones.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many latents a token.")] = 5,
    chat: Annotated[bool, typer.Option(help="Put the text through the chat template as a user message.")] = False,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")] = None,
    as_json: Json = False,
) -> None:
    """Which latents fire on each token of TEXT."""
    from dashboard.analysis.methods.highlight import report
    from dashboard.analysis.names import SaeId
    from dashboard.analysis.sae.catalog import folder_id
    from dashboard.analysis.tokens import Prompt

    folder = Path(sae) if (Path(sae) / "cfg.json").is_file() else None
    runner = _runner(dtype.value if dtype else None, folder)
    name = folder_id(folder) if folder else SaeId.parse(sae)
    if latent is not None:
        runner.catalog.get(name).latent(latent)
    answer = report(runner, Prompt(text, chat), name, top, latent)
    if as_json:
        _emit(answer)
        return
    table = Table("token", "latents", box=None, pad_edge=False)
    for token in answer["tokens"]:
        shown = "  ".join(f"{entry['latent']}:{entry['value']:.2f}" for entry in token["latents"])
        table.add_row(Escaped(repr(token["text"])), shown, style="dim" if token["special"] else None)
    paper.print(table)
    figures = (f"{key} {_figure(answer[key])}" for key in ("l0", "fvu", "ce_recovered"))
    paper.print("  ".join(figures))


@model_app.command("prepare")
def model_prepare(as_json: Json = False) -> None:
    """Fetch and convert the default model, if that is not done yet."""
    from dashboard.analysis.model.prepare import prepare_default_model

    path = prepare_default_model(get_settings().cache, _say)
    if as_json:
        _emit({"model_path": str(path)})
    else:
        paper.print(str(path), soft_wrap=True, markup=False)


@sae_app.command("list")
def sae_list(as_json: Json = False) -> None:
    """Every SAE with its measured figures. A figure that nobody measured is not known (null)."""
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
            **{figure: spec.measured(figure) for figure in ("l0", "fvu", "ce_recovered")},
            "path": str(folder),
        }
        rows.append(row)
    for error in refused:
        _say(str(error))
    if as_json:
        _emit(rows)
        return
    table = Table("name", "site", "d_in", "latents", "kind", "L0", "FVU", "CE recovered", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_figure(row[key]) for key in list(row)[:-1]))
    paper.print(table)


@sae_app.command("train")
def sae_train(
    text: Text,
    name: Annotated[str, typer.Option(help="Name of the run; the same command goes on where it was stopped.")],
    site: Annotated[list[str], typer.Option(help="LAYER.POINT, for example 15.resid_post. One SAE a site; may be given more than once.")],
    tokens: Annotated[int, typer.Option(min=1000, help="Tokens that each SAE is trained on.")] = 1_000_000,
    latents: Annotated[int, typer.Option(min=2)] = 2048,
    k: Annotated[int, typer.Option(min=1, help="Mean number of active latents a token.")] = 32,
    matryoshka: Annotated[str, typer.Option(help="Nested widths, for example 128,512,2048. Empty: plain BatchTopK.")] = "",
    matryoshka_at: Annotated[
        list[str] | None, typer.Option(help="Point that gets the nested widths, for example resid_post. Default: every site.")
    ] = None,
    dialogues_as_chat: Annotated[
        bool, typer.Option(help='Put documents of "User:" and "Assistant:" turns through the chat template.')
    ] = False,
    learning_rate: Annotated[float, typer.Option(min=0)] = 2e-3,
    batch: Annotated[int, typer.Option(min=8, help="Tokens a training step.")] = 1024,
    autocast: Annotated[
        bool | None, typer.Option(help="Matrix products of the SAEs in bfloat16. Default: if the model runs in bfloat16.")
    ] = None,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/NAME in the cache.")] = None,
    as_json: Json = False,
) -> None:
    """Train dictionaries on text, all sites in one pass of the model. Killed and started again, it goes on."""
    import torch

    from dashboard.analysis.sae.training import TrainAsk, train

    model = _runner().model
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
    with _progress("training") as show:
        folders = train(
            ask,
            run,
            model,
            lambda m: show((m.chunk + 1) / m.n_chunks, f"{m.site} fvu {m.fvu:.3f} dead {m.dead_share:.1%} {m.tokens_per_s:,.0f} tokens/s"),
        )
    if as_json:
        _emit({"run": str(run), "saes": [str(folder) for folder in folders]})
    else:
        paper.print(*folders, sep="\n", soft_wrap=True)


@sae_app.command("pack")
def sae_pack(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    release: Annotated[str, typer.Option(help="Name of the release that its SAEs belong to.")],
    into: Annotated[Path, typer.Option(help="Folder of releases.")] = ASSETS / "saes",
    as_json: Json = False,
) -> None:
    """Store the SAEs of a run with 8 bits a weight, ready to ship. Evaluate them afterwards."""
    from dashboard.analysis.sae.release import pack_run

    if "/" in release or release in ("", ".", ".."):
        raise BadAsk(f"{release!r} cannot name a release: use letters, digits, dots and dashes.")
    written = pack_run(run_folder, into / release)
    if as_json:
        _emit({"written": [str(path) for path in written]})
    else:
        paper.print(*written, sep="\n", soft_wrap=True)


@sae_app.command("eval")
def sae_eval(
    sae: Annotated[list[str], typer.Argument(help="RELEASE for all its SAEs, or RELEASE/NAME ...")],
    text: Text,
    tokens: Annotated[int, typer.Option(min=256, help="Held-out tokens for L0, FVU and dead share.")] = 300_000,
    loss_tokens: Annotated[int, typer.Option(min=256, help="Of these, how many for CE recovered.")] = 30_000,
    dialogues_as_chat: Annotated[
        bool, typer.Option(help='Put documents of "User:" and "Assistant:" turns through the chat template.')
    ] = False,
    write: Annotated[bool, typer.Option(help="Write the figures into the records.")] = False,
    as_json: Json = False,
) -> None:
    """Measure SAEs on the held-out documents (the last 5 % of each file) of a text."""
    from dashboard.analysis.sae.evaluation import evaluate
    from dashboard.analysis.sae.release import select, write_evaluation

    runner = _runner()
    specs = select(runner.catalog, sae)
    with _progress("measuring") as show:
        measured = evaluate(
            {str(spec.id): (spec.site, runner.sae(spec.id)) for spec in specs},
            text,
            runner.model,
            tokens,
            loss_tokens,
            dialogues_as_chat,
            lambda share: show(share, ""),
        )
    if write:
        for spec in specs:
            write_evaluation(spec, measured[str(spec.id)])
    if as_json:
        _emit({name: asdict(m.evaluation) for name, m in measured.items()})
        return
    table = Table("name", "CE recovered", "FVU", "L0", "dead", "decoder cosine", "tokens", box=None, pad_edge=False)
    for name, m in ((name, one.evaluation) for name, one in measured.items()):
        table.add_row(
            name,
            f"{m.ce_recovered:.4f}",
            f"{m.fvu:.4f}",
            f"{m.l0:.1f}",
            f"{m.dead_share:.1%}",
            f"{m.decoder_cosine:.4f}",
            f"{m.n_tokens:,}",
        )
    paper.print(table)


def _figure(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if width)
    except ValueError as error:
        raise BadAsk(f"--matryoshka {text!r} is not a list of whole numbers. Write for example 128,512,2048.") from error


if __name__ == "__main__":
    main()
