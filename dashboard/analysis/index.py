"""What is known of every latent of an SAE over a corpus. One Parquet file an SAE, a row a latent, beside its weights.

Facts are counted over the ordinary tokens of the corpus: special tokens and outlier-norm tokens are left out.
`sae/indexing.py` builds it; this file says what is in it and reads it, one latent at a time with DuckDB or column by column.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.results import Neighbour
from dashboard.analysis.sae.catalog import SaeSpec

N_BINS = 40
"""Bins of a histogram, of equal width."""
N_TOP = 20
"""Strongest examples of a latent."""
N_INTERVALS = 5
"""Equal parts of 0 to the latent's maximum; each holds N_BINS / N_INTERVALS bins."""
PER_INTERVAL = 4
"""Examples of each interval, drawn at random."""
N_NEAR = 5
"""Near misses: tokens where the latent came closest to firing, in documents where it never does."""
N_TOKENS = 10
"""Promoted and suppressed tokens."""
N_NEIGHBOURS = 10
"""Nearest latents within the SAE, and as many across the others of its release."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Of the activations above 0."""

_i32, _f32 = pa.list_(pa.int32()), pa.list_(pa.float32())
SCHEMA = pa.schema(
    {
        "n_fired": pa.int64(),
        "mean": pa.float32(),
        "maximum": pa.float32(),
        "quantiles": _f32,
        "histogram": _i32,
        "top_position": _i32,
        "top_value": _f32,
        "interval_position": _i32,
        "interval_value": _f32,
        "near_position": _i32,
        "near_value": _f32,
        "promoted": _i32,
        "promoted_logit": _f32,
        "suppressed": _i32,
        "suppressed_logit": _f32,
        "logit_low": pa.float32(),
        "logit_high": pa.float32(),
        "logit_histogram": _i32,
        "neighbour_sae": pa.list_(pa.int16()),
        "neighbour_index": _i32,
        "neighbour_cosine": _f32,
        "cofiring_index": _i32,
        "cofiring_share": _f32,
        "label": pa.string(),
    }
)
"""Columns of the file. The list of an empty thing is empty: a latent that never fired has no histogram and no examples."""


@dataclass(frozen=True)
class IndexHead:
    """What the rows of an index rest on; kept as JSON in the file's metadata under `latents`."""

    n_tokens: int
    """Tokens that were counted."""
    n_outliers: int
    """Ordinary tokens left out because of their norm."""
    corpus: str
    """Name of the corpus file, without its folder."""
    corpus_sha256: str
    """`Corpus.sha256`: what positions mean."""
    sae_sha256: str
    """Of the weights that were read."""
    dtype: str
    """Number format of the model."""
    saes: tuple[str, ...]
    """Printed names that `neighbour_sae` counts through."""
    code: str
    """Version of this project."""


@dataclass(frozen=True, eq=False)
class LatentIndex:
    """The columns that pages and methods need of all latents at once."""

    head: IndexHead
    n_fired: Int64[np.ndarray, " latents"]
    """On how many tokens each latent fires."""
    mean: Float32[np.ndarray, " latents"]
    """Mean activation where it fires; 0 for a latent that never did."""
    maximum: Float32[np.ndarray, " latents"]
    """Largest activation."""
    labels: tuple[str, ...]
    """Automatic label of each latent; empty if it never fired."""

    @property
    def n_tokens(self) -> int:
        """Tokens that were counted."""
        return self.head.n_tokens

    def maximum_of(self, latent: LatentId) -> float:
        """The largest activation of one latent.

        Raises:
            NotMeasured: if it never fired.
        """
        if self.n_fired[latent.index] == 0:
            raise NotMeasured(
                f"{latent} fired on none of the {self.n_tokens:,} tokens of the index, so it has no maximum. Use the unit raw or norm."
            )
        return float(self.maximum[latent.index])


@dataclass(frozen=True)
class TokenLogit:
    """A token and what one unit of the latent's direction adds to its logit."""

    token_id: int
    logit: float
    """Through the final norm's weights and the unembedding; the norm's division by the residual's size is left out."""


