"""Activations of a study: at random ordinary tokens of a corpus, and at the last token of every entity's name.

Both are read in blocks that are cut the same way every time and kept as they come: what is in memory is one block. Texts
that are the same are read once. Beside what fires, the norm of the residual stream at every layer up to the deepest SAE
and its projection on a few random directions are kept, which is what later comparisons need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from dashboard.analysis.asks.chosen_tokens import ActivityAsk
from dashboard.analysis.asks.many_texts import MarkedText, ReadChunk, ReadingAsk, Spot
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.methods.known.results import StudySettings
from dashboard.analysis.methods.known.statistics.baselines import random_directions
from dashboard.analysis.methods.known.statistics.entity_counts import Columns, Firing
from dashboard.analysis.methods.known.statistics.latent_choice import NoiseRates
from dashboard.analysis.names import Point, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.blocks import Step, in_blocks
from dashboard.analysis.system.heap import give_back
from dashboard.analysis.text.corpus import Corpus

BLOCK = 512
"""Texts that are read together, and lost together when a study is killed."""
NOISE_BLOCK = 16
CONTEXT = 128
"""Random tokens are among the first so many of their document."""


def columns_of(catalog: Catalog, saes: Sequence[SaeId]) -> Columns:
    """Which latent stands in which column.

    Raises:
        UnknownSae, BrokenSaeFile: for one that is not there.
    """
    specs = [catalog.get(sae) for sae in saes]
    return Columns(tuple(saes), tuple(spec.site for spec in specs), tuple(spec.n_latents for spec in specs))


def norm_sites(columns: Columns) -> tuple[Site, ...]:
    """The residual stream after every layer, up to the deepest SAE."""
    return tuple(Site(layer, Point.RESID_POST) for layer in range(max(site.layer for site in columns.sites) + 1))


@dataclass(frozen=True)
class NoisePlan:
    """Random tokens: rows of ids, and the places in each that count."""

    rows: tuple[tuple[int, ...], ...]
    positions: tuple[tuple[int, ...], ...]


def plan_noise(corpus: Corpus, settings: StudySettings) -> NoisePlan:
    """Documents in random order, and in each random tokens among its first; the first token of a text is not an ordinary one."""
    generator = np.random.default_rng([settings.seed, 1])
    chosen = generator.permutation(corpus.n_documents)[: settings.noise_documents]
    rows, positions = [], []
    for document in chosen:
        ids = corpus.document(int(document))[:CONTEXT]
        places = np.sort(generator.permutation(np.arange(1, len(ids)))[: settings.noise_tokens])
        if len(places):
            rows.append(tuple(int(one) for one in ids[: places[-1] + 1]))
            positions.append(tuple(int(place) for place in places))
    return NoisePlan(tuple(rows), tuple(positions))


def read_noise(runner: Runner, plan: NoisePlan, columns: Columns, step: Step) -> Iterator[float]:
    """Count on how many random tokens each latent fires; yields the share that is done."""
    order = sorted(range(len(plan.rows)), key=lambda place: (len(plan.rows[place]), place))
    blocks = in_blocks(order, NOISE_BLOCK)
    for number, block in enumerate(blocks):
        if step.has(number):
            continue
        ask = ActivityAsk(tuple(plan.rows[place] for place in block), tuple(plan.positions[place] for place in block), columns.saes)
        found = runner.ask(ask)
        fires = np.zeros(columns.n, dtype=np.int64)
        for sae, activity in found.of_sae.items():
            ordinary = activity.latent[~found.special[activity.sample]]
            fires[columns.block(sae)] = np.bincount(ordinary, minlength=activity.n_latents)
        step.save_arrays(number, {"fires": fires, "n": np.array(int((~found.special).sum()))})
        yield (number + 1) / len(blocks)


def noise_rates(step: Step, columns: Columns) -> NoiseRates:
    """What `read_noise` counted, once it is done."""
    total = NoiseRates(np.zeros(columns.n, dtype=np.int64), 0)
    for number in range(step.n_blocks):
        held = step.arrays(number)
        total = total + NoiseRates(held["fires"], int(held["n"]))
    return total


@dataclass(frozen=True, eq=False)
class ReadBlock:
    """Some texts of a study."""

    texts: Int64[np.ndarray, " rows"]
    """Places among the study's texts."""
    fires: Firing
    value: Float32[np.ndarray, " entries"]
    """Activation of each entry of `fires`."""
    norms: Float32[np.ndarray, "rows sites"]
    """At `norm_sites`."""
    projections: Float32[np.ndarray, "rows saes directions"]
    """Of the residual at each SAE's site on random unit vectors."""


