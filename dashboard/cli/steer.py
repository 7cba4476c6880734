"""The command that makes the model write with edits: steer."""

import time
from dataclasses import replace
from typing import Annotated, Any

import typer

from dashboard.analysis.settings import get_settings
from dashboard.cli.options import DtypeOption, RecipeOption
from dashboard.cli.output import Json, emit, figure, paper
from dashboard.cli.studies import open_bench, recipe_edits

app = typer.Typer()

Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="LATENT:OP:AMOUNT:UNIT",
        help="An edit, for example smollm2-135m/15.resid_post/501:add:0.4:norm; may be given more than once. OP: add, clamp, cap, scale, "
        "ablate, project_out. UNIT: raw (AMOUNT times the decoder row), max (of the latent's largest activation), norm (of the site's mean "
        "norm). vector/NAME stands for a vector that was saved on the steer page.",
    ),
]
Where = Annotated[str, typer.Option(help="Edited tokens: prompt, generated, everywhere, START: or START:END.")]
NewTokens = Annotated[int, typer.Option(help="1 to 512.")]
Temperature = Annotated[float, typer.Option(help="0 takes the most likely token.")]
TopP = Annotated[float, typer.Option(help="Draw from the smallest set of tokens with this much probability.")]
Seed = Annotated[int, typer.Option(min=0)]
Chat = Annotated[bool, typer.Option("--chat", help="Put the prompt through the chat template as a user message.")]


def _edits(edits: list[str] | None, where: str) -> tuple[Any, ...]:
    from dashboard.analysis.asks.edits import VECTOR, Intervention, parse_where
    from dashboard.analysis.notebook.vectors import VectorFolder

    at = parse_where(where)
    named = any(edit.startswith(VECTOR) for edit in edits or ())
    vectors = VectorFolder(get_settings().cache / "vectors").all() if named else {}
    return tuple(Intervention.parse(edit, at, vectors) for edit in edits or ())


@app.command()
def steer(
    prompt: str,
    edits: Edits = None,
    where: Where = "everywhere",
    max_new_tokens: NewTokens = 40,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    chat: Chat = False,
    recipe: RecipeOption = None,
    dtype: DtypeOption = None,
    as_json: Json = False,
) -> None:
    """Continue PROMPT with and without edits, and measure what changed."""
    from dashboard.analysis.asks.edits import parse_where
    from dashboard.analysis.asks.generation import Sampling
    from dashboard.analysis.methods.steering.comparison import SteeringAsk, compare, report
    from dashboard.analysis.studies.record import make_record
    from dashboard.analysis.tokens import Prompt

    ask = SteeringAsk(Prompt(prompt, chat), _edits(edits, where), Sampling(max_new_tokens, temperature, top_p, seed))
    bench = open_bench(dtype.value if dtype else None)
    runner = bench.runner
    made = [replace(edit, where=parse_where(where)) for edit in recipe_edits(bench, recipe or ())]
    ask = replace(ask, interventions=(*ask.interventions, *made))
    started = time.perf_counter()
    found = compare(runner, ask)
    seconds = time.perf_counter() - started
    answer = report(ask, found, make_record("steer", ask.plain_data(), runner.describe(), bench.catalog, ask.saes, seconds))
    if as_json:
        emit(answer)
        return
    for edit in answer["interventions"]:
        share = (
            ""
            if edit["raw_amount"] is None
            else f"  {edit['raw_amount']:.4g} x the direction = {edit['share_of_norm']:+.1%} of the mean norm"
        )
        paper.print(f"{edit['edit']}  on {edit['where']}{share}")
    for name in ("plain", "steered"):
        text = answer[name]
        paper.print(f"\n{name}  perplexity {figure(text['perplexity'])}  repeated 4-grams {figure(text['repeated_4grams'])}", style="bold")
        paper.print(prompt + text["text"], soft_wrap=True)
    kl = answer["kl"]
    paper.print(f"\nmean KL {sum(kl) / len(kl):.3f} nats per token; the texts differ from token {figure(answer['first_difference'])} on")
