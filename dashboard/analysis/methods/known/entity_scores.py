"""Counts, scores, choices and comparisons of a study, from what was read and from labels: no model is asked.

Recomputed whenever a label changes. What is in memory besides one block of the reading is counts a latent, what fires on
test entities (for the shuffled labels), and a few numbers an entity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.methods.known.entity_reading import ReadingPlan, norm_sites, read_blocks
from dashboard.analysis.methods.known.results import Baseline, BaselineComparison, NormPoint, StudySettings
from dashboard.analysis.methods.known.statistics.baselines import compared, firing_above, frequency_matched, saying_nothing, thresholds_at
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, Counts, EntityCounter, Firing, Roster, Split, count, stacked
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.latent_choice import Chosen, CurvePoint, NoiseRates, choose, layer_curves
from dashboard.analysis.methods.known.statistics.permutation import MaxNull, max_null
from dashboard.analysis.methods.known.statistics.right_or_wrong import Moments
from dashboard.analysis.methods.known.statistics.separation import separation
from dashboard.analysis.methods.known.statistics.significance import Significance, significance
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.blocks import Step

SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)
_DIRECTIONS = "random"
"""Release of the stand-in SAE whose latents are random directions."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Everything that is counted and compared."""

    roster: Roster
    counts: Counts
    norms: tuple[NormPoint, ...]
    significance: Significance
    known: tuple[Chosen, ...] = ()
    unknown: tuple[Chosen, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    nulls: tuple[MaxNull, ...] = ()
    baselines: tuple[BaselineComparison, ...] = ()


@dataclass(frozen=True, eq=False)
class _Counted:
    counts: Counts
    norms: tuple[NormPoint, ...]
    test: Firing
    """What fires on the known and unknown test entities."""
    test_rows: np.ndarray
    """Their places in the roster, rising."""


def score(members: Roster, plan: ReadingPlan, step: Step, noise: NoiseRates, settings: StudySettings) -> Scores:
    """Score a reading whose entities are `members`, in the order of the plan's owners."""
    counted = _count(members, plan, step)
    counts = counted.counts
    tested = significance(counts)
    scored = Scores(members, counts, counted.norms, tested)
    if not separation(counts, Split.TRAIN).kinds:
        return scored
    known, unknown = (choose(counts, side, settings.n_chosen, noise, settings.most_noise) for side in SIDES)
    both = set(separation(counts, Split.TRAIN).kinds) & set(separation(counts, Split.TEST).kinds)
    curves: tuple[CurvePoint, ...] = ()
    nulls: tuple[MaxNull, ...] = ()
    baselines: tuple[BaselineComparison, ...] = ()
    if both:
        curves = tuple(point for side in SIDES for point in layer_curves(counts, side))
        kept = noise.kept(settings.most_noise)
        if kept.any():
            nulls = max_null(_part(members, counted.test_rows), counted.test, np.arange(len(counted.test_rows)), kept,
                             settings.n_shuffles, settings.seed)  # fmt: skip
        baselines = _baselines(members, counts, plan, step, (known, unknown), settings)
    return Scores(members, counts, counted.norms, tested, known, unknown, curves, nulls, baselines)


def activations_of(plan: ReadingPlan, step: Step, n: int, columns: Sequence[int]) -> Float32[np.ndarray, "columns n"]:
    """The activations of some latents on each of n entities, 0 where they are silent."""
    values = np.zeros((len(columns), n), dtype=np.float32)
    for block in read_blocks(plan, step):
        for place, column in enumerate(columns):
            entries = np.flatnonzero(block.fires.column == column)
            rows = np.searchsorted(block.fires.start, entries, side="right") - 1
            values[place, block.texts[rows]] = block.value[entries]
    return values


def _part(members: Roster, rows: np.ndarray) -> Roster:
    return Roster(tuple(members.members[row] for row in rows))


def _count(members: Roster, plan: ReadingPlan, step: Step) -> _Counted:
    order = np.concatenate([block.texts for block in read_blocks(plan, step)])
    in_reading = _part(members, order)
    counter = EntityCounter(in_reading, plan.columns)
    sites = norm_sites(plan.columns)
    moments: dict[tuple[str, Knowledge], Moments] = {}
    parts: list[Firing] = []
    for block in read_blocks(plan, step):
        counter.add(block.fires)
        own = _part(members, block.texts)
        groups = np.array([f"{one.kind}\0{one.knowledge}" for one in own.members])
        for group in np.unique(groups):
            kind, knowledge = str(group).split("\0")
            key = (kind, Knowledge(knowledge))
            moments[key] = moments.get(key, Moments.none(len(sites))) + Moments.of_dense(block.norms[groups == group])
        parts.append(block.fires.rows(own.where(Split.TEST)))
    norms = tuple(
        NormPoint(site, kind, knowledge, found.n, float(found.mean[place]), float(np.sqrt(found.variance[place])) if found.n > 1 else None)
        for kind in members.kinds
        for knowledge in Knowledge
        if (found := moments.get((kind, knowledge))) is not None
        for place, site in enumerate(sites)
    )
    counts = counter.counts()
    kinds = [counts.kinds.index(kind) for kind in members.kinds]
    rows = order[in_reading.where(Split.TEST)]
    rank = np.argsort(rows)
    return _Counted(Counts(members.kinds, plan.columns, counts.n[kinds], counts.fires[kinds]), norms, stacked(parts).rows(rank), rows[rank])


def _baselines(
    members: Roster, counts: Counts, plan: ReadingPlan, step: Step, chosen: Sequence[Sequence[Chosen]], settings: StudySettings
) -> tuple[BaselineComparison, ...]:
    """Of the best latent of each side, on test."""
    found: list[BaselineComparison] = []
    for side, latents in zip(SIDES, chosen, strict=True):
        if not latents:
            continue
        best = latents[0]
        others = [one.column for one in latents]
        matched = frequency_matched(counts, best.column, others, settings.n_baseline, settings.seed)
        silent = saying_nothing(counts, best.column, side, settings.n_baseline, settings.seed)
        for sort, columns in ((Baseline.FREQUENCY, matched), (Baseline.NOTHING, silent)):
            if len(columns):
                names = tuple(str(counts.columns.latent(int(column))) for column in columns)
                found.append(BaselineComparison(best.latent, side, sort, names, compared(counts, best.column, side, counts, columns)))
        directions = _direction_counts(members, counts, plan, step, best, settings)
        names = tuple(f"direction {number}" for number in range(settings.n_baseline))
        against = compared(counts, best.column, side, directions, np.arange(settings.n_baseline))
        found.append(BaselineComparison(best.latent, side, Baseline.DIRECTIONS, names, against))
    return tuple(found)


def _direction_counts(members: Roster, counts: Counts, plan: ReadingPlan, step: Step, best: Chosen, settings: StudySettings) -> Counts:
    """Random directions counted as latents, each above the value that as large a share of train entities exceeds as the latent fires on."""
    place = counts.columns.saes.index(best.latent.sae)
    values = np.zeros((len(members.members), settings.n_baseline), dtype=np.float32)
    for block in read_blocks(plan, step):
        values[block.texts] = block.projections[:, place]
    fires, n = (
        sum(int(part.sum()) for part in parts)
        for parts in (
            [counts.fires_of(side, Split.TRAIN)[:, best.column] for side in SIDES],
            [counts.n_of(side, Split.TRAIN) for side in SIDES],
        )
    )
    thresholds = thresholds_at(values[members.where(Split.TRAIN)], fires / n)
    columns = Columns((SaeId(_DIRECTIONS, "directions"),), (best.site,), (settings.n_baseline,))
    return count(members, columns, firing_above(values, thresholds))
