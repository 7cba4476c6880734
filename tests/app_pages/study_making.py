"""A study with planted latents, made by the methods themselves out of activations that are written down."""

from pathlib import Path

import numpy as np

from dashboard.analysis.methods.known.results import (
    EntityActivations,
    KnownUnknownStudy,
    NormPoint,
    SplitSize,
    StudyAsk,
    StudyEntity,
    StudySettings,
    TypeAsk,
    TypeSummary,
)
from dashboard.analysis.methods.known.statistics.entity_counts import SPLITS, Columns, Firing, Split, count, roster
from dashboard.analysis.methods.known.statistics.labels import Knowledge, Label, LabelWay, tally
from dashboard.analysis.methods.known.statistics.latent_choice import NoiseRates, choose, layer_curves
from dashboard.analysis.methods.known.statistics.permutation import max_null
from dashboard.analysis.methods.known.statistics.separation import smallest_separation
from dashboard.analysis.methods.known.statistics.significance import significance
from dashboard.analysis.names import LatentId, Point, SaeId, Site
from dashboard.analysis.studies.record import RunRecord

SAES = (SaeId("tiny", "1.resid_post"), SaeId("tiny", "2.resid_post"))
N_LATENTS = 64
FOR_KNOWN, FOR_UNKNOWN = LatentId(SAES[1], 3), LatentId(SAES[0], 5)
"""Planted: they fire on 9 of 10 entities of their side and on no other."""
HOSTILE = "<img src=x onerror=alert(1)> | **x** $y$"


def made_study(n: int = 60, kinds: tuple[str, ...] = ("city", "song"), seed: int = 0) -> tuple[KnownUnknownStudy, np.ndarray]:
    """A study and its activations, entities by latents. Every third entity of a type is known, every tenth set aside."""
    generator = np.random.default_rng(seed)
    columns = Columns(SAES, (Site(1, Point.RESID_POST), Site(2, Point.RESID_POST)), (N_LATENTS, N_LATENTS))
    knowledge = [Knowledge.ASIDE if i % 10 == 9 else Knowledge.KNOWN if i % 3 == 0 else Knowledge.UNKNOWN for i in range(n)]
    members = roster([(kind, HOSTILE if i == 0 else f"{kind} {i}", knowledge[i]) for kind in kinds for i in range(n)], seed)
    values = np.where(generator.random((len(members.members), columns.n)) < 0.15, generator.random((len(members.members), columns.n)), 0)
    values[:, N_LATENTS - 4 : N_LATENTS] = 0.0  # dead ones
    for latent, side in ((FOR_KNOWN, Knowledge.KNOWN), (FOR_UNKNOWN, Knowledge.UNKNOWN)):
        fires = np.array([one.knowledge is side and i % 10 != 4 for i, one in enumerate(members.members)])
        values[:, columns.column(latent)] = np.where(fires, 1 + generator.random(len(fires)), 0)
    start = np.concatenate([[0], np.cumsum((values > 0).sum(1))]).astype(np.int64)
    found = Firing(start, np.nonzero(values)[1].astype(np.int32), columns.n)
    counts = count(members, columns, found)
    noise = NoiseRates(np.full(columns.n, 1, dtype=np.int64), 500)
    rows = members.where(Split.TEST)
    label = {one: Label(one, 0, 0, LabelWay.FILE) for one in Knowledge}
    entities = tuple(
        StudyEntity(one.kind, one.name, "famous", label[one.knowledge], one.split, *_text(one.kind, one.name)) for one in members.members
    )
    ask = StudyAsk(tuple(TypeAsk(kind, "0" * 64, "1" * 64) for kind in kinds), SAES, StudySettings(n_shuffles=50))
    record = RunRecord("known-unknown", ask.plain_data(), "tiny@main", {}, "cpu", "float32", "0", {}, "2025-01-01T00:00:00+00:00", 1.0)
    folder = Path("nowhere")
    study = KnownUnknownStudy(
        key="0123456789abcdef",
        ask=ask,
        record=record,
        types=tuple(_summary(kind, members, counts) for kind in kinds),
        entities=entities,
        roster=members,
        counts=counts,
        noise=noise,
        known=choose(counts, Knowledge.KNOWN, 3, noise),
        unknown=choose(counts, Knowledge.UNKNOWN, 3, noise),
        curves=(*layer_curves(counts, Knowledge.KNOWN), *layer_curves(counts, Knowledge.UNKNOWN)),
        significance=significance(counts),
        nulls=max_null(members, found, rows, None, 50),
        baselines=(),
        norms=tuple(
            NormPoint(Site(layer, Point.RESID_POST), kind, side, 10, 3.0 + layer, 0.5)
            for layer in (0, 1)
            for kind in kinds
            for side in Knowledge
        ),
        notes=("Labels are what the file says.",),
        n_overruled=0,
        folder=folder,
        reading=folder,
    )
    return study, values


def activations(study: KnownUnknownStudy, values: np.ndarray, latent: LatentId) -> EntityActivations:
    """One latent on every entity."""
    return EntityActivations(latent, values[:, study.columns.column(latent)].astype(np.float32))


def _summary(kind, members, counts) -> TypeSummary:
    place = counts.kinds.index(kind)
    sizes = []
    for split in SPLITS:
        n_known, n_unknown = (int(counts.n_of(side, split)[place]) for side in (Knowledge.KNOWN, Knowledge.UNKNOWN))
        sizes.append(SplitSize(split, n_known, n_unknown, smallest_separation(n_known, n_unknown)))
    own = tally(one.knowledge for one in members.members if one.kind == kind)
    return TypeSummary(kind, kind.title(), kind, own, tuple(sizes), 0, 0, None)


def _text(kind: str, name: str) -> tuple[str, int, int]:
    start = len(kind) + 6
    return f"The {kind} '{name}'", start, start + len(name)
