"""From the name or the folder of an SAE to pages about it, as a job: fetch it, check it, measure it on a short text, build its index.

The model that is loaded answers; what is slow gives way to pages after each batch.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.placing import CALIBRATION
from dashboard.analysis.engine.tickets import Place, Priority
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk, NotMeasured, OtherModel, PromptTooLong
from dashboard.analysis.index.building import index_steps
from dashboard.analysis.index.file import read_index
from dashboard.analysis.names import SaeId
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.roster.models import remember_saes
from dashboard.analysis.sae.catalog import FETCHED, Catalog, SaeSpec, fetched_folder, folder_spec, read_catalog
from dashboard.analysis.sae.public.fetching import check_weights, get_sae
from dashboard.analysis.sae.release import write_figures
from dashboard.analysis.sae.resolving import NATIVE, SaeFolder, resolve
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpora import default_corpus, keep_corpus
from dashboard.analysis.text.corpus import spread
from dashboard.analysis.tokens import Prompt

TOTAL = 1000
"""Of a job's progress."""
FIGURES = ("l0", "fvu", "ce_recovered")
_INDEXING_FROM = 100
_SAID_EVERY_S = 0.5


@dataclass(frozen=True)
class Brought:
    """An SAE that can be opened."""

    spec: SaeSpec
    caution: str | None
    measured: dict[str, float | int | None]
    """FIGURES and n_tokens; None for what cannot be said of the text."""


@dataclass(frozen=True)
class Bringing:
    """How far it is."""

    done: int
    """Of TOTAL."""
    words: str
    brought: Brought | None = None
    """From when it is measured."""


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


def bring(
    name: str, engine: Engine, settings: Settings, study: StudyRunner, renew: Callable[[], Catalog], n_tokens: int
) -> Iterator[Bringing]:
    """The job. `renew` gives the catalogue as it is once the SAE is here; the index reads about `n_tokens` tokens.

    Raises:
        OtherModel, OtherBos, WidthMismatch: if it is not of the engine's model.
        AnalysisError: whatever else `fetch` and `index_steps` refuse.
    """
    yield Bringing(0, f"fetching {name}")
    spec = fetch(name, settings, lambda line: None)
    model = engine.describe().model
    if kinship(spec.model, model) is Kinship.OTHER:
        raise OtherModel(str(spec.id), str(spec.model), str(model))
    yield Bringing(60, f"checking {spec.id} against the model")
    catalog = renew()
    spec = catalog.get(spec.id)

    def check(runner: LocalRunner) -> Iterator[str | None]:
        runner.sae(spec.id)
        yield runner.cautions.get(spec.id)

    with engine.submit(check, Priority.STUDY) as ticket:
        caution = ticket.result()
    yield Bringing(80, "measuring it on a short text")
    measured = measure(study, spec.id)
    keep_measured(spec, measured)
    spec = renew().get(spec.id)
    brought = Brought(spec, caution, measured)
    yield Bringing(_INDEXING_FROM, "building its index", brought)
    try:
        read_index(spec)
    except NotMeasured:
        yield from (Bringing(done, words, brought) for done, words in _index(spec, engine, settings, n_tokens))
    yield Bringing(TOTAL, "done", brought)


def _index(spec: SaeSpec, engine: Engine, settings: Settings, n_tokens: int) -> Iterator[tuple[int, str]]:
    corpus = spread(default_corpus(settings), n_tokens)
    keep_corpus(corpus, settings)

    def steps(runner: LocalRunner) -> Iterator[tuple[float, str]]:
        return index_steps([spec], corpus, runner.model, runner.catalog, settings.cache)

    said = 0.0
    with engine.submit(steps, Priority.TRAINING) as ticket:
        for item in ticket:
            if not isinstance(item, Place) and time.monotonic() - said > _SAID_EVERY_S:
                said, (share, words) = time.monotonic(), item
                yield min(TOTAL - 1, _INDEXING_FROM + int(share * (TOTAL - _INDEXING_FROM))), words
