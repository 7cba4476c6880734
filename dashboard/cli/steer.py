"""Commands that make the model write: steer, sweep; and contrast, which finds latents worth steering."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, figure, paper, progress
from dashboard.cli.runner import Dtype, open_default_runner

app = typer.Typer()

Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="LATENT:OP:AMOUNT:UNIT",
        help="An edit, for example smollm2-135m/15.resid_post/501:add:0.4:norm; may be given more than once. OP: add, clamp, cap, scale, "
        "ablate, project_out. UNIT: raw (AMOUNT times the decoder row), max (of the latent's largest activation), norm (of the site's mean "
        "norm). vector/NAME stands for a vector that was kept on the steer page.",
    ),
]
Where = Annotated[str, typer.Option(help="Edited tokens: prompt, generated, everywhere, START: or START:END.")]
NewTokens = Annotated[int, typer.Option(help="1 to 512.")]
Temperature = Annotated[float, typer.Option(help="0 takes the most likely token.")]
TopP = Annotated[float, typer.Option(help="Draw from the smallest set of tokens with this much probability.")]
Seed = Annotated[int, typer.Option(min=0)]
Chat = Annotated[bool, typer.Option("--chat", help="Put the prompt through the chat template as a user message.")]
DtypeOption = Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")]


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
    dtype: DtypeOption = None,
    as_json: Json = False,
) -> None:
    """Continue PROMPT with and without edits, and measure what changed."""
    from dashboard.analysis.asks.generation import Sampling
    from dashboard.analysis.methods.steering.comparison import SteeringAsk, compare, report
    from dashboard.analysis.studies.record import make_record
    from dashboard.analysis.tokens import Prompt

    ask = SteeringAsk(Prompt(prompt, chat), _edits(edits, where), Sampling(max_new_tokens, temperature, top_p, seed))
    runner = open_default_runner(dtype.value if dtype else None)
    started = time.perf_counter()
    found = compare(runner, ask)
    seconds = time.perf_counter() - started
    answer = report(ask, found, make_record("steer", ask.plain_data(), runner.describe(), runner.catalog, ask.saes, seconds))
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
    paper.print(f"\nmean KL {sum(kl) / len(kl):.3f} nats a token; the texts differ from token {figure(answer['first_difference'])} on")


@app.command()
def sweep(
    prompt: str,
    edits: Edits = None,
    factors: Annotated[str, typer.Option(help="Factors on every amount, with commas.")] = "-2,-1,0,1,2",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="Texts at each point.")] = 1,
    together: Annotated[bool, typer.Option("--together", help="All edits as one curve; else a curve an edit.")] = False,
    word: Annotated[str | None, typer.Option(help="Word whose log-probability as the first new token is wanted.")] = None,
    words: Annotated[str | None, typer.Option(help="A text matches if it has one of these words (commas).")] = None,
    regex: Annotated[str | None, typer.Option(help="A text matches if this regular expression is found in it.")] = None,
    refusal: Annotated[bool, typer.Option("--refusal", help="A text matches if it declines to answer.")] = False,
    where: Where = "everywhere",
    max_new_tokens: NewTokens = 40,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    chat: Chat = False,
    dtype: DtypeOption = None,
    as_json: Json = False,
) -> None:
    """How KL, a word's probability, matches of a rule and fluency answer to the dose."""
    from dashboard.analysis.asks.generation import Sampling
    from dashboard.analysis.methods.steering import dose_response as dose
    from dashboard.analysis.studies.record import make_record
    from dashboard.analysis.tokens import Prompt

    kinds = [(dose.RuleKind.WORDS, words), (dose.RuleKind.REGEX, regex), (dose.RuleKind.REFUSAL, "" if refusal else None)]
    rules = [dose.Rule(kind, text) for kind, text in kinds if text is not None]
    if len(rules) > 1:
        raise BadAsk(f"{len(rules)} rules were given; a text is judged by one of --words, --regex, --refusal.")
    try:
        grid = tuple(float(factor) for factor in factors.split(","))
    except ValueError as error:
        raise BadAsk(f"--factors {factors!r} is not a list of numbers. Write for example -2,-1,0,1,2.") from error
    chosen = _edits(edits, where)
    if not chosen:
        raise BadAsk("A sweep needs at least 1 edit; 0 were given with --set.")
    curves = (dose.Curve("all together", chosen),) if together else tuple(dose.Curve(str(edit), (edit,)) for edit in chosen)
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    ask = dose.SweepAsk(Prompt(prompt, chat), curves, grid, seeds, sampling, word, rules[0] if rules else None)
    runner = open_default_runner(dtype.value if dtype else None)
    started = time.perf_counter()
    points: tuple[dose.Point, ...] = ()
    with progress("writing") as show:
        for step in dose.sweep(runner, ask):
            points = step.points
            show(step.done / step.total, f"{step.done} of {step.total} texts")
    rows = dose.table(points)
    if as_json:
        record = make_record("sweep", ask.plain_data(), runner.describe(), runner.catalog, ask.saes, time.perf_counter() - started)
        texts = [{"curve": p.curve, "factor": p.factor, "seed": t.seed, "text": t.text} for p in points for t in p.texts]
        emit({"points": rows, "texts": texts, "record": record.__dict__})
        return
    shown = ("curve", "factor", "kl", "word_logprob", "matched", "perplexity", "repeated_4grams")
    columns = [name for name in shown if any(row[name] is not None for row in rows)]
    print_rows([{name: row[name] for name in columns} for row in rows])


@app.command()
def contrast(
    file: Annotated[Path, typer.Argument(help="JSON file with two lists of texts, {NAME: [...], OTHER: [...]}.")],
    sae: Annotated[list[str] | None, typer.Option(help="RELEASE/NAME; may be given more than once. Default: all.")] = None,
    top: Annotated[int, typer.Option(min=1)] = 10,
    as_json: Json = False,
) -> None:
    """Which latents separate two sets of texts? The first set of the file counts as positive."""
    from dashboard.analysis.methods.contrast import method
    from dashboard.analysis.sae.selecting import select

    names, positive, negative = _two_sets(file)
    runner = open_default_runner()
    saes = tuple(spec.id for spec in (select(runner.catalog, sae) if sae else runner.catalog.specs))
    found = method.contrast(runner, positive, negative, saes)
    best = found.latents[:top]
    promotes = method.promoted_tokens(runner, best)
    rows = [{**asdict(one), "latent": str(one.latent), "promotes": list(tokens)} for one, tokens in zip(best, promotes, strict=True)]
    if as_json:
        emit({"first": names[0], "second": names[1], "n_first": len(positive), "n_second": len(negative), "latents": rows})
        return
    print_rows(rows)


def _two_sets(file: Path) -> tuple[tuple[str, str], list[str], list[str]]:
    form = "Write {NAME: [TEXT, ...], OTHER: [TEXT, ...]}."
    try:
        sets = json.loads(file.read_text())
        (one, first), (other, second) = sets.items()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadAsk(f"{file} cannot be read as two lists of texts: {error}. {form}") from error
    if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in (first, second)):
        raise BadAsk(f"{file} does not hold two lists of texts. {form}")
    return (one, other), first, second


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A table of rows that have the same columns."""
    if not rows:
        paper.print("none")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(figure(value) for value in row.values()))
    paper.print(table)