@dataclass(frozen=True)
class ExampleAt:
    """Where in the corpus something was seen, and how strongly."""

    position: int
    value: float
    """Activation; for a near miss, the activation's argument before the threshold (what `encode` cut to 0)."""


@dataclass(frozen=True)
class Interval:
    """A part of 0 to the latent's maximum."""

    low: float
    high: float
    n: int
    """Tokens whose activation lies in it: above `low`, up to `high`."""
    examples: tuple[ExampleAt, ...]


@dataclass(frozen=True)
class CoFiring:
    """Another latent of the same SAE that fires on the same tokens."""

    latent: LatentId
    share: float
    """Tokens where both fire / tokens where either does, 0 to 1 (Jaccard)."""


@dataclass(frozen=True)
class LatentFacts:
    """Everything that the index holds of one latent."""

    latent: LatentId
    head: IndexHead
    label: str
    n_fired: int
    mean: float
    maximum: float
    quantiles: tuple[float, ...]
    """At QUANTILES; empty for a latent that never fired, as are histogram and examples."""
    histogram: tuple[int, ...]
    """Tokens in each of N_BINS equal bins over 0 to maximum, each with its upper edge."""
    top: tuple[ExampleAt, ...]
    """The strongest tokens of the corpus, strongest first; ties by position."""
    intervals: tuple[Interval, ...]
    """From the strongest to the weakest."""
    near_misses: tuple[ExampleAt, ...]
    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]
    logit_low: float
    logit_high: float
    logit_histogram: tuple[int, ...]
    """Tokens of the vocabulary in each of N_BINS equal bins over logit_low to logit_high."""
    neighbours: tuple[Neighbour, ...]
    """Nearest decoder rows: N_NEIGHBOURS of the same SAE, then N_NEIGHBOURS across the others of the release, nearest first."""
    cofiring: tuple[CoFiring, ...]
    """Strongest first."""

    @property
    def is_dead(self) -> bool:
        """True if it fired on no token of the corpus."""
        return self.n_fired == 0


def index_file(spec: SaeSpec) -> Path:
    """Where the index of an SAE lies: beside a packed SAE, inside a folder."""
    return spec.source.with_suffix(".index.parquet") if spec.is_packed else spec.source / "index.parquet"


def write_index(file: Path, table: pa.Table, head: IndexHead) -> None:
    """Write an index, of SCHEMA, whole or not at all."""
    scratch = file.with_name(file.name + ".writing")
    pq.write_table(
        table.cast(SCHEMA.with_metadata({"latents": json.dumps(head.__dict__)})),
        scratch,
        compression="zstd",
        compression_level=15,
        row_group_size=256,
        use_dictionary=["label"],
    )
    scratch.replace(file)


def read_index(spec: SaeSpec) -> LatentIndex:
    """Columns of an index; the same file is read once a process.

    Raises:
        NotMeasured: if it has none, or one that cannot be read or is of another width.
    """
    return _with_file(spec, _read_columns)


def read_facts(spec: SaeSpec, index: int) -> LatentFacts:
    """Everything that the index holds of one latent.

    Raises:
        UnknownLatent: if the SAE has no such latent.
        NotMeasured: if the SAE has no index, or one that cannot be read or is of another width.
    """
    latent = spec.latent(index)
    file, head = index_file(spec), read_index(spec).head
    try:
        query = duckdb.connect().execute(
            "SELECT * EXCLUDE file_row_number FROM read_parquet(?, file_row_number=true) WHERE file_row_number = ?", [str(file), index]
        )
        names = [column[0] for column in query.description or ()]
        row = dict(zip(names, query.fetchone() or (), strict=True))
        return _facts(latent, head, row)
    except (duckdb.Error, ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, error) from error


