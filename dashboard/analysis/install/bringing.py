"""From the name or the folder of an SAE to pages about it, as a study: fetch it, check it, measure it on a short text, build its index.

What is done is found where it belongs: the SAE in its folder, its figures in its record, its index beside it. So a job that was
killed goes on when the same is asked for again.

The model that is loaded answers; slow work yields to pages after each batch.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.placing import CALIBRATION
from dashboard.analysis.engine.tickets import Priority
from dashboard.analysis.errors import BadAsk, NotMeasured, OtherModel, PromptTooLong
from dashboard.analysis.index.building import index_steps
from dashboard.analysis.index.file import read_index
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.plain import to_plain
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.roster.models import remember_saes
from dashboard.analysis.sae.catalog import FETCHED, SaeSpec, fetched_folder, folder_spec, read_catalog
from dashboard.analysis.sae.public.fetching import check_weights, get_sae
from dashboard.analysis.sae.release import write_figures
from dashboard.analysis.sae.resolving import NATIVE, SaeFolder, resolve
from dashboard.analysis.settings import INDEX_TOKENS, Settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Lane
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Study
from dashboard.analysis.text.corpora import default_corpus, keep_corpus
from dashboard.analysis.text.corpus import spread
from dashboard.analysis.tokens import Prompt

T = TypeVar("T")
TOTAL = 1000
"""Of a job's progress."""
FIGURES = ("l0", "fvu", "ce_recovered")
_INDEXING_FROM = 100
_SAID_EVERY_S = 0.5


@dataclass(frozen=True)
class Brought:
    """An SAE that can be opened."""

    sae: SaeId
    site: Site
    n_latents: int
    caution: str | None
    measured: Mapping[str, float | int | None]
    """FIGURES and n_tokens; None for what cannot be said of the text."""
    is_indexed: bool
    """True once everything is done."""


@dataclass(frozen=True)
class BringAsk:
    """An SAE by its name: fetched, checked, measured and indexed."""

    name: str = option("", "Folder in sae-lens' layout, RELEASE/ID, or OWNER/REPO/ID.", argument="SAE", label="SAE")
    tokens: int = option(
        INDEX_TOKENS,
        "The index records where each latent fires over about this many tokens of the shipped text. More take longer and are more precise.",
        low=1,
        label="Tokens of the index",
    )


@runtime_checkable
class Working(Protocol):
    """A runner that also does work of the model's own."""

    def work(self, steps: Callable[[LocalRunner], Iterator[T]], priority: Priority = Priority.STUDY) -> Generator[T, None, None]:
        """What the steps give."""
        ...


def fetch(name: str, settings: Settings, say: Callable[[str], None]) -> SaeSpec:
    """An SAE once it is here and found by its name: one that is in the catalogue, or of a folder in sae-lens' layout, of the directory
    (RELEASE/ID) or of a repository (OWNER/REPO/ID).

    Raises:
        BadAsk: if another SAE has its name.
        AnalysisError: what `get_sae` raises.
    """
    here = read_catalog(settings)
    match resolve(name, here):
        case SaeSpec() as known:
            return known
        case SaeFolder(folder, is_native=True):
            check_weights(folder / NATIVE)
            spec = folder_spec(folder)
        case _:
            sae = get_sae(name, settings.cache, say)
            spec = replace(folder_spec(fetched_folder(sae, settings.cache)), id=sae)
    known = next((one for one in here.specs if one.id == spec.id), None)
    if known is None and settings.cache / FETCHED not in spec.source.parents:
        remember_saes(spec.source.parent, settings)
    elif known is not None and known.source != spec.source:
        raise BadAsk(f"{known.source} is already called {known.id}. Open that one by this name, or rename the folder above {name}.")
    return spec


