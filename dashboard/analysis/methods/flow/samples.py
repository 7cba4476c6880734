"""What the data side of the flow looks at: tokens drawn from a corpus, and for each residual latent its predecessors.

A predecessor is a latent of the residual before, of the MLP or of the attention of the same layer that a match names; it is
active at a token where it fires there. Source: Laptev et al. 2025, arXiv:2502.03032, section 4 (250 texts, 5 tokens each).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32

from dashboard.analysis.asks.chosen_tokens import Activity, ActivityAsk, SampledActivity
from dashboard.analysis.asks.matching import MatchAsk, MatchBy, MatchTable
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.results import FlowLayer
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.studies.blocks import in_blocks
from dashboard.analysis.text.corpus import Corpus

SOURCES = (Point.RESID_POST, Point.MLP_OUT, Point.ATTN_OUT)
"""Where a residual latent may come from: the residual before, the MLP, the attention."""
SHORT = {Point.RESID_POST: "RES", Point.MLP_OUT: "MLP", Point.ATTN_OUT: "ATT"}
"""As the paper calls them."""
_ROWS_PER_ASK = 8


@dataclass(frozen=True, eq=False)
class Predecessors:
    """For each latent of a residual dictionary, its counterparts in the dictionaries that come before it."""

    target: SaeId
    layer: int
    tables: Mapping[Point, MatchTable]
    """By SOURCES; a source without a dictionary is missing. Row i is latent i; the best match comes first, and any of a row counts."""

    def __post_init__(self) -> None:
        for point, table in self.tables.items():
            if point not in SOURCES:
                raise BadAsk(f"{point.value} is not a source of a residual latent; there are {', '.join(p.value for p in SOURCES)}.")
            if table.of != self.target or not np.array_equal(table.latents, np.arange(len(table.latents))):
                raise BadAsk(f"The matches with {table.among} must hold all latents of {self.target}, in order.")
        if len({len(table.latents) for table in self.tables.values()}) != 1:
            raise BadAsk(f"The matches of {self.target} are {len(self.tables)} tables that do not hold the same latents.")

    @property
    def n_latents(self) -> int:
        """Latents of the target dictionary."""
        return len(next(iter(self.tables.values())).latents)

    @property
    def missing(self) -> tuple[Point, ...]:
        """Sources without a dictionary: whether a latent comes from there is unknown."""
        return tuple(point for point in SOURCES if point not in self.tables)

    @property
    def saes(self) -> tuple[SaeId, ...]:
        """The target's dictionary and those before it."""
        return (self.target, *(table.among for table in self.tables.values()))

    def score(self, point: Point) -> Float64[np.ndarray, " latents"]:
        """Cosine of each latent with its best match; NaN without a dictionary."""
        table = self.tables.get(point)
        return np.full(self.n_latents, np.nan) if table is None else table.cosine[:, 0]

    def of(self, point: Point, latent: int) -> tuple[LatentId, ...]:
        """The counterparts of one latent."""
        table = self.tables.get(point)
        return () if table is None else tuple(LatentId(table.among, int(i)) for i in table.index[latent])


def predecessors_of(
    runner: Runner, catalog: Catalog, layer: FlowLayer, by: MatchBy = MatchBy.COSINE, top: int = 1, seed: int = 0
) -> Predecessors:
    """Matches of every latent of a layer in the dictionaries before it. One that reads the heads' outputs before W_O says nothing of
    the residual stream and counts as missing.

    Raises:
        BadAsk: if there is no dictionary before it.
    """
    there = {point: sae for point in SOURCES if (sae := layer.before(point)) and catalog.get(sae).site.point is point}
    if not there:
        raise BadAsk(f"0 dictionaries come before {layer.resid}, so its latents have no predecessors here. Choose a later layer.")
    tables = {point: runner.ask(MatchAsk(layer.resid, sae, None, top, by, seed=seed)) for point, sae in there.items()}
    return Predecessors(layer.resid, layer.layer, tables)


