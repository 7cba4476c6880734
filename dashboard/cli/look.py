"""Commands that look and change nothing: run, doctor, highlight."""

import os
import socket
import threading
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, figure, paper, say
from dashboard.cli.runner import Dtype, open_default_runner
from dashboard.cli.serving import LOOPBACK, address, streamlit_flags

app = typer.Typer()


@app.command()
def run(
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8501,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = False,
    host: Annotated[str, typer.Option(envvar="LATENTS_HOST", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    base_path: Annotated[str, typer.Option(envvar="LATENTS_BASE_PATH", help="Path under which a proxy serves it.")] = "",
    public_hosts: Annotated[
        str, typer.Option(envvar="LATENTS_PUBLIC_HOSTS", help="Host names under which users reach it, separated by commas.")
    ] = "",
    compress: Annotated[bool, typer.Option(envvar="LATENTS_COMPRESS", help="Compress websockets, for slow connections.")] = False,
) -> None:
    """Prepare the model if necessary, then serve the dashboard: on this machine only, unless --host is given."""
    from dashboard.analysis.model.sources import prepare_model

    names = [name.strip() for name in public_hosts.split(",") if name.strip()]
    flags = streamlit_flags(port, host, base_path, names, compress)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadAsk(
                f"Port {port} cannot be used: {error.strerror}. Stop the program that uses it, or choose another: PORT={port + 1}."
            ) from error
    prepare_model(get_settings(), say)
    url = address(port, host, base_path)
    say(f"The dashboard is on {url}  (Ctrl+C stops it)")
    if host not in LOOPBACK:
        known = ", ".join((*LOOPBACK, *names))
        say(f"It has no login: put a proxy with a login in front of it. It answers to {known}; LATENTS_PUBLIC_HOSTS adds names.")
    if browser:
        webbrowser.open(url)
    # The configuration lies in .streamlit of the repository, which Streamlit looks for in the working folder.
    script = Path(__file__).parents[1] / "app.py"
    os.chdir(script.parents[1])
    from streamlit.web import cli as streamlit_cli

    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    streamlit_cli.main(["run", str(script), *flags], prog_name="latents run")


def _warm_up() -> None:
    from dashboard.ui.shell.resources import warm_up  # takes seconds: it imports torch

    warm_up()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check that everything is in place; exit status 1 and the cure if something is missing."""
    from dashboard.analysis.install.doctor import diagnose

    found = diagnose(get_settings())
    if as_json:
        emit({"ok": not found.problems, **asdict(found)})
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
    top: Annotated[int, typer.Option(min=1, help="How many latents per token.")] = 5,
    chat: Annotated[bool, typer.Option(help="Put the text through the chat template as a user message.")] = False,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")] = None,
    as_json: Json = False,
) -> None:
    """Which latents fire on each token of TEXT."""
    from dashboard.analysis.methods.highlight.method import report
    from dashboard.analysis.sae.selecting import select_one
    from dashboard.analysis.tokens import Prompt

    runner = open_default_runner(dtype.value if dtype else None, (sae,))
    spec = select_one(runner.catalog, sae)
    if latent is not None:
        spec.latent(latent)
    answer: dict[str, Any] = report(runner, Prompt(text, chat), spec.id, top, latent)
    if as_json:
        emit(answer)
        return
    table = Table("token", "latents", box=None, pad_edge=False)
    for token in answer["tokens"]:
        shown = "  ".join(f"{entry['latent']}:{entry['value']:.2f}" for entry in token["latents"])
        table.add_row(Text(repr(token["text"])), shown, style="dim" if token["special"] else None)
    paper.print(table)
    figures = (f"{key} {figure(answer[key])}" for key in ("l0", "fvu", "ce_recovered"))
    paper.print("  ".join(figures))