def measure(runner: Runner, sae: SaeId) -> dict[str, float | int | None]:
    """FIGURES over the calibration text, or as much of it as the model reads at once."""
    text = CALIBRATION.read_text()
    while True:
        try:
            capture = runner.ask(CaptureAsk(Prompt(text), (sae,), fidelity=True))
            break
        except PromptTooLong:
            text = text[: len(text) // 2]
    found = capture.fidelity[sae]
    n_tokens = sum(not special for special in capture.tokens.special)
    return {"l0": found.l0, "fvu": found.fvu, "ce_recovered": found.ce_recovered, "n_tokens": n_tokens}


def keep_measured(spec: SaeSpec, measured: dict[str, float | int | None]) -> None:
    """Write the figures into its record, unless it has some already of a longer text, or of one whose length it does not say."""
    known = spec.record.get("evaluation")
    if isinstance(known, dict) and known and not known.get("n_tokens", math.inf) <= (measured["n_tokens"] or 0):
        return
    write_figures(spec, evaluation={key: value for key, value in measured.items() if value is not None})


def _steps(bench: Bench, ask: BringAsk) -> Iterator[Progress[Brought]]:
    """Fetch it, check it, measure it, build its index, unless it has one.

    Raises:
        OtherModel, OtherBos, WidthMismatch: if it is not of the loaded model.
        AnalysisError: whatever else `fetch` and `index_steps` refuse.
    """
    if not ask.name.strip():
        raise BadAsk("No SAE was named. Give a folder, RELEASE/ID, or OWNER/REPO/ID.")
    runner, renew = bench.runner, bench.renew or (lambda: bench.catalog)
    if not isinstance(runner, Working):
        raise BadAsk("This runner only answers asks; an SAE can only be added where the model is loaded. Run it there.")
    yield Progress(0, TOTAL, f"fetching {ask.name}")
    spec = fetch(ask.name, bench.settings, lambda line: None)
    model = runner.describe().model
    if kinship(spec.model, model) is Kinship.OTHER:
        raise OtherModel(str(spec.id), str(spec.model), str(model))
    yield Progress(60, TOTAL, f"checking {spec.id} against the model")
    spec = renew().get(spec.id)
    (caution,) = _check(runner, spec.id)
    yield Progress(80, TOTAL, "measuring it on a short text")
    measured = measure(bench.runner, spec.id)
    keep_measured(spec, measured)
    spec = renew().get(spec.id)
    brought = Brought(spec.id, spec.site, spec.n_latents, caution, measured, False)
    yield Progress(_INDEXING_FROM, TOTAL, "building its index", brought)
    try:
        read_index(spec)
    except NotMeasured:
        yield from (Progress(done, TOTAL, words, brought) for done, words in _index(spec, runner, bench.settings, ask.tokens))
    yield Progress(TOTAL, TOTAL, "done", replace(brought, is_indexed=True))


def _check(runner: Working, sae: SaeId) -> list[str | None]:
    """What a reader must be warned of."""

    def check(own: LocalRunner) -> Iterator[str | None]:
        own.sae(sae)
        yield own.cautions.get(sae)

    return list(runner.work(check))


def _index(spec: SaeSpec, runner: Working, settings: Settings, n_tokens: int) -> Iterator[tuple[int, str]]:
    corpus = spread(default_corpus(settings), n_tokens)
    keep_corpus(corpus, settings)

    def steps(own: LocalRunner) -> Iterator[tuple[float, str]]:
        return index_steps([spec], corpus, own.model, own.catalog, settings.cache)

    said = 0.0
    with closing(runner.work(steps, Priority.TRAINING)) as items:
        for share, words in items:
            if time.monotonic() - said > _SAID_EVERY_S:
                said = time.monotonic()
                yield min(TOTAL - 1, _INDEXING_FROM + int(share * (TOTAL - _INDEXING_FROM))), words


def _rows(made: Made[BringAsk, Brought]) -> list[dict[str, Any]]:
    found = made.result
    return [{"name": str(found.sae), "site": str(found.site), "latents": found.n_latents, "caution": found.caution, **found.measured}]


STUDY = Study(
    kind="bring",
    about="Fetch an SAE, check it against the loaded model, measure it on a short text and build its index.",
    ask=BringAsk,
    result=Brought,
    unit="thousandths",
    steps=_steps,
    title=lambda ask: ask.name,
    command=("sae", "bring"),
    lane=Lane.TRAINING,
    tables=lambda made: {"figures": _rows(made)},
    answer=lambda made: to_plain(made.result),
    keeps=False,
)
