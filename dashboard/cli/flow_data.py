"""Commands on the feature flow on text: flow origins, flow deactivate, flow steer."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.settings import get_settings
from dashboard.cli.index import DEFAULT_RELEASE
from dashboard.cli.output import Json, emit, paper, progress, say
from dashboard.cli.runner import open_default_runner
from dashboard.cli.steer import print_rows

app = typer.Typer()

Release = Annotated[str, typer.Argument(help="A release with residual dictionaries.")]
LayerNumbers = Annotated[str | None, typer.Option("--layers", help="Layers, with commas; default: all that have one before them.")]
Texts = Annotated[int, typer.Option(min=1, help="Documents of the corpus, as many of each kind as can be.")]
Tokens = Annotated[int, typer.Option(min=1, help="Random ordinary tokens of each.")]
Kinds = Annotated[str | None, typer.Option(help="Kinds of documents, with commas; default: all.")]
Seed = Annotated[int, typer.Option(min=0)]
CorpusFile = Annotated[Path | None, typer.Option(help="A corpus as `latents corpus write` makes it; default: the one that ships.")]


@app.command("origins")
def flow_origins(
    release: Release = DEFAULT_RELEASE,
    layers: LayerNumbers = None,
    texts: Texts = 250,
    tokens: Tokens = 5,
    kinds: Kinds = None,
    by_kind: Annotated[bool, typer.Option("--by-kind", help="Shares by kind of text too.")] = False,
    top: Annotated[int, typer.Option("--top-k", "--top", min=1, max=20, help="Matches of which any may be active.")] = 1,
    distinct: Annotated[bool, typer.Option("--distinct", help="In the tests each latent counts once a group.")] = False,
    seed: Seed = 0,
    corpus: CorpusFile = None,
    as_json: Json = False,
) -> None:
    """Where the active residual latents come from: eight groups by layer, tests and the matrix between groups."""
    from dashboard.analysis.methods.flow import origins as method
    from dashboard.analysis.methods.flow.layers import layers_of, suite_of
    from dashboard.analysis.methods.flow.samples import SHORT, SampleAsk, predecessors_of

    runner, text = _open(corpus)
    chosen = layers_of(suite_of(runner.catalog, release), _numbers(layers))
    matched = [predecessors_of(runner, runner.catalog, layer, top=top) for layer in chosen]
    ask = SampleAsk(texts, tokens, _words(kinds), seed)
    started, found = time.perf_counter(), None
    with progress("reading") as show:
        for found in method.origins(runner, text, matched, ask):
            show(found.done / found.total, f"{found.done} of {found.total} texts")
    assert found is not None
    rows = [
        {"layer": one.layer, "kind": one.kind, "origin": one.origin.value, "k": one.share.k, "n": one.share.n}
        | {"share": one.share.value, "interval": one.share.interval}
        for one in (*method.shares(found), *(method.shares(found, by_kind=True) if by_kind else ()))
    ]
    tests = method.group_tests(found, distinct)
    significant = [
        {"module": SHORT[module], "sort": sort, "score": SHORT[source], "significant": share.k, "tests": share.n}
        for (module, sort, source), share in method.significant_shares(tests).items()
    ]
    if as_json:
        asked = {"release": release, "layers": [layer.layer for layer in chosen], "top": top, "distinct": distinct} | ask.plain_data()
        saes = dict.fromkeys(sae for layer in matched for sae in layer.saes)
        matrix = {"groups": [origin.value for origin in method.ORIGINS], "latents_in_both": method.group_to_group(found).tolist()}
        missing = {str(layer.layer): [SHORT[point] for point in layer.missing] for layer in matched if layer.missing}
        emit(
            {"shares": rows, "significant": significant, "matrix": matrix, "missing": missing}
            | {"n_tokens": len(found.row), "record": _record("flow origins", asked, runner, saes, text, started)}
        )
        return
    table = {one["layer"]: {"layer": one["layer"], "n": one["n"]} for one in rows if one["kind"] is None}
    for one in rows:
        if one["kind"] is None:
            table[one["layer"]][one["origin"]] = "" if one["share"] is None else f"{one['share']:.1%}"
    print_rows(list(table.values()))
    paper.print(
        f"\n{len(found.row):,} tokens of {found.done} texts; tests with p < {method.SIGNIFICANT}, by what the module does in the pair"
    )
    print_rows(significant)


@app.command("coactivation")
def flow_coactivation(
    release: Release = DEFAULT_RELEASE,
    layer: Annotated[int | None, typer.Option(help="One layer; default: the last.")] = None,
    texts: Annotated[int, typer.Option(min=1, help="Documents of the corpus that are read whole.")] = 100,
    kinds: Kinds = None,
    seed: Seed = 0,
    corpus: CorpusFile = None,
    as_json: Json = False,
) -> None:
    """Do latents that point the same way fire together? Cosine and Pearson's r of every latent of a layer and its best matches."""
    from dashboard.analysis.methods.flow.coactivation import coactivation
    from dashboard.analysis.methods.flow.layers import layers_of, suite_of
    from dashboard.analysis.methods.flow.samples import SHORT, SampleAsk, predecessors_of

    runner, text = _open(corpus)
    chosen = layers_of(suite_of(runner.catalog, release), None if layer is None else (layer,))[-1]
    matched, ask = predecessors_of(runner, runner.catalog, chosen), SampleAsk(texts, None, _words(kinds), seed)
    saes, started, found = tuple(dict.fromkeys(matched.saes)), time.perf_counter(), None
    with progress("reading") as show:
        for found in coactivation(runner, text, saes, ask):
            show(found.done / found.total, f"{found.done} of {found.total} texts")
    assert found is not None
    rows = [
        {"latent": str(pair.latent), "source": SHORT[pair.source], "predecessor": str(pair.predecessor)}
        | {"cosine": pair.cosine, "pearson": pair.pearson, "fires_on": pair.n_fired}
        for pair in found.pairs(matched)
    ]
    if as_json:
        asked = {"release": release, "layer": chosen.layer} | ask.plain_data()
        emit({"pairs": rows, "n_tokens": found.n_tokens, "record": _record("flow coactivation", asked, runner, saes, text, started)})
        return
    print_rows(sorted(rows, key=lambda row: float(row["pearson"]), reverse=True)[:20])
    paper.print(f"\n{found.n_tokens:,} tokens; the 20 of {len(rows):,} pairs that fire together most")


