"""The study that fits a Jacobian lens for a model, checks it, and has the model read through it from then on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.analysis.asks.lens import SKIPPED, KeepLensAsk
from dashboard.analysis.lenses.file import Check, LensRecord, pack
from dashboard.analysis.methods.lens.fitting import N_TOKENS, Sum, check, fit, held_out
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.jobs import Lane
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study
from dashboard.analysis.system.versions import LIBRARIES


@dataclass(frozen=True)
class LensFitAsk:
    """How much text a lens is fitted and checked on."""

    n_texts: int = option(32, "Documents to fit on; each takes minutes on a CPU.", flag="--texts", low=1, high=1000, label="Texts")
    n_held_out: int = option(24, "Further documents to check it on.", flag="--held-out", low=2, high=500, label="Held-out texts")
    n_tokens: int = option(N_TOKENS, "Tokens of each document, from its beginning.", flag="--tokens", low=SKIPPED + 2, high=1023)
    corpus: Path | None = option(None, "A corpus in the model's own tokens; default: the shipped one.", flag="--corpus")


def asked(bench: Bench, ask: LensFitAsk) -> dict[str, Any]:
    """What a lens depends on: the text by its content, not by the name of its file."""
    return {"texts": ask.n_texts, "held_out": ask.n_held_out, "tokens": ask.n_tokens, "corpus": bench.corpus(ask.corpus).sha256}


def steps(bench: Bench, ask: LensFitAsk) -> Iterator[Progress[LensRecord]]:
    """Fit, keep, check, and keep with the check.

    Raises:
        BrokenText: if the corpus has too few documents of that length.
        NotUsable: if TransformerLens can fit no lens on this model.
    """
    corpus, card = bench.corpus(ask.corpus), bench.runner.describe()
    rows = held_out(corpus, ask.n_held_out, ask.n_tokens)
    total = ask.n_texts + len(rows)
    found: Sum | None = None
    for found in fit(bench.runner, corpus, ask.n_texts, ask.n_tokens, None if bench.folder is None else Step(bench.folder / "sum")):
        yield Progress(len(found.documents), total, f"fitted on {len(found.documents)} of {ask.n_texts} texts")
    assert found is not None
    created = datetime.now(UTC).isoformat(timespec="seconds")
    libraries = {name: version for name, version in LIBRARIES.items() if name in ("torch", "transformer-lens")}
    record = LensRecord(str(card.model), corpus.name, corpus.sha256, found.documents, ask.n_tokens, SKIPPED, card.dtype, libraries, created)
    lens = pack(record, found.mean)
    bench.runner.ask(KeepLensAsk(lens))
    for done in check(bench.runner, rows):
        if isinstance(done, Check):
            record = replace(record, check=done)
        else:
            yield Progress(ask.n_texts + done, total, f"checked on {done} of {len(rows)} texts")
    bench.runner.ask(KeepLensAsk(replace(lens, record=record)))
    yield Progress(total, total, result=record)


def tables(made: Made[LensFitAsk, LensRecord]) -> Mapping[str, Rows]:
    """Agreement and divergence by layer."""
    found = made.result.check
    if found is None:
        return {}
    rows: list[dict[str, Any]] = []
    for lens, layers in (("logit", found.logit), ("jacobian", found.jacobian)):
        for one in layers:
            row: dict[str, Any] = {"lens": lens, "layer": one.layer}
            for name in ("agreement", "kl", "agreement_elsewhere", "kl_elsewhere"):
                value = getattr(one, name)
                row |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
            rows.append(row)
    return {"agreement": rows}


def notes(made: Made[LensFitAsk, LensRecord]) -> list[str]:
    """What a reader must know."""
    record, said = made.result, []
    if record.check is not None:
        counted = f"{record.check.n_tokens:,} tokens of {record.check.n_texts} held-out texts"
        said.append(f'Shares of {counted}; intervals of 95 % by a bootstrap over texts. "Elsewhere": read at another token of the text.')
    if not record.dtype.startswith("float32"):
        said.append(f"Fitted in {record.dtype}, whose gradients are coarse: LATENTS_DTYPE=float32 gives a better lens.")
    return said


STUDY = Study(
    kind="jacobian lens",
    about="Fit a Jacobian lens for the model, compare it with the logit lens on held-out text, and read the model through it from then on.",
    ask=LensFitAsk,
    result=LensRecord,
    unit="texts",
    steps=steps,
    title=lambda ask: f"{ask.n_texts} texts",
    command=("model", "fit-lens"),
    asked=asked,
    lane=Lane.TRAINING,
    tables=tables,
    notes=notes,
)