def _facts(latent: LatentId, head: IndexHead, row: dict[str, Any]) -> LatentFacts:
    def examples(name: str) -> tuple[ExampleAt, ...]:
        return tuple(map(ExampleAt, row[f"{name}_position"], row[f"{name}_value"]))

    def tokens(name: str) -> tuple[TokenLogit, ...]:
        return tuple(map(TokenLogit, row[name], row[f"{name}_logit"]))

    names = [SaeId.parse(name) for name in head.saes]
    near = zip(row["neighbour_sae"], row["neighbour_index"], row["neighbour_cosine"], strict=True)
    return LatentFacts(
        latent,
        head,
        row["label"],
        row["n_fired"],
        row["mean"],
        row["maximum"],
        tuple(row["quantiles"]),
        tuple(row["histogram"]),
        examples("top"),
        _intervals(row["maximum"], row["histogram"], examples("interval")),
        examples("near"),
        tokens("promoted"),
        tokens("suppressed"),
        row["logit_low"],
        row["logit_high"],
        tuple(row["logit_histogram"]),
        tuple(Neighbour(LatentId(names[sae], index), cosine) for sae, index, cosine in near),
        tuple(
            CoFiring(LatentId(latent.sae, index), share) for index, share in zip(row["cofiring_index"], row["cofiring_share"], strict=True)
        ),
    )


def _intervals(maximum: float, histogram: list[int], examples: tuple[ExampleAt, ...]) -> tuple[Interval, ...]:
    if not histogram:
        return ()
    bins = N_BINS // N_INTERVALS
    edges = [maximum * part / N_INTERVALS for part in range(N_INTERVALS + 1)]
    inside: list[list[ExampleAt]] = [[] for _ in range(N_INTERVALS)]
    for example in examples:
        inside[interval_of(example.value, maximum)].append(example)
    return tuple(
        Interval(edges[part], edges[part + 1], sum(histogram[part * bins : (part + 1) * bins]), tuple(inside[part]))
        for part in reversed(range(N_INTERVALS))
    )


def bin_of(value: float, maximum: float, n_bins: int = N_BINS) -> int:
    """The bin that an activation falls in: above its lower edge, up to its upper."""
    return min(n_bins - 1, max(0, int(np.ceil(value / maximum * n_bins)) - 1))


def interval_of(value: float, maximum: float) -> int:
    """The interval that an activation falls in, 0 for the weakest."""
    return bin_of(value, maximum) // (N_BINS // N_INTERVALS)


def columns(spec: SaeSpec, *names: str) -> pa.Table:
    """Some columns of an index as they are in the file, a row a latent.

    Raises:
        NotMeasured: see `read_index`.
    """
    read_index(spec)
    return pq.read_table(index_file(spec), columns=list(names))


def _with_file(spec: SaeSpec, read: Any) -> Any:
    file = index_file(spec)
    if not file.is_file():
        raise NotMeasured(
            f"{spec.id} has no index, so its latents' activations and examples are not known. Build it with `latents index build {spec.id}`."
        )
    now = file.stat()
    return read(file, (now.st_mtime_ns, now.st_ino, now.st_size), spec.n_latents)


def _unreadable(file: Path, error: Exception) -> NotMeasured:
    return NotMeasured(f"{file.name} cannot be read: {error}. Build it again with `latents index build`.")


@lru_cache(maxsize=128)
def _read_columns(file: Path, version: tuple[int, int, int], n_latents: int) -> LatentIndex:
    try:
        table = pq.read_table(file, columns=["n_fired", "mean", "maximum", "label"])
        facts = json.loads((pq.read_schema(file).metadata or {})[b"latents"])
        head = IndexHead(**{**facts, "saes": tuple(facts["saes"])})
        for name in table.column_names:
            column = table.column(name)
            if column.type != SCHEMA.field(name).type or column.null_count:
                raise ValueError(f"its column {name} is {column.type} with {column.null_count} gaps, not {SCHEMA.field(name).type}")
        if len(table) != n_latents:
            raise ValueError(f"it has {len(table):,} latents, the SAE {n_latents:,}")
        numbers = {name: table.column(name).to_numpy() for name in ("n_fired", "mean", "maximum")}
        return LatentIndex(head, **numbers, labels=tuple(table.column("label").to_pylist()))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
