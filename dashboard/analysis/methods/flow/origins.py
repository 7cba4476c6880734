"""Where residual latents come from, on text: each active latent at a token gets one of eight groups.

Steps: (1) draw tokens from a corpus; (2) at each, a residual latent that fires has a predecessor in the residual before
(RES), the MLP (MLP) or the attention (ATT) where its match there fires at the same token; the three bits are its group;
(3) shares of the groups by layer and kind of text; (4) for each pair of groups Mann-Whitney tests on the cosines of the
three matches; (5) how often a latent that was seen in one group is seen in another.

Source: Laptev et al. 2025, arXiv:2502.03032, section 4 and appendix. Differs from it: the texts are whatever corpus is here.
It says that two latents fire together, not that one makes the other fire: `deactivation.py` tests that. Tokens of one text
are no independent draws, and one latent occurs many times, so intervals and p-values that count occurrences are too narrow.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int8, Int32, Int64

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.samples import SHORT, SOURCES, Predecessors, SampleAsk, Sampled, SampledRow, draw, read
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.text.corpus import Corpus

SIGNIFICANT = 0.001
"""The paper's level."""
MIN_GROUP = 5
"""Fewest scores in a group that is tested."""


class Origin(StrEnum):
    """Which predecessors of a latent are active at the token where it is."""

    NOWHERE = "From nowhere"
    RES = "From RES"
    MLP = "From MLP"
    ATT = "From ATT"
    RES_MLP = "RES & MLP"
    RES_ATT = "RES & ATT"
    MLP_ATT = "MLP & ATT"
    ALL = "RES & MLP & ATT"

    @property
    def sources(self) -> tuple[Point, ...]:
        """Those that are active."""
        named = tuple(SHORT.values()) if self is Origin.ALL else self.value.removeprefix("From ").split(" & ")
        return tuple(point for point, short in SHORT.items() if short in named)


ORIGINS = tuple(Origin)
"""In the paper's order."""
_OF_BITS = np.array([0, 1, 2, 4, 3, 5, 6, 7], dtype=np.int8)
"""Place in ORIGINS of RES + 2 MLP + 4 ATT."""


def origin_of(active: Sequence[Point]) -> Origin:
    """The group of a latent by its active predecessors."""
    return ORIGINS[_OF_BITS[sum(1 << SOURCES.index(point) for point in {*active})]]


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Every active latent of one residual dictionary at every sampled token, in the order of the samples."""

    predecessors: Predecessors
    sample: Int32[np.ndarray, " occurrences"]
    """Counted through `Origins.row`."""
    latent: Int32[np.ndarray, " occurrences"]
    origin: Int8[np.ndarray, " occurrences"]
    """Place in ORIGINS. A source without a dictionary counts as not active."""

    @property
    def target(self) -> SaeId:
        """The residual dictionary."""
        return self.predecessors.target


@dataclass(frozen=True, eq=False)
class Origins:
    """Results of an origins study so far."""

    done: int
    """Documents read."""
    total: int
    rows: tuple[SampledRow, ...]
    """Those that were read."""
    row: Int32[np.ndarray, " samples"]
    """The document of each sampled token, counted through `rows`."""
    position: Int32[np.ndarray, " samples"]
    layers: tuple[Occurrences, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of text that were read."""
        return tuple(sorted({row.kind for row in self.rows}))


def origins(runner: Runner, corpus: Corpus, layers: Sequence[Predecessors], ask: SampleAsk, keep: Blocks = UNKEPT) -> Iterator[Origins]:
    """Groups of every active latent of each layer at the sampled tokens; partial results come every few documents.

    Raises:
        BadAsk: if there is no layer, or no document of the kinds.
    """
    if not layers:
        raise BadAsk("0 layers were chosen. Choose at least one residual dictionary that has another before it.")
    rows = draw(corpus, ask)
    parts: list[Sampled] = []
    found: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in layers]
    n_rows = n_samples = 0
    for part in read(runner, rows, (sae for layer in layers for sae in layer.saes), keep):
        for layer, pieces in zip(layers, found, strict=True):
            sample, latent, origin = grouped(part, layer)
            pieces.append((sample + n_samples, latent, origin))
        parts.append(part)
        n_rows, n_samples = n_rows + len(part.rows), n_samples + len(part.row)
        yield _so_far(parts, layers, found, n_rows, len(rows))