@dataclass(frozen=True)
class ReadingPlan:
    """The different texts of a study and how they are cut in blocks."""

    texts: tuple[MarkedText, ...]
    owners: tuple[tuple[int, ...], ...]
    """For each text the entities that it is of."""
    columns: Columns
    n_directions: int
    seed: int
    at: Spot = Spot.MARKED_LAST

    @property
    def blocks(self) -> list[Sequence[int]]:
        """Places of texts, like lengths together."""
        order = sorted(range(len(self.texts)), key=lambda place: (len(self.texts[place].text.encode()), place))
        return in_blocks(order, BLOCK)


def plan_reading(texts: Sequence[MarkedText], columns: Columns, settings: StudySettings, at: Spot = Spot.MARKED_LAST) -> ReadingPlan:
    """Texts that are the same stand together."""
    owners: dict[MarkedText, list[int]] = {}
    for place, text in enumerate(texts):
        owners.setdefault(text, []).append(place)
    return ReadingPlan(tuple(owners), tuple(map(tuple, owners.values())), columns, settings.n_baseline, settings.seed, at)


def read(runner: Runner, plan: ReadingPlan, step: Step) -> Iterator[float]:
    """Read what has not been read; yields the share that is done."""
    blocks = plan.blocks
    for number, block in enumerate(blocks):
        if step.has(number):
            continue
        sites = tuple(dict.fromkeys(plan.columns.sites))
        texts = tuple(plan.texts[place] for place in block)
        ask = ReadingAsk(texts, plan.columns.saes, plan.at, norm_sites(plan.columns), sites)
        chunks: list[dict[str, np.ndarray]] = []
        n_read = 0
        for chunk in runner.stream(ask):
            chunks.append(_arrays(plan, chunk))
            n_read += len(chunk.texts)
            yield (number + n_read / len(block)) / len(blocks)
        step.save_arrays(number, _joined(chunks, np.asarray(block, dtype=np.int64)))
        give_back()


def read_blocks(plan: ReadingPlan, step: Step) -> Iterator[ReadBlock]:
    """What has been read, block after block; a row for each entity."""
    for number in range(len(plan.blocks)):
        held = step.arrays(number)
        lengths = [len(plan.owners[place]) for place in held["texts"]]
        owners = np.array([owner for place in held["texts"] for owner in plan.owners[place]], dtype=np.int64)
        fires, value = Firing(held["start"], held["column"], plan.columns.n), held["value"]
        norms, projections = held["norms"], held["projections"]
        if len(owners) > len(held["texts"]):
            rows = np.repeat(np.arange(len(lengths)), lengths)
            value = np.concatenate([value[fires.start[row] : fires.start[row + 1]] for row in rows])
            fires, norms, projections = fires.rows(rows), norms[rows], projections[rows]
        yield ReadBlock(owners, fires, value, norms, projections)


def _arrays(plan: ReadingPlan, chunk: ReadChunk) -> dict[str, np.ndarray]:
    """A chunk with the SAEs' latents in one row of columns."""
    columns = plan.columns
    parts = [(codes.row(), columns.block(sae).start + codes.latent.astype(np.int64), codes.value) for sae, codes in chunk.codes.items()]
    row, column, value = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((column, row))
    directions = {site: random_directions(plan.n_directions, rows.shape[1], plan.seed) for site, rows in chunk.rows.items()}
    return {
        "texts": chunk.texts,
        "length": np.bincount(row, minlength=len(chunk.texts)),
        "column": column[order].astype(np.int32),
        "value": value[order].astype(np.float32),
        "norms": np.stack([chunk.norms[site] for site in norm_sites(columns)], axis=1),
        "projections": np.stack([chunk.rows[site] @ directions[site].T for site in columns.sites], axis=1).astype(np.float32),
    }


def _joined(chunks: Sequence[dict[str, np.ndarray]], block: np.ndarray) -> dict[str, np.ndarray]:
    """The chunks of a block under one another, `texts` as places in the study."""
    joined = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    start = np.concatenate([[0], np.cumsum(joined.pop("length"))]).astype(np.int64)
    return {**joined, "texts": block[joined["texts"]], "start": start}
