"""Commands on the text behind the examples: `corpus write`."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from dashboard.analysis.settings import get_settings
from dashboard.analysis.text.corpus import SHIPPED, write_corpus
from dashboard.cli.output import Json, emit, paper, progress
from dashboard.cli.runner import Dtype, open_default_runner

app = typer.Typer(no_args_is_help=True, help="The text behind the examples.")


@app.callback()
def corpus() -> None:
    """Keeps `write` a command of its own while it is the only one."""


@app.command("write")
def corpus_write(
    tokens: Annotated[int, typer.Option(min=1, help="The corpus ends with the document that reaches it.")] = 400_000,
    out: Annotated[Path, typer.Option(help="File to write; default: the one that ships.")] = SHIPPED,
    temperature: Annotated[float, typer.Option(min=0, help="Of the sampling; 0 takes the most likely token.")] = 0.9,
    top_p: Annotated[float, typer.Option(help="Draw from the smallest set of tokens with this probability.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the openings and what follows each of them.")] = 0,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model; default: LATENTS_DTYPE, else what is faster.")] = None,
    as_json: Json = False,
) -> None:
    """Let the model write a corpus itself, from openings of many genres. If interrupted, run it again to resume."""
    from dashboard.analysis.text.openings import read_openings
    from dashboard.analysis.text.writing import WritingAsk, WritingProgress, write_text

    book = read_openings()
    model = open_default_runner(dtype.value if dtype else None).model
    began = time.monotonic()
    with progress("writing") as show:

        def report(now: WritingProgress) -> None:
            rate = now.n_new / (time.monotonic() - began)
            left = f", {(tokens - now.n_tokens) / rate / 60:.0f} min left" if rate and now.n_tokens < tokens else ""
            show(min(now.n_tokens / tokens, 1.0), f"{now.n_tokens:,} of {tokens:,} tokens, {rate:,.0f} tokens/s{left}")

        written = write_text(WritingAsk(tokens, temperature, top_p, seed), book, model, get_settings().cache, report)
    write_corpus(out, written.corpus)
    answer = {
        "file": str(out),
        "bytes": out.stat().st_size,
        "sha256": written.corpus.sha256,
        "tokens": len(written.corpus),
        "documents": written.corpus.n_documents,
        "dropped_same": written.n_same,
        "dropped_loops": written.n_loops,
        "genres": dict(Counter(written.corpus.kinds).most_common()),
        "seconds": round(time.monotonic() - began, 1),
    }
    if as_json:
        emit(answer)
        return
    paper.print(
        f"{out}: {answer['tokens']:,} tokens in {answer['documents']:,} documents of {len(answer['genres'])} genres, "
        f"{answer['bytes'] / 1e6:.2f} MB. Dropped: {written.n_same} that were there already, {written.n_loops} that ran in a loop.",
        soft_wrap=True,
        markup=False,
    )
