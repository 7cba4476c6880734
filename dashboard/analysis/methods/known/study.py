"""The study of known and unknown entities: which latents tell what the model knows, on which types, and how surely.

Steps: (1) entities of some types; (2) labels known and unknown, by answers, by choices or by file; (3) on how many random
ordinary tokens each latent fires; (4) what fires at the last token of every name; (5) counts by type, label and split,
latents chosen on train and shown on test, with exact tests, shuffled labels and baselines. Steps 2 to 4 ask the model, are
kept on disk as they come and found again by any study that shares them; step 5 is made from them whenever it is wanted.

Source: Ferrando et al. 2024, arXiv:2411.14257, sections 2 and 3. Differs from it as the modules of `known` and `methods` say.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.entities.tables import EntityTable
from dashboard.analysis.errors import BadAsk, OtherModel, UnknownResult
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import causality
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known import entity_scores as scoring
from dashboard.analysis.methods.known import wrong_answers as uncertainty
from dashboard.analysis.methods.known.bundle import summarised, write_bundle
from dashboard.analysis.methods.known.causality import find_causality
from dashboard.analysis.methods.known.effects import CausalitySettings, PartProgress, UncertaintySettings
from dashboard.analysis.methods.known.entities import Taken, check_tables, keep_tables, take
from dashboard.analysis.methods.known.notes import notes_on, summaries
from dashboard.analysis.methods.known.overruling import keep_overrule, read_overrules
from dashboard.analysis.methods.known.plan import Kept, Plan, step_keys, steps_of
from dashboard.analysis.methods.known.results import (
    KIND,
    TOTAL,
    EntityActivations,
    GradedAnswer,
    KnownUnknownStudy,
    Overrule,
    StudyAsk,
    StudyEntity,
    StudyProgress,
    StudySettings,
    read_ask,
    type_ask,
)
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, roster
from dashboard.analysis.methods.known.statistics.labels import LabelWay
from dashboard.analysis.methods.known.wrong_answers import find_uncertainty
from dashboard.analysis.names import LatentId, Point, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.record import key_of, make_record
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.text.corpus import SHIPPED, Corpus, read_corpus

DEFAULT = StudySettings()
PREVIEW_WEIGHTS, PREVIEW_LEAST = 2**26, 4
"""Numbers in the encoders and decoders of a preview's SAEs together, and the fewest of them."""


def make_ask(
    tables: Sequence[EntityTable], saes: Sequence[SaeId], settings: StudySettings = DEFAULT, corpus: Corpus | None = None
) -> StudyAsk:
    """A study of some tables. Without a corpus random tokens come from the one that ships.

    Raises:
        BadAsk: if there are no tables or SAEs, or one twice.
    """
    return StudyAsk(tuple(type_ask(table) for table in tables), tuple(saes), settings, (corpus or read_corpus(SHIPPED)).sha256)


def residual_saes(catalog: Catalog) -> tuple[SaeId, ...]:
    """The SAEs of a whole study unless others are named: of the residual stream, of the first release that has any.

    Raises:
        BadAsk: if the catalogue is empty.
    """
    specs = [spec for spec in catalog.specs if spec.site.point is Point.RESID_POST] or list(catalog.specs)
    if not specs:
        raise BadAsk("There are 0 SAEs for this model. Train some, fetch some, or name a folder of them in LATENTS_SAE_FOLDERS.")
    return tuple(spec.id for spec in specs if spec.id.release == specs[0].id.release)