@app.command("deactivate")
def flow_deactivate(
    release: Release = DEFAULT_RELEASE,
    layers: LayerNumbers = None,
    texts: Texts = 10,
    tokens: Tokens = 3,
    targets: Annotated[int, typer.Option(min=1, help="Latents tried at each token and layer.")] = 10,
    factors: Annotated[str, typer.Option(help="r, with commas: 0 removes, 1 changes nothing.")] = "0",
    ways: Annotated[
        str, typer.Option("--matching", help="Ways of matching, with commas: cosine, top5, random, permutation, pearson.")
    ] = "cosine",
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Also every active latent before the target, one at a time.")] = False,
    by_layer: Annotated[bool, typer.Option("--by-layer")] = False,
    by_subset: Annotated[bool, typer.Option("--by-subset", help="A row for each set of sources.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Tokens whose loss is measured.")] = 1,
    kinds: Kinds = None,
    seed: Seed = 0,
    corpus: CorpusFile = None,
    as_json: Json = False,
) -> None:
    """Rescale the predecessors of active latents at one token, and see whether they still fire."""
    from dashboard.analysis.methods.flow import deactivation as method
    from dashboard.analysis.methods.flow import deactivation_effects as summary
    from dashboard.analysis.methods.flow.layers import Matching, layers_of, matchings, suite_of
    from dashboard.analysis.methods.flow.samples import SampleAsk

    unknown = [way for way in _words(ways) if way.upper() not in Matching.__members__]
    if unknown or not _words(ways):
        raise BadAsk(f"--matching {ways!r} names no way of matching. There are {', '.join(one.lower() for one in Matching.__members__)}.")
    ask = method.DeactivationAsk(
        SampleAsk(texts, tokens, _words(kinds), seed), targets, _floats(factors, "--factors"), by_subset, True, exhaustive, after
    )
    runner, text = _open(corpus)
    chosen = layers_of(suite_of(runner.catalog, release), _numbers(layers))
    of_layers = [
        matchings(runner, runner.catalog, layer, [Matching[way.upper()] for way in _words(ways)], text, ask.sample) for layer in chosen
    ]
    started, found = time.perf_counter(), None
    with progress("rescaling") as show:
        for found in method.deactivate(runner, text, of_layers, ask):
            show(found.done / found.total, f"{found.done} of {found.total} tokens, {len(found.trials):,} trials")
    assert found is not None
    rows = summary.table(summary.effects(found.trials, by_layer, by_subset))
    if as_json:
        asked = {"release": release, "layers": [layer.layer for layer in chosen], "matching": list(_words(ways))} | ask.plain_data()
        saes = dict.fromkeys(sae for ways_of in of_layers for one in ways_of.values() for sae in one.saes)
        record = _record("flow deactivate", asked, runner, saes, text, started)
        emit({"effects": rows, "without_predecessor": dict(found.n_without), "lost": found.n_lost, "record": record})
        return
    shown = ("method", "layer", "changed", "factor", "n", "success", "activation_change", "loss_change", "median_loss_change")
    print_rows([{name: row[name] for name in shown if name != "layer" or by_layer} for row in rows])
    paper.print(f"without an active predecessor: {dict(found.n_without)}; not active when read again: {found.n_lost}")


