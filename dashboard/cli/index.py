"""Commands on what is known of every latent: `index build`, `index list`, and `latent`, which shows one."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.roster.chosen import DEFAULT_RELEASE
from dashboard.analysis.settings import get_settings
from dashboard.cli.output import Json, emit, figure, paper, progress, say
from dashboard.cli.runner import Dtype, open_default_runner

app = typer.Typer(no_args_is_help=True, help="What is known of every latent: build, list.")


@app.command("build")
def index_build(
    sae: Annotated[list[str] | None, typer.Argument(help=f"RELEASE or RELEASE/NAME ...; default: {DEFAULT_RELEASE}.")] = None,
    named: Annotated[list[str] | None, typer.Option("--sae", help="Same as the argument; may be given more than once.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="FILE, FOLDER or hf:DATASET to read instead of the corpus that ships.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Corpus of token ids, as `latents corpus write` makes it.")] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Approximate number of its tokens to read, in whole documents; default: all.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Number format of the model.")] = Dtype.FLOAT32,
    as_json: Json = False,
) -> None:
    """Measure every latent of some SAEs over a text: how often and where it fires, what it promotes, what is like it.

    If interrupted, run it again to resume.
    """
    from dashboard.analysis.index.building import build_indexes
    from dashboard.analysis.index.file import read_index
    from dashboard.analysis.sae.selecting import select
    from dashboard.analysis.text.corpora import default_corpus, keep_corpus
    from dashboard.analysis.text.corpus import read_corpus, spread
    from dashboard.analysis.text.training_text import corpus_of_text

    if text and corpus:
        raise BadAsk("--text and --corpus were both given; an index is built from one of them. Remove one.")
    settings = get_settings()
    runner = open_default_runner(dtype.value)
    specs = select(runner.catalog, [*(sae or ()), *(named or ())] or [DEFAULT_RELEASE])
    if text:
        read = corpus_of_text(text, runner.model.tokenizer, str(runner.model.id))
    else:
        read = read_corpus(corpus) if corpus else default_corpus(settings, say)
    read = read if tokens is None else spread(read, tokens)
    keep_corpus(read, settings)
    say(f"{len(specs)} SAEs over {read.name}: {len(read):,} tokens in {read.n_documents:,} documents")
    with progress("indexing") as show:
        files = build_indexes(specs, read, runner.model, runner.catalog, settings.cache, show)
    rows = [_row(spec, read_index(spec)) for spec in specs]
    if as_json:
        emit([{**row, "file": str(file)} for row, file in zip(rows, files, strict=True)])
    else:
        _print_rows(rows)


@app.command("list")
def index_list(as_json: Json = False) -> None:
    """Which SAEs have an index, over what text, and how many of their latents never fired on it."""
    from dashboard.analysis.errors import NotMeasured
    from dashboard.analysis.index.file import read_index
    from dashboard.analysis.sae.catalog import read_catalog

    rows: list[dict[str, Any]] = []
    for spec in read_catalog(get_settings()).specs:
        try:
            rows.append(_row(spec, read_index(spec)))
        except NotMeasured as error:
            say(str(error))
    if as_json:
        emit(rows)
    else:
        _print_rows(rows)


def _row(spec: Any, index: Any) -> dict[str, Any]:
    from dashboard.analysis.index.file import index_file

    head = index.head
    return {
        "name": str(spec.id),
        "latents": spec.n_latents,
        "dead": int((index.n_fired == 0).sum()),
        "tokens": head.n_tokens,
        "outliers": head.n_outliers,
        "corpus": head.corpus,
        "corpus_sha256": head.corpus_sha256,
        "dtype": head.dtype,
        "bytes": index_file(spec).stat().st_size,
    }


def _print_rows(rows: list[dict[str, Any]]) -> None:
    table = Table("name", "latents", "dead", "tokens", "outliers", "corpus", "dtype", "KiB", box=None, pad_edge=False)
    for row in rows:
        counts = (f"{row[key]:,}" for key in ("latents", "dead", "tokens", "outliers"))
        table.add_row(row["name"], *counts, f"{row['corpus']} ({row['corpus_sha256'][:8]})", row["dtype"], f"{row['bytes'] / 1024:,.0f}")
    paper.print(table)


def latent(
    name: Annotated[str, typer.Argument(metavar="NAME", help="RELEASE/NAME/INDEX, for example smollm2-135m/15.resid_post/812.")],
    as_json: Json = False,
) -> None:
    """Everything that is known of one latent."""
    from transformers import AutoTokenizer

    from dashboard.analysis.index.file import read_facts
    from dashboard.analysis.index.latent import report
    from dashboard.analysis.index.texts import find_corpus
    from dashboard.analysis.model.bridge import token_texts
    from dashboard.analysis.model.sources import prepare_model
    from dashboard.analysis.names import LatentId
    from dashboard.analysis.sae.catalog import read_catalog

    settings = get_settings()
    asked = LatentId.parse(name)
    facts = read_facts(read_catalog(settings).get(asked.sae), asked.index)
    corpus = find_corpus(facts.head, settings)
    tokenizer = AutoTokenizer.from_pretrained(prepare_model(settings, say))
    answer = report(facts, corpus, lambda ids: token_texts(tokenizer, ids))
    if as_json:
        emit(answer)
    else:
        _print_latent(answer)


def _print_latent(answer: dict[str, Any]) -> None:
    often = answer["frequency"]
    paper.print(answer["latent"], style="bold")
    paper.print(answer["label"] or f"dead: it fires on none of the {answer['n']:,} tokens of the index", soft_wrap=True)
    paper.print(
        f"fires on {often['share']:.3%} of {often['n']:,} tokens (95 % interval {often['low']:.3%} to {often['high']:.3%}), "
        f"{often['n_fired']:,} times; mean {figure(answer['mean'])}, largest {figure(answer['maximum'])}",
        soft_wrap=True,
    )
    for name in ("promoted", "suppressed"):
        paper.print(f"{name:12}" + "  ".join(f"{one['token']!r} {one['logit']:+.2f}" for one in answer[name]), soft_wrap=True)
    for name, number in (("neighbours", "cosine"), ("cofiring", "share")):
        paper.print(f"{name:12}" + "  ".join(f"{one['latent']} {one[number]:.2f}" for one in answer[name]), soft_wrap=True)
    bands = [("strongest", answer["top"])]
    bands += [(f"{part['low']:.3g} to {part['high']:.3g}, n {part['n']:,}", part["examples"]) for part in answer["intervals"]]
    table = Table("value", "token", "context", "document", box=None, pad_edge=False)
    for title, examples in (*bands, ("near misses", answer["near_misses"])):
        if examples:
            table.add_row("", Text(title, style="bold"))
        for one in examples:
            table.add_row(
                f"{one['value']:.3g}", Text(repr(one["token"])), Text(repr(one["context"])[1:-1]), f"{one['document']} {one['kind']}"
            )
    paper.print(table)