def preview_saes(catalog: Catalog) -> tuple[SaeId, ...]:
    """Those of `residual_saes` that a first look reads: evenly spaced, as many as have PREVIEW_WEIGHTS together, 4 at least."""
    found = residual_saes(catalog)
    weights = max(2 * catalog.get(sae).d_in * catalog.get(sae).n_latents for sae in found)
    n = max(PREVIEW_LEAST, PREVIEW_WEIGHTS // weights)
    return tuple(found[(2 * place + 1) * len(found) // (2 * n)] for place in range(n)) if len(found) > n else found


def run_study(
    runner: Runner, ask: StudyAsk, tables: Sequence[EntityTable], store: ResultStore, catalog: Catalog, corpus: Corpus | None = None
) -> Iterator[StudyProgress]:
    """Make a study, or find it made: then nothing is asked of the model. The last item has it.

    Raises:
        BadAsk: if the tables are not those of the ask, or it cannot be done.
        RunMismatch: if another process is making it.
    """
    check_tables(ask, tables)
    began = time.monotonic()
    card = runner.describe()
    record = make_record(KIND, ask.plain_data(), card, catalog, ask.saes, None)
    key = key_of(record)
    if key not in store.keys(KIND):
        keep_tables(store.folder(KIND, key) / "types", tables)
        plan = Plan.of(ask, take(tables, ask.settings), reading.columns_of(catalog, ask.saes))
        keys = step_keys(card, record, ask, plan)
        for share, words in _ask_model(runner, plan, steps_of(store, keys), _own_corpus(ask, card, corpus)):
            yield StudyProgress(min(int(share * TOTAL), TOTAL - 1), words)
        yield StudyProgress(TOTAL - 1, "Scoring and shuffling labels")
        columns = [{"sae": str(sae), "site": str(site), "n_latents": width} for sae, site, width in _rows(plan.columns)]
        result = {"steps": keys, "columns": columns, "n_entities": len(plan.taken)}
        store.save(replace(record, seconds=round(time.monotonic() - began, 2)), result)
    yield StudyProgress(TOTAL, "Done", load_study(store, key))


def find_study(store: ResultStore, ask: StudyAsk, catalog: Catalog) -> str | None:
    """The key of a study that is made, without a model; None if there is none."""
    wanted = ask.plain_data()
    hashes = {str(sae): weights_sha256(catalog.get(sae)) for sae in ask.saes}
    for key in store.keys(KIND):
        try:
            record, _ = store.load(KIND, key)
        except UnknownResult:
            continue
        if record.ask == wanted and record.saes == hashes:
            return key
    return None


def load_study(store: ResultStore, key: str) -> KnownUnknownStudy:
    """A study that is made, scored by the grades as they stand now.

    Raises:
        UnknownResult: if there is none of that key.
        BadAsk: if it was made by another version.
    """
    store.load(KIND, key)
    folder = store.folder(KIND, key)
    return _scored(folder.parents[1], key, read_overrules(folder).version)


@dataclass(frozen=True)
class StudyHead:
    """A study of the store, without its numbers."""

    key: str
    created: str
    """UTC, ISO 8601."""
    ask: StudyAsk
    n_entities: int
    model: str
    seconds: float | None


def list_studies(store: ResultStore) -> tuple[StudyHead, ...]:
    """All studies that are made and can be read, newest first."""
    heads: list[StudyHead] = []
    for key in store.keys(KIND):
        try:
            record, result = store.load(KIND, key)
            heads.append(StudyHead(key, record.created, read_ask(record.ask), int(result["n_entities"]), record.model, record.seconds))
        except (BadAsk, KeyError, TypeError, ValueError):
            continue
    return tuple(heads)


def read_answers(store: ResultStore, study: KnownUnknownStudy, kind: str | None = None) -> Iterator[GradedAnswer]:
    """Every question, answer and grade, of one type or of all, as they stand now; nothing by file."""
    kept = Kept(store, study.key, study.record, store.load(KIND, study.key)[1])
    if (step := kept.step("knowledge")) is not None:
        overruled = read_overrules(study.folder).verdicts
        for _, answer in knowledge.graded(kept.plan.asked, step, overruled, kind):
            yield answer


def overrule(store: ResultStore, key: str, given: Overrule) -> KnownUnknownStudy:
    """Judge one answer of a study otherwise than the matcher, or take that back; the study scored anew, without a model.

    Raises:
        UnknownResult: if there is no study of that key.
        BadAsk: if it has no such answer.
    """
    study = load_study(store, key)
    places = {(one.kind, one.name, one.attribute, one.sample) for one in read_answers(store, study, given.kind)}
    if given.place not in places:
        raise BadAsk(f"Study {key} has no answer {given.sample} to {given.attribute} of the {given.kind} {given.name!r}.")
    keep_overrule(study.folder, given)
    return load_study(store, key)


def activations(store: ResultStore, study: KnownUnknownStudy, latents: Sequence[LatentId]) -> tuple[EntityActivations, ...]:
    """Some latents on every entity.

    Raises:
        BadAsk, UnknownLatent: if one is not a latent of the study.
    """
    kept = Kept(store, study.key, study.record, store.load(KIND, study.key)[1])
    plan = kept.plan
    step = kept.step("reading")
    assert step is not None
    columns = [plan.columns.column(latent) for latent in latents]
    values = scoring.activations_of(plan.reading, step, len(plan.taken), columns)
    return tuple(EntityActivations(latent, row) for latent, row in zip(latents, values, strict=True))


def summary(store: ResultStore, study: KnownUnknownStudy) -> dict[str, Any]:
    """The figures of a study that a reader wants first, as plain data."""
    return summarised(study, find_causality(store, study.key), find_uncertainty(store, study.key))


def write_study(store: ResultStore, study: KnownUnknownStudy, folder: Path) -> tuple[Path, ...]:
    """Write a study as tables with its record, and with the latest causality and uncertainty of it; the files."""
    chosen = [one.latent for one in (*study.known, *study.unknown)]
    rows = np.array([one.values for one in activations(store, study, chosen)]).reshape(len(chosen), len(study.entities))
    parts = find_causality(store, study.key), find_uncertainty(store, study.key)
    return write_bundle(study, folder, read_answers(store, study), rows, *parts)


def run_causality(
    runner: Runner, store: ResultStore, study: KnownUnknownStudy, settings: CausalitySettings, catalog: Catalog
) -> Iterator[PartProgress]:
    """See `known.causality`: answers, self-report and attention with the chosen latents added or taken out. Resumable, kept."""
    yield from causality.run_causality(runner, store, study, _taken(store, study), settings, catalog)


def run_uncertainty(
    runner: Runner, store: ResultStore, study: KnownUnknownStudy, settings: UncertaintySettings, catalog: Catalog
) -> Iterator[PartProgress]:
    """See `known.uncertainty`: latents that fire before wrong answers. Resumable, kept."""
    yield from uncertainty.run_uncertainty(runner, store, study, _taken(store, study), settings, catalog)


def _taken(store: ResultStore, study: KnownUnknownStudy) -> tuple[Taken, ...]:
    return Kept(store, study.key, study.record, store.load(KIND, study.key)[1]).plan.taken


def _own_corpus(ask: StudyAsk, card: ModelCard, corpus: Corpus | None) -> Corpus:
    own = corpus or read_corpus(SHIPPED)
    if own.sha256 != ask.corpus_sha256:
        raise BadAsk(f"The study takes random tokens from the corpus {ask.corpus_sha256[:8]}; {own.name} is {own.sha256[:8]}. Ask anew.")
    if own.model != str(card.model):
        raise OtherModel(f"the corpus {own.name}", own.model, str(card.model))
    return own


def _ask_model(runner: Runner, plan: Plan, steps: dict[str, Step], corpus: Corpus) -> Iterator[tuple[float, str]]:
    """The three steps that ask the model: share of all their work, and a few words."""
    own = plan.ask.settings
    noise = reading.plan_noise(corpus, own)
    n_asked, n_texts, n_noise = len(plan.asked.asked), len(plan.reading.texts), sum(map(len, noise.positions))
    # Work in tokens that the model reads; a written token costs about as much as five.
    answering = own.rule.k + 1 if own.way is LabelWay.ANSWERS else own.n_choices
    costs = {
        "knowledge": n_asked * answering * (100 if own.way is LabelWay.ANSWERS else 10),
        "noise": sum(map(len, noise.rows)),
        "reading": n_texts * 12,
    }
    work: dict[str, tuple[str, Callable[[Step], Iterator[float]]]] = {
        "knowledge": (f"Asking {n_asked:,} questions", lambda step: knowledge.put(runner, plan.asked, own, step)),
        "noise": (f"Reading {n_noise:,} random tokens", lambda step: reading.read_noise(runner, noise, plan.columns, step)),
        "reading": (f"Reading {n_texts:,} names at {len(plan.columns.saes)} SAEs", lambda step: reading.read(runner, plan.reading, step)),
    }
    total, done = sum(costs[name] for name in steps) or 1, 0
    for name, (words, start) in work.items():
        if name not in steps:
            continue
        yield done / total, words
        with steps[name].held():
            for share in start(steps[name]):
                yield (done + share * costs[name]) / total, words
        done += costs[name]


def _rows(columns: Columns) -> Iterator[tuple[SaeId, Site, int]]:
    yield from zip(columns.saes, columns.sites, columns.widths, strict=True)


@lru_cache(maxsize=4)
def _scored(root: Path, key: str, version: str) -> KnownUnknownStudy:
    """A study with the grades of that version; the last few stay in memory."""
    store = ResultStore(root)
    return _score(Kept(store, key, *store.load(KIND, key)))


def _score(kept: Kept) -> KnownUnknownStudy:
    plan, columns = kept.plan, kept.columns
    ask = plan.ask
    overruled = read_overrules(kept.folder)
    labels = knowledge.labels(plan.taken, plan.asked, kept.step("knowledge"), overruled.verdicts, ask)
    members = roster(
        ((one.kind.name, one.entity.name, label.knowledge) for one, label in zip(plan.taken, labels, strict=True)),
        ask.settings.seed,
        ask.settings.shares,
    )
    noise_step, reading_step = kept.step("noise"), kept.step("reading")
    assert noise_step is not None and reading_step is not None
    noise = reading.noise_rates(noise_step, columns)
    scores = scoring.score(members, plan.reading, reading_step, noise, ask.settings)
    entities = tuple(
        StudyEntity(
            one.kind.name, one.entity.name, one.entity.familiarity, label, member.split, one.filled.text, one.filled.start, one.filled.end
        )
        for one, label, member in zip(plan.taken, labels, members.members, strict=True)
    )
    types = summaries(plan.taken, labels, scores.counts, plan.asked, ask.settings)
    return KnownUnknownStudy(
        key=kept.key,
        ask=ask,
        record=kept.record,
        types=types,
        entities=entities,
        roster=members,
        counts=scores.counts,
        noise=noise,
        known=scores.known,
        unknown=scores.unknown,
        curves=scores.curves,
        significance=scores.significance,
        nulls=scores.nulls,
        baselines=scores.baselines,
        norms=scores.norms,
        notes=notes_on(ask, types, scores, noise, sum(len(owners) > 1 for owners in plan.reading.owners)),
        n_overruled=len(overruled.verdicts),
        folder=kept.folder,
        reading=reading_step.folder,
    )
