"""Studies of known and unknown entities that are made: what is seen in them, worked out from the steps that are kept.

Counts by type, label and split; latents chosen on train and shown on test, with exact tests, shuffled labels and baselines.
How a study is asked for and made: `study_entities`.

Source: Ferrando et al. 2024, arXiv:2411.14257, sections 2 and 3. Differs from it as the modules of `known` say.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import bundle
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known import entity_scores as scoring
from dashboard.analysis.methods.known.causality import find_causality
from dashboard.analysis.methods.known.entities import Taken
from dashboard.analysis.methods.known.notes import notes_on, summaries
from dashboard.analysis.methods.known.overruling import keep_overrule, read_overrules
from dashboard.analysis.methods.known.plan import Kept
from dashboard.analysis.methods.known.results import (
    KIND,
    EntityActivations,
    GradedAnswer,
    KnownUnknownStudy,
    Overrule,
    StudyAsk,
    StudyEntity,
    StudySettings,
    read_ask,
)
from dashboard.analysis.methods.known.statistics.entity_counts import roster
from dashboard.analysis.methods.known.wrong_answers import find_uncertainty
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.store import ResultStore

DEFAULT = StudySettings()
PREVIEW_WEIGHTS, PREVIEW_LEAST = 2**26, 4
"""Numbers in the encoders and decoders of a preview's SAEs together, and the fewest of them."""


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


def load_study(store: ResultStore, key: str) -> KnownUnknownStudy:
    """A study that is made, scored by the current grades.

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
            kept = Kept.read(store, key)
            ask, record = read_ask(kept.record.ask), kept.record
        except BadAsk:
            continue
        heads.append(StudyHead(key, record.created, ask, kept.result.n_entities, record.model, record.seconds))
    return tuple(heads)


def read_answers(store: ResultStore, study: KnownUnknownStudy, kind: str | None = None) -> Iterator[GradedAnswer]:
    """Every question, answer and grade, of one type or of all, in their current state; nothing by file."""
    kept = Kept.read(store, study.key)
    if (step := kept.step("knowledge")) is not None:
        overruled = read_overrules(study.folder).verdicts
        for _, answer in knowledge.graded(kept.plan.asked, step, overruled, kind):
            yield answer


def overrule(store: ResultStore, key: str, given: Overrule) -> KnownUnknownStudy:
    """Overrule the matcher's grade of one answer of a study, or restore it; the study is rescored, without a model.

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
    kept = Kept.read(store, study.key)
    plan = kept.plan
    step = kept.step("reading")
    assert step is not None
    columns = [plan.columns.column(latent) for latent in latents]
    values = scoring.activations_of(plan.reading, step, len(plan.taken), columns)
    return tuple(EntityActivations(latent, row) for latent, row in zip(latents, values, strict=True))


def summary(store: ResultStore, study: KnownUnknownStudy) -> dict[str, Any]:
    """The figures of a study that a reader wants first, as plain data."""
    return bundle.summarised(study, find_causality(store, study.key), find_uncertainty(store, study.key))


def tables_of(store: ResultStore, study: KnownUnknownStudy) -> dict[str, Iterable[dict[str, Any]]]:
    """Every table but the counts, by name, with the latest causality and uncertainty of the study."""
    return bundle.tables_of(study, _parts(store, study))


def write_study(store: ResultStore, study: KnownUnknownStudy, folder: Path) -> tuple[Path, ...]:
    """Write a study as tables with its record, and with the latest causality and uncertainty of it; the files."""
    return bundle.write_bundle(study, folder, _parts(store, study))


def _parts(store: ResultStore, study: KnownUnknownStudy) -> bundle.Parts:
    chosen = [one.latent for one in (*study.known, *study.unknown)]
    rows = np.array([one.values for one in activations(store, study, chosen)]).reshape(len(chosen), len(study.entities))
    return bundle.Parts(read_answers(store, study), rows, find_causality(store, study.key), find_uncertainty(store, study.key))


def newest_study(store: ResultStore, model: str) -> str:
    """The key of the newest study of a model.

    Raises:
        BadAsk: if there is none.
    """
    found = next((head.key for head in list_studies(store) if head.model == model), None)
    if found is None:
        raise BadAsk(f"There are 0 studies of {model} on this machine. Make one: latents study entities --preview")
    return found


def taken(store: ResultStore, key: str) -> tuple[Taken, ...]:
    """The entities of a study, in its order."""
    return Kept.read(store, key).plan.taken


@lru_cache(maxsize=4)
def _scored(root: Path, key: str, version: str) -> KnownUnknownStudy:
    """A study with the grades of that version; the last few stay in memory."""
    store = ResultStore(root)
    return _score(Kept.read(store, key))


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