@app.command("steer")
def flow_steer(
    seeds: Annotated[list[str], typer.Argument(metavar="NAME...", help="Latents of the initial set; their flow is the flow set.")],
    prompt: Annotated[str, typer.Option(help="What the texts begin with.")] = "I think",
    words: Annotated[str, typer.Option(help="Theme words, with commas: behaviour is their rate.")] = "",
    theme: Annotated[str, typer.Option(help="What the theme is called; the judge reads it.")] = "the theme",
    goal: Annotated[str, typer.Option(help="activate or deactivate.")] = "activate",
    decay: Annotated[str, typer.Option(help="constant, linear or exponential over the layers.")] = "constant",
    alpha: Annotated[float, typer.Option(help="Of the exponential decay.")] = -0.05,
    unit: Annotated[str, typer.Option(help="raw, max or norm: what a strength of 1 is.")] = "max",
    strengths: Annotated[str | None, typer.Option(help="With commas; default 0,0.5,1,2 or, to deactivate, 1,0,-1,-2.")] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="A latent that reads the texts back; may be given more than once.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Texts on the theme, one a line.")] = None,
    others: Annotated[Path | None, typer.Option(help="Other texts, one a line: with --reference they train a classifier.")] = None,
    modules: Annotated[bool, typer.Option("--modules", help="The flow set takes mlp and attention latents too.")] = False,
    t_res: Annotated[float, typer.Option(help="Least cosine of a residual link.")] = 0.5,
    t_module: Annotated[float, typer.Option(help="Least cosine of an mlp or attention latent.")] = 0.15,
    texts: Annotated[int, typer.Option(min=1, help="At each point.")] = 4,
    max_new_tokens: Annotated[int, typer.Option()] = 36,
    temperature: Annotated[float, typer.Option()] = 1.27,
    top_p: Annotated[float, typer.Option()] = 0.7,
    seed: Seed = 0,
    judge: Annotated[str | None, typer.Option(metavar="ADDRESS", help="http(s)://HOST/v1 of a server of chat completions.")] = None,
    judge_model: Annotated[str, typer.Option(help="The judge's name there; its key is read from LATENTS_JUDGE_KEY.")] = "",
    as_json: Json = False,
) -> None:
    """Score against strength for single layers, the initial set, and the flow set."""
    import os

    from dashboard.analysis.asks.edits import Unit
    from dashboard.analysis.asks.generation import Sampling
    from dashboard.analysis.methods.flow import recipe as flow_recipes
    from dashboard.analysis.methods.flow import steering as flow_steering
    from dashboard.analysis.methods.flow.graph import build
    from dashboard.analysis.methods.flow.results import FlowAsk
    from dashboard.analysis.methods.flow.suite import find_suite
    from dashboard.analysis.names import LatentId
    from dashboard.analysis.stats.judge import Judge
    from dashboard.analysis.stats.text_proxies import Classifier, Lexicon
    from dashboard.analysis.tokens import Prompt

    try:
        recipe = flow_recipes.Recipe(flow_recipes.Goal(goal), decay=flow_recipes.Decay(decay), unit=Unit(unit), alpha=alpha)
    except ValueError as error:
        raise BadAsk(
            f"{error}. --goal is activate or deactivate, --decay constant, linear or exponential, --unit raw, max or norm."
        ) from error
    runner = open_default_runner()
    latents = [runner.catalog.latent(LatentId.parse(name)) for name in seeds]
    initial = tuple(flow_recipes.PlacedLatent(latent, runner.catalog.get(latent.sae).site.layer) for latent in latents)
    graphs = [build(runner, find_suite(runner.catalog, one.sae), FlowAsk(one, t_res, t_module)) for one in latents]
    flow_set = tuple(dict.fromkeys([*initial, *(one for graph in graphs for one in flow_recipes.path_latents(graph, modules))]))
    held = tuple(runner.catalog.latent(LatentId.parse(name)) for name in held_out or ())
    lines, other_lines = _lines(reference, "--reference"), _lines(others, "--others")
    lexicon = Lexicon(_words(words), lines) if words else None
    classifier = Classifier(lines, other_lines) if other_lines else None
    behaviour = flow_steering.Behaviour(theme, lexicon, classifier, held, lines)
    grid = _floats(strengths or ("0,0.5,1,2" if goal == "activate" else "1,0,-1,-2"), "--strengths")
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    settings = flow_recipes.settings_of(initial, flow_set, recipe)
    ask = flow_steering.FlowSteeringAsk(Prompt(prompt), settings, grid, texts, sampling, behaviour)
    grader = Judge(judge, judge_model, os.environ.get("LATENTS_JUDGE_KEY", "")) if judge else None
    started, found = time.perf_counter(), None
    with progress("writing") as show:
        for found in flow_steering.flow_steering(runner, ask, grader.scores if grader else None):
            show(found.done / found.total, f"{found.done} of {found.total} texts")
    assert found is not None
    rows = flow_steering.table(found.points)
    if as_json:
        record = _record("flow steer", ask.plain_data(), runner, ask.saes, None, started)
        kept = [
            {"setting": p.setting.label, "layer": p.setting.layer, "strength": p.strength, "text": t.text}
            for p in found.points
            for t in p.texts
        ]
        emit({"points": rows, "flow_set": [str(one.latent) for one in flow_set], "texts": kept, "record": record})
        return
    shown = ("setting", "layer", "strength", "measured_by", "n", "behaviour", "coherence", "total")
    print_rows([{name: "" if row[name] is None else row[name] for name in shown} for row in rows])