@dataclass(frozen=True)
class SampleAsk:
    """Tokens to look at."""

    n_rows: int = 250
    """Documents, as many of each kind as can be."""
    n_tokens: int | None = 5
    """Ordinary tokens of each, drawn without repeats; None takes all."""
    kinds: tuple[str, ...] = ()
    """Kinds of documents; none: all."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_rows < 1 or (self.n_tokens is not None and self.n_tokens < 1):
            raise BadAsk(f"{self.n_rows} texts with {self.n_tokens} tokens each were asked for; at least 1 of both is needed.")

    def plain_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"n_rows": self.n_rows, "n_tokens": self.n_tokens, "kinds": list(self.kinds), "seed": self.seed}


@dataclass(frozen=True)
class SampledRow:
    """A document and the tokens of it that are looked at."""

    document: int
    """In the corpus."""
    kind: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    """In the document, rising."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Some rows, what fires at their ordinary tokens, and which token of the corpus each is."""

    rows: tuple[SampledRow, ...]
    row: Int32[np.ndarray, " samples"]
    """Of each token, counted through `rows`; special tokens are left out."""
    position: Int32[np.ndarray, " samples"]
    of_sae: dict[SaeId, Activity]
    """Samples counted through `row` and `position`."""

    def fires(self, sae: SaeId) -> Bool[np.ndarray, "samples latents"]:
        """True where a latent is active."""
        activity = self.of_sae[sae]
        dense = np.zeros((len(self.row), activity.n_latents), dtype=bool)
        dense[activity.sample, activity.latent] = True
        return dense


def draw(corpus: Corpus, ask: SampleAsk) -> tuple[SampledRow, ...]:
    """The documents of a sample, kinds in turn, and random tokens of each.

    Raises:
        BadAsk: if the corpus has no document of the kinds.
    """
    by_kind: dict[str, list[int]] = {}
    for document, kind in enumerate(corpus.kinds):
        if not ask.kinds or kind in ask.kinds:
            by_kind.setdefault(kind, []).append(document)
    if unknown := [kind for kind in ask.kinds if kind not in by_kind]:
        known = ", ".join(sorted(set(corpus.kinds))[:8])
        raise BadAsk(f"{corpus.name} has 0 documents of kind {unknown[0]!r}. Kinds that are: {known} ...")
    if not by_kind:
        raise BadAsk(f"{corpus.name} has 0 documents.")
    rng = np.random.default_rng(ask.seed)
    piles = [list(rng.permutation(documents)) for _, documents in sorted(by_kind.items())]
    piles = [piles[i] for i in rng.permutation(len(piles))]
    chosen: list[int] = []
    while len(chosen) < ask.n_rows and (piles := [pile for pile in piles if pile]):
        chosen += [int(pile.pop()) for pile in piles[: ask.n_rows - len(chosen)]]
    rows: list[SampledRow] = []
    for document in chosen:
        ids = tuple(int(i) for i in corpus.document(document))
        n = len(ids) if ask.n_tokens is None else min(ask.n_tokens, len(ids))
        positions = sorted(int(i) for i in rng.choice(len(ids), n, replace=False))
        rows.append(SampledRow(document, corpus.kinds[document], ids, tuple(positions)))
    return tuple(rows)


def read(runner: Runner, rows: Sequence[SampledRow], saes: Iterable[SaeId], keep: Blocks = UNKEPT) -> Iterator[Sampled]:
    """What fires at the tokens of the rows, a few rows at a time, which are kept. Special tokens are left out."""
    names = tuple(dict.fromkeys(saes))
    parts = [tuple(part) for part in in_blocks(rows, _ROWS_PER_ASK)]
    yield from keep.each("reading", Sampled, parts, lambda part: read_rows(runner, part, names))


def read_rows(runner: Runner, rows: tuple[SampledRow, ...], saes: tuple[SaeId, ...]) -> Sampled:
    """What fires at the tokens of a few rows. Special tokens are left out."""
    found = runner.ask(ActivityAsk(tuple(row.ids for row in rows), tuple(row.positions for row in rows), saes))
    return _ordinary(rows, found)


def _ordinary(rows: tuple[SampledRow, ...], found: SampledActivity) -> Sampled:
    row = np.repeat(np.arange(len(rows), dtype=np.int32), [len(one.positions) for one in rows])
    position = np.array([position for one in rows for position in one.positions], dtype=np.int32)
    kept = ~found.special
    number = (kept.cumsum() - 1).astype(np.int32)

    def only_kept(activity: Activity) -> Activity:
        here = kept[activity.sample]
        sample = number[activity.sample[here]]
        return Activity(activity.sae, int(kept.sum()), activity.n_latents, sample, activity.latent[here], activity.value[here])

    return Sampled(rows, row[kept], position[kept], {sae: only_kept(activity) for sae, activity in found.of_sae.items()})
