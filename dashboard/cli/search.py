"""`latents search`: which latents fire on a text, or have to do with a word."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.search.by_text import By
from dashboard.cli.output import Json, emit, figure, paper, say
from dashboard.cli.runner import Dtype, open_default_runner

app = typer.Typer()


@app.command()
def search(
    text: str,
    sae: Annotated[list[str] | None, typer.Option(help="RELEASE/NAME, a whole RELEASE, or one folder of an SAE; default: all.")] = None,
    word: Annotated[bool, typer.Option("--word", help="Look TEXT up in labels, notes, promoted tokens and examples instead.")] = False,
    meaning: Annotated[bool, typer.Option("--meaning", help="With --word: by meaning, not exactly.")] = False,
    by: Annotated[By, typer.Option(help="Score to rank by.")] = By.RARITY,
    token: Annotated[list[int] | None, typer.Option(help="Count this token only, from 0; may be given several times.")] = None,
    max_density: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Leave out latents that fire on a larger share of tokens.")
    ] = None,
    special: Annotated[bool, typer.Option("--special", help="Count special tokens too.")] = False,
    without: Annotated[str | None, typer.Option(help="Another text, whose scores are subtracted.")] = None,
    chat: Annotated[bool, typer.Option(help="Put the text through the chat template as a user message.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many latents.")] = 20,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")] = None,
    as_json: Json = False,
) -> None:
    """Rank the latents of all SAEs, or of some, that fire on TEXT; with --word, those that have to do with it."""
    from dashboard.analysis.sae.selecting import select

    if meaning and not word:
        raise BadAsk("--meaning only works with --word: give both, or neither.")
    runner = open_default_runner(dtype.value if dtype else None, sae or ())
    specs = select(runner.catalog, sae) if sae else list(runner.catalog.specs)
    saes = tuple(dict.fromkeys(spec.id for spec in specs))
    if word:
        _by_word(runner, text, saes, meaning, top, as_json)
    else:
        from dashboard.analysis.methods.search.by_text import RankAsk
        from dashboard.analysis.tokens import Prompt

        _by_text(runner, Prompt(text, chat), without, RankAsk(by, tuple(token or ()), special, max_density, saes), top, as_json)


def _by_text(runner: Any, prompt: Any, without: str | None, ask: Any, top: int, as_json: bool) -> None:
    from dashboard.analysis.asks.capture import CaptureAsk
    from dashboard.analysis.methods.highlight.method import capture_readable
    from dashboard.analysis.methods.search.by_text import counted_tokens, rank, read_histories, report
    from dashboard.analysis.tokens import Prompt

    capture, refused = capture_readable(runner.ask, prompt, ask.saes)
    if not counted_tokens(capture.tokens, ask).any():
        raise BadAsk("Every chosen token is a special one, so 0 tokens count. Add --special, or choose others.")
    other = None if without is None else runner.ask(CaptureAsk(Prompt(without, prompt.chat), tuple(capture.activations)))
    known, unknown = read_histories(runner.catalog.get(name) for name in capture.activations)
    for error in (*refused.values(), *unknown.values()):
        say(str(error))
    found: dict[str, Any] = report(rank(capture, known, ask, other), top, {latent: note.label for latent, note in _notes().items()})
    if as_json:
        counted = {"by": ask.by.value, "tokens": list(ask.positions), "special": ask.with_special, "max_density": ask.max_density}
        asked = {"text": prompt.text, "chat": prompt.chat, "without": without, "saes": [str(sae) for sae in ask.saes], **counted}
        emit({"model": str(runner.describe().model), "ask": asked, **found})
        return
    table = Table("latent", ask.by.value, "max", "1 token in", "density", "on", "label", box=None, pad_edge=False)
    for row in found["rows"]:
        cells = (row["latent"], figure(row["score"]), figure(row["max"]), figure(row["one_in"]), figure(row["density"]))
        table.add_row(*cells, Text(repr(row["token"])), Text(row["label"]))
    paper.print(table)
    say(f"{found['n_firing']:,} latents of {len(found['counts'])} SAEs fire; {found['n_hidden']:,} hidden by the density filter.")


def _by_word(runner: Any, text: str, saes: Any, meaning: bool, top: int, as_json: bool) -> None:
    from dashboard.analysis.index.texts import find_corpus
    from dashboard.analysis.methods.search.by_word import search_words
    from dashboard.analysis.settings import get_settings

    settings = get_settings()
    found = search_words(
        runner, runner.catalog, lambda head: find_corpus(head, settings), text, _notes(), meaning=meaning, saes=saes, top=top
    )
    for notice in found.notices:
        say(notice)
    if as_json:
        rows = [{**asdict(row), "latent": str(row.latent), "where": [place.value for place in row.where]} for row in found.rows]
        asked = {"word": text, "meaning": meaning, "saes": [str(sae) for sae in saes]}
        emit({"ask": asked, "n_found": found.n_found, "n_latents": found.n_latents, "notices": list(found.notices), "rows": rows})
        return
    table = Table("latent", "score", "found in", "at", "label", box=None, pad_edge=False)
    for row in found.rows:
        places = ", ".join(place.value for place in row.where)
        table.add_row(str(row.latent), figure(row.score), places, Text(", ".join(row.matched[:4])), Text(row.label))
    paper.print(table)
    say(f"{found.n_found:,} of {found.n_latents:,} latents.")


def _notes() -> Any:
    """Labels and notes of this installation."""
    from dashboard.analysis.notebook.notebook import Notebook
    from dashboard.analysis.settings import get_settings

    return Notebook(get_settings().cache / "notebook.sqlite").notes()