def _record(kind: str, asked: dict[str, Any], runner: Any, saes: Any, text: Any, started: float) -> dict[str, Any]:
    from dashboard.analysis.studies.record import make_record

    corpus = {} if text is None else {"corpus": text.name, "corpus_sha256": text.sha256}
    return make_record(kind, asked | corpus, runner.describe(), runner.catalog, saes, time.perf_counter() - started).__dict__


def _open(file: Path | None) -> tuple[Any, Any]:
    """The runner, and a text in the tokens of its model."""
    from dashboard.analysis.text.corpora import default_corpus
    from dashboard.analysis.text.corpus import check_corpus, read_corpus

    runner, text = open_default_runner(), read_corpus(file) if file else default_corpus(get_settings(), say)
    check_corpus(text, runner.model.id)
    return runner, text


def _lines(file: Path | None, option: str) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()) if file else ()
    except (OSError, UnicodeDecodeError) as error:
        raise BadAsk(f"{option} {file} cannot be read: {error}. Give a file of UTF-8 text, one text a line.") from error


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _floats(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise BadAsk(f"{option} {text!r} is not a list of numbers. Write for example -1,0,1.") from error


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not all(word.isascii() and word.isdigit() for word in _words(text)):
        raise BadAsk(f"--layers {text!r} is not a list of whole numbers. Write for example 12,16.")
    return tuple(int(word) for word in _words(text))
