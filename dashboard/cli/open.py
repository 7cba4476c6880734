"""`latents open`: from a new SAE to pages about it, in one command."""

import os
import subprocess
import sys
from typing import Annotated, Any

import typer

from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.settings import INDEX_TOKENS, get_settings
from dashboard.cli.output import Json, emit, figure, say
from dashboard.cli.runner import open_default_runner

app = typer.Typer()


@app.command("open")
def open_sae(
    name: Annotated[str, typer.Argument(metavar="SAE", help="Folder in sae-lens' layout, RELEASE/ID, or OWNER/REPO/ID.")],
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="FILE, FOLDER or hf:DATASET for the index; default: a text that ships."),
    ] = None,
    tokens: Annotated[
        int, typer.Option(min=1, help="Approximate number of its tokens to read. More take longer and are more precise.")
    ] = INDEX_TOKENS,
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8501,
    serve: Annotated[bool, typer.Option(help="Open the dashboard; --no-serve: build the index in the foreground, then exit.")] = True,
    as_json: Json = False,
) -> None:
    """Check an SAE against its model, measure it on a short text, build its index in the background, open the dashboard on it."""
    from dashboard.analysis.index.file import read_index
    from dashboard.analysis.install.bringing import FIGURES, keep_measured, measure
    from dashboard.analysis.roster.models import remember_model

    sae = _bring(name)
    runner = open_default_runner()
    spec = runner.catalog.get(sae)
    runner.sae(sae)
    if caution := runner.cautions.get(sae):
        say(f"{sae}: {caution}")
    measured = measure(runner, sae)
    keep_measured(spec, measured)
    shown = ", ".join(f"{key} {figure(measured[key])}" for key in FIGURES)
    say(f"{sae} at {spec.site} of {runner.model.id}, {spec.n_latents:,} latents: {shown} on {measured['n_tokens']} tokens")
    try:
        read_index(spec)
        building = None
    except NotMeasured:
        building = _build_index(str(sae), text or [], tokens)
    if as_json:
        emit({"name": str(sae), "site": str(spec.site), "model": str(runner.model.id), "caution": caution, **measured})
    if given := get_settings().model:
        remember_model(given, get_settings(), bos=get_settings().bos)
    del runner  # the server loads the model itself
    if serve:
        from dashboard.cli.look import run

        say(f"The page of its first latent: http://127.0.0.1:{port}/latent?latent={sae}/0")
        run(port, False)
    elif building is not None and building.wait() != 0:
        raise NotMeasured(f"The index of {sae} was not built (exit status {building.returncode}); its output is above.")


def _bring(name: str) -> Any:
    """The SAE's name, once it is found by it, with its model chosen for this process and those that it starts."""
    from dashboard.analysis.install.bringing import fetch
    from dashboard.analysis.roster.chosen import chosen_model
    from dashboard.analysis.roster.kinship import Kinship, hub_name, kinship
    from dashboard.analysis.roster.models import choices

    settings = get_settings()
    spec = fetch(name, settings, say)
    wanted, bos = spec.model, spec.wants_bos
    if bos is not None and "LATENTS_BOS" not in os.environ:
        os.environ["LATENTS_BOS"] = str(int(bos))
    if not settings.model and wanted is not None and kinship(wanted, chosen_model(settings)) is Kinship.OTHER:
        here = next((one.given for one in choices(settings) if kinship(wanted, one.id) is Kinship.SAME), None)
        os.environ["LATENTS_MODEL"] = here or hub_name(wanted)
        say(f"Its model is {wanted}: LATENTS_MODEL={os.environ['LATENTS_MODEL']}; if that is wrong, set it to a name or a folder.")
    get_settings.cache_clear()
    return spec.id


def _build_index(sae: str, text: list[str], tokens: int) -> "subprocess.Popen[bytes]":
    say(f"Building its index over {', '.join(text) or 'the corpus that ships'}, about {tokens:,} tokens; pages show it when it is done ...")
    options = ["--tokens", str(tokens), *(part for one in text for part in ("--text", one))]
    # A process of its own: pages answer meanwhile, and a build that was killed goes on at the next start.
    return subprocess.Popen([sys.executable, "-m", "dashboard", "index", "build", sae, *options], stdout=subprocess.DEVNULL)