def grouped(sampled: Sampled, layer: Predecessors) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"], Int8[np.ndarray, " n"]]:
    """Sample, latent and place in ORIGINS of every active latent of a layer."""
    activity = sampled.of_sae[layer.target]
    bits = np.zeros(len(activity.sample), dtype=np.int64)
    for point, table in layer.tables.items():
        fires = sampled.fires(table.among)
        active = fires[activity.sample[:, None], table.index[activity.latent]].any(axis=1)
        bits += active.astype(np.int64) << SOURCES.index(point)
    return activity.sample, activity.latent, _OF_BITS[bits]


def _so_far(
    parts: Sequence[Sampled],
    layers: Sequence[Predecessors],
    found: Sequence[Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]],
    n_rows: int,
    total: int,
) -> Origins:
    starts = np.cumsum([0, *(len(part.rows) for part in parts[:-1])])
    row = np.concatenate([part.row + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32)
    of_layers = tuple(
        Occurrences(
            layer,
            np.concatenate([piece[0] for piece in pieces]).astype(np.int32),
            np.concatenate([piece[1] for piece in pieces]).astype(np.int32),
            np.concatenate([piece[2] for piece in pieces]).astype(np.int8),
        )
        for layer, pieces in zip(layers, found, strict=True)
    )
    position = np.concatenate([part.position for part in parts])
    return Origins(n_rows, total, tuple(row for part in parts for row in part.rows), row, position, of_layers)


@dataclass(frozen=True)
class OriginShare:
    """How much of what is active in a layer is of one group."""

    layer: int
    kind: str | None
    """Of text; None for all of it."""
    origin: Origin
    share: Share


def shares(found: Origins, by_kind: bool = False, places: Sequence[int] | None = None) -> tuple[OriginShare, ...]:
    """Share of each group by layer, and by kind of text if wanted; a layer's eight add up to 1. `places` chooses layers."""
    kind_of = np.array([found.kinds.index(row.kind) for row in found.rows], dtype=np.int64)
    answer: list[OriginShare] = []
    for place in range(len(found.layers)) if places is None else places:
        layer = found.layers[place]
        kind = kind_of[found.row[layer.sample]] if by_kind else np.zeros(len(layer.sample), dtype=np.int64)
        for number, name in enumerate(found.kinds if by_kind else (None,)):
            counts = np.bincount(layer.origin[kind == number], minlength=len(ORIGINS))
            n = int(counts.sum())
            answer += [OriginShare(layer.predecessors.layer, name, o, Share(int(k), n)) for o, k in zip(ORIGINS, counts, strict=True)]
    return tuple(answer)


def scores(layer: Occurrences, point: Point, distinct: bool = False) -> dict[Origin, Float64[np.ndarray, " n"]]:
    """Cosines of the best match of every occurrence, by its group; empty where there is no dictionary.

    `distinct`: each latent counts once in every group that it was seen in, so that common latents do not weigh more.
    """
    values = layer.predecessors.score(point)
    if point not in layer.predecessors.tables:
        return {origin: np.zeros(0) for origin in ORIGINS}
    chosen = {origin: layer.latent[layer.origin == number] for number, origin in enumerate(ORIGINS)}
    return {origin: values[np.unique(latents) if distinct else latents] for origin, latents in chosen.items()}


@dataclass(frozen=True)
class GroupTest:
    """Do the cosines with one source tell two groups apart?"""

    layer: int
    source: Point
    """Whose cosines are compared."""
    first: Origin
    second: Origin
    n_first: int
    n_second: int
    p: float
    """Two-sided Mann-Whitney, by the normal approximation with the correction for ties."""
    auroc: float
    """Share of pairs in which the first group's cosine is larger; 0.5 says nothing."""

    @property
    def is_significant(self) -> bool:
        """p below SIGNIFICANT."""
        return self.p < SIGNIFICANT

    def sort(self, module: Point) -> str:
        """AO: the module is active in one group only; AB: in both; IB: inactive in both."""
        return ("IB", "AO", "AB")[(module in self.first.sources) + (module in self.second.sources)]


def group_tests(found: Origins, distinct: bool = False) -> tuple[GroupTest, ...]:
    """A test for each layer, source and pair of groups that have MIN_GROUP scores each.

    All scores of a layer and source are its latents' cosines, so they are sorted once and each group is counts of the values.
    """
    answer: list[GroupTest] = []
    for layer in found.layers:
        seen = _times_seen(layer)
        if distinct:
            seen = np.minimum(seen, 1)
        for source in layer.predecessors.tables:
            values, place = np.unique(layer.predecessors.score(source), return_inverse=True)
            counts = np.zeros((len(values), len(ORIGINS)))
            np.add.at(counts, place, seen)
            n = counts.sum(axis=0).astype(int)
            for i, j in itertools.combinations(range(len(ORIGINS)), 2):
                if min(n[i], n[j]) >= MIN_GROUP:
                    p, auroc = _mann_whitney(counts[:, i], counts[:, j])
                    answer.append(GroupTest(layer.predecessors.layer, source, ORIGINS[i], ORIGINS[j], int(n[i]), int(n[j]), p, auroc))
    return tuple(answer)


def _mann_whitney(first: Float64[np.ndarray, " values"], second: Float64[np.ndarray, " values"]) -> tuple[float, float]:
    """p and AUROC of two sets that are counts of the same rising values: two-sided, normal approximation, corrected for ties and
    for continuity, as `scipy.stats.mannwhitneyu(method="asymptotic")`."""
    n, m, tied = first.sum(), second.sum(), first + second
    below = second.cumsum() - second
    statistic = float(first @ (below + second / 2))
    ties = float((tied**3 - tied).sum()) / ((n + m) * (n + m - 1))
    spread = math.sqrt(max(0.0, n * m / 12 * (n + m + 1 - ties)))
    distance = abs(statistic - n * m / 2) - 0.5
    p = min(1.0, math.erfc(distance / spread / math.sqrt(2))) if spread else 1.0
    return p, float(statistic / (n * m))


def significant_shares(tests: Sequence[GroupTest]) -> dict[tuple[Point, str, Point], Share]:
    """Share of significant tests by (module, AO | AB | IB, source of the cosine): the paper's figure 4."""
    counted: dict[tuple[Point, str, Point], list[bool]] = {}
    for test in tests:
        for module in SOURCES:
            counted.setdefault((module, test.sort(module), test.source), []).append(test.is_significant)
    return {key: Share(sum(values), len(values)) for key, values in counted.items()}


def group_to_group(found: Origins, places: Sequence[int] | None = None) -> Int64[np.ndarray, "8 8"]:
    """Latents seen in group A (row) that were also seen in group B (column), counted once a layer.

    Divide each row by its diagonal for P(also seen in B | seen in A); `places` chooses layers.
    """
    counts = np.zeros((len(ORIGINS), len(ORIGINS)), dtype=np.int64)
    for place in range(len(found.layers)) if places is None else places:
        seen = np.minimum(_times_seen(found.layers[place]), 1)
        counts += seen.T @ seen
    return counts


def _times_seen(layer: Occurrences) -> Int64[np.ndarray, "latents 8"]:
    counts = np.zeros((layer.predecessors.n_latents, len(ORIGINS)), dtype=np.int64)
    np.add.at(counts, (layer.latent, layer.origin), 1)
    return counts


@dataclass(frozen=True)
class LatentGroup:
    """A latent and how often it was seen in each group."""

    latent: LatentId
    counts: tuple[int, ...]
    """By ORIGINS."""
    cosines: tuple[float | None, ...]
    """With its best match, by SOURCES; None without a dictionary."""

    @property
    def usual(self) -> Origin:
        """The group in which it was seen most; the first of several."""
        return ORIGINS[int(np.argmax(self.counts))]


def latents_of(layer: Occurrences) -> tuple[LatentGroup, ...]:
    """Every latent that was active, most often first, ties by index."""
    counts = _times_seen(layer)
    totals = counts.sum(axis=1)
    order = np.lexsort((np.arange(len(totals)), -totals))
    cosines = [layer.predecessors.score(point) for point in SOURCES]
    return tuple(
        LatentGroup(
            LatentId(layer.target, int(i)),
            tuple(int(count) for count in counts[i]),
            tuple(None if np.isnan(of[i]) else float(of[i]) for of in cosines),
        )
        for i in order[: int((totals > 0).sum())]
    )
