"""The `latents` command. With --json every command prints JSON and nothing else on standard output."""

import logging
import os
import sys

import typer

from dashboard.analysis.errors import AnalysisError
from dashboard.cli import corpus, entities, flow, index, known, lens, look, model, sae, search, steer
from dashboard.cli import open as bring
from dashboard.cli.output import screen
from dashboard.cli.studies import StudyGroup

app = typer.Typer(
    cls=StudyGroup, no_args_is_help=True, add_completion=False, help="See what the latents of sparse autoencoders do in a language model."
)
app.add_typer(look.app)
app.add_typer(lens.app)
app.add_typer(bring.app)
app.add_typer(search.app)
app.add_typer(steer.app)
app.add_typer(sae.app, name="sae")
app.add_typer(index.app, name="index")
sae.app.command("index")(index.index_build)
app.command()(index.latent)
app.add_typer(flow.app, name="flow")
app.add_typer(corpus.app, name="corpus")
app.add_typer(entities.app, name="entities")
app.add_typer(known.app, name="study")
app.add_typer(model.app, name="model")
app.add_typer(typer.Typer(cls=StudyGroup, no_args_is_help=True, help="Recipes for edits, with the evidence for each."), name="recipe")


def main() -> None:
    """Run the command line; an AnalysisError is one message and exit status 2."""
    # Read by OpenMP when torch is loaded. Its threads wait for each other by spinning; on cores that others use too, they
    # spin against the work that they wait for: decoding ran at 3 to 9 steps/s instead of 15 to 19 on two busy cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except AnalysisError as error:
        screen.print(str(error), style="red", markup=False)
        sys.exit(2)
