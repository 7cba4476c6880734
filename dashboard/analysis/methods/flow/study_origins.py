"""The study of origins: the ask with its options, what is kept, its tables and what its command prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.analysis.methods.flow import origins as method
from dashboard.analysis.methods.flow import study_options as own
from dashboard.analysis.methods.flow.origins import Origins
from dashboard.analysis.methods.flow.samples import SHORT, SampleAsk, predecessors_of
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study


@dataclass(frozen=True)
class OriginsAsk:
    """Where the active residual latents of a suite come from, at random tokens of a text."""

    release: str = own.release()
    layers: tuple[int, ...] = own.layers()
    kinds: tuple[str, ...] = own.kinds("Kinds of text (none: all)")
    texts: int = option(250, "Documents of the corpus, balanced over kinds.", low=1, high=own.MAX_TEXTS, label="Texts")
    tokens: int = own.tokens(5)
    by_kind: bool = option(False, "Also show shares by kind of text.", shows=True)
    top: int = option(1, "Number of matches of which any may be active.", flag="--top-k --top", low=1, high=20)
    distinct: bool = option(False, "Count each latent once per group in the tests.", shows=True)
    seed: int = own.seed()
    corpus: Path | None = own.corpus()

    @property
    def sample(self) -> SampleAsk:
        """The tokens that are drawn."""
        return SampleAsk(self.texts, self.tokens, self.kinds, self.seed)


def _asked(bench: Bench, ask: OriginsAsk) -> dict[str, Any]:
    layers = [layer.layer for layer in own.chosen_layers(bench.catalog, ask.release, ask.layers)]
    return {"release": ask.release, "layers": layers, "top": ask.top} | ask.sample.plain_data() | own.text_of(bench, ask.corpus)


def _saes(bench: Bench, ask: OriginsAsk) -> tuple[SaeId, ...]:
    return own.saes_of(bench.catalog, own.chosen_layers(bench.catalog, ask.release, ask.layers))


def _steps(bench: Bench, ask: OriginsAsk) -> Iterator[Progress[Origins]]:
    layers = own.chosen_layers(bench.catalog, ask.release, ask.layers)
    matched = [predecessors_of(bench.runner, bench.catalog, layer, top=ask.top) for layer in layers]
    for found in method.origins(bench.runner, bench.corpus(ask.corpus), matched, ask.sample, bench):
        yield Progress(found.done, found.total, result=found)


def _title(ask: OriginsAsk) -> str:
    said = f"{own.said_layers(ask.layers)} of {ask.release}, texts: {ask.texts}, tokens of each: {ask.tokens}"
    return said + (f", {','.join(ask.kinds)}" if ask.kinds else "")


def _share_rows(made: Made[OriginsAsk, Origins]) -> list[dict[str, Any]]:
    found = made.result
    both = (*method.shares(found), *(method.shares(found, by_kind=True) if made.ask.by_kind else ()))
    return [
        {"layer": one.layer, "kind": one.kind, "origin": one.origin.value, "k": one.share.k, "n": one.share.n}
        | {"share": one.share.value, "interval": one.share.interval}
        for one in both
    ]


def _test_rows(made: Made[OriginsAsk, Origins]) -> list[dict[str, Any]]:
    tests = method.group_tests(made.result, made.ask.distinct)
    return [
        {"module": SHORT[module], "sort": sort, "score": SHORT[source], "significant": share.k, "tests": share.n}
        for (module, sort, source), share in method.significant_shares(tests).items()
    ]


def _answer(made: Made[OriginsAsk, Origins]) -> dict[str, Any]:
    found, asked = made.result, made.record.ask
    missing = {str(one.layer): [SHORT[point] for point in one.missing] for one in (o.predecessors for o in found.layers) if one.missing}
    first = {name: asked[name] for name in ("release", "layers", "top")} | {"distinct": made.ask.distinct}
    return {
        "shares": _share_rows(made),
        "significant": _test_rows(made),
        "matrix": {"groups": [origin.value for origin in method.ORIGINS], "latents_in_both": method.group_to_group(found).tolist()},
        "missing": missing,
        "n_tokens": len(found.row),
        "record": {**made.record.__dict__, "ask": first | asked},
    }


def _tables(made: Made[OriginsAsk, Origins]) -> dict[str, Rows]:
    return {"shares": _share_rows(made), "tests": _test_rows(made)}


def _printed(made: Made[OriginsAsk, Origins]) -> Sequence[Rows | str]:
    rows = [one for one in _share_rows(made) if one["kind"] is None]
    table: dict[int, dict[str, Any]] = {one["layer"]: {"layer": one["layer"], "n": one["n"]} for one in rows}
    for one in rows:
        table[one["layer"]][one["origin"]] = "" if one["share"] is None else f"{one['share']:.1%}"
    said = f"\n{len(made.result.row):,} tokens of {made.result.done} texts; tests with p < {method.SIGNIFICANT}, "
    return list(table.values()), said + "by what the module does in the pair", _test_rows(made)


def _notes(made: Made[OriginsAsk, Origins]) -> tuple[str, ...]:
    del made
    return ("Tokens of one text are alike, so the intervals are too narrow.",)


STUDY = Study(
    kind="flow origins",
    about="Where the active residual latents come from: eight groups by layer, tests and the matrix between groups.",
    ask=OriginsAsk,
    result=Origins,
    unit="texts",
    steps=_steps,
    title=_title,
    command=("flow", "origins"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    notes=_notes,
    answer=_answer,
    printed=_printed,
    example=OriginsAsk(texts=120),
)
