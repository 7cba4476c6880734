"""What is known of every latent of an SAE over a corpus. One Parquet file an SAE, a row a latent, beside its weights.

`sae/indexing.py` builds it, `facts.py` says what it tells of a latent; this file says what its columns are, and writes and reads it,
one latent at a time with DuckDB or column by column.

Positions, counts, mean and maximum are as they were measured. Cosines and shares are rounded to 1/4096, other numbers to 11 bits
after the leading one (0.02 %), which halves the file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int32, Int64

from dashboard.analysis.asks.weights import Neighbour
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.index.facts import (
    N_BINS,
    N_INTERVALS,
    PER_INTERVAL,
    CoFiring,
    ExampleAt,
    IndexHead,
    Interval,
    LatentFacts,
    TokenLogit,
)
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.sae.hashes import weights_sha256

_ROWS_PER_GROUP = 256
"""Rows that are read together when one is asked for."""

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


def index_file(spec: SaeSpec) -> Path:
    """Where the index of an SAE lies: beside a packed SAE, inside a folder."""
    return spec.source.with_suffix(".index.parquet") if spec.is_packed else spec.source / "index.parquet"


def write_index(file: Path, table: pa.Table, head: IndexHead) -> None:
    """Write an index, of SCHEMA, whole or not at all."""
    scratch = file.with_name(file.name + ".writing")
    lists = [f"{field.name}.list.element" for field in SCHEMA if pa.types.is_list(field.type)]
    pq.write_table(
        table.cast(SCHEMA.with_metadata({"latents": json.dumps(head.__dict__)})),
        scratch,
        compression="zstd",
        compression_level=15,
        row_group_size=_ROWS_PER_GROUP,
        use_dictionary=False,
        write_statistics=False,
        # Bytes of equal weight side by side: the high ones are nearly equal and pack well.
        column_encoding=dict.fromkeys(lists, "BYTE_STREAM_SPLIT"),
    )
    scratch.replace(file)


def read_index(spec: SaeSpec) -> LatentIndex:
    """Columns of an index; the same file is read once a process.

    Raises:
        NotMeasured: if it has none, or one that cannot be read or is of other weights.
    """
    file = index_file(spec)
    if not file.is_file():
        raise NotMeasured(
            f"{spec.id} has no index, so its latents' activations and examples are not known. "
            f"Build it with `latents index build {spec.id}`; an index that is being built appears here when it is done."
        )
    index = _read_columns(file, _version(file))
    if len(index.labels) != spec.n_latents:
        raise _unreadable(file, ValueError(f"it has {len(index.labels):,} latents, the SAE {spec.n_latents:,}"))
    if index.head.sae_sha256 != (now := weights_sha256(spec)):
        raise NotMeasured(
            f"{file.name} was built from other weights ({index.head.sae_sha256[:8]}) than {spec.id} has now ({now[:8]}). "
            f"Build it again with `latents index build {spec.id}`."
        )
    return index


def read_facts(spec: SaeSpec, index: int) -> LatentFacts:
    """Everything that the index holds of one latent.

    Raises:
        UnknownLatent: if the SAE has no such latent.
        NotMeasured: if the SAE has no index, or one that cannot be read or is of other weights.
    """
    latent = spec.latent(index)
    file, head = index_file(spec), read_index(spec).head
    try:
        query = (
            _database()
            .cursor()
            .execute(
                "SELECT * EXCLUDE file_row_number FROM read_parquet(?, file_row_number=true) WHERE file_row_number = ?", [str(file), index]
            )
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
        _intervals(row["maximum"], row["histogram"], iter(examples("interval"))),
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


def _intervals(maximum: float, histogram: list[int], examples: Iterator[ExampleAt]) -> tuple[Interval, ...]:
    """The file holds the examples of the strongest interval first, as many as there are up to PER_INTERVAL."""
    if not histogram:
        return ()
    bins = N_BINS // N_INTERVALS
    counts = [sum(histogram[part * bins : (part + 1) * bins]) for part in range(N_INTERVALS)]
    return tuple(
        Interval(
            maximum * part / N_INTERVALS,
            maximum * (part + 1) / N_INTERVALS,
            counts[part],
            tuple(islice(examples, min(PER_INTERVAL, counts[part]))),
        )
        for part in reversed(range(N_INTERVALS))
    )


def columns(spec: SaeSpec, *names: str) -> pa.Table:
    """Some columns of an index as they are in the file, a row a latent.

    Raises:
        NotMeasured: see `read_index`.
    """
    read_index(spec)
    return pq.read_table(index_file(spec), columns=list(names))


def read_histograms(spec: SaeSpec) -> Int32[np.ndarray, "latents bins"]:
    """`LatentFacts.histogram` of all latents at once, zeros for one that never fired.

    Raises:
        NotMeasured: see `read_index`.
    """
    return np.diff(read_cumulative(spec), axis=1)


def read_cumulative(spec: SaeSpec) -> Int32[np.ndarray, "latents edges"]:
    """Of every latent, how many activations are at or below each edge of its histogram's bins; zeros for one that never fired.

    The same file is read once a process.

    Raises:
        NotMeasured: see `read_index`.
    """
    read_index(spec)
    file = index_file(spec)
    return _read_cumulative(file, _version(file), spec.n_latents)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One for the process: opening one takes ten times as long as reading a row. Each reader has its own cursor."""
    return duckdb.connect(config={"threads": 1})


def _version(file: Path) -> tuple[int, int, int]:
    now = file.stat()
    return now.st_mtime_ns, now.st_ino, now.st_size


def _unreadable(file: Path, error: Exception) -> NotMeasured:
    why = str(error).rstrip(".")
    return NotMeasured(f"{file.name} cannot be read: {why}. Build it again with `latents index build`.")


@lru_cache(maxsize=128)
def _read_columns(file: Path, version: tuple[int, int, int]) -> LatentIndex:
    try:
        schema = pq.read_schema(file)
        for field in SCHEMA:
            if field.name not in schema.names or schema.field(field.name).type != field.type:
                raise ValueError(f"its column {field.name} is not there, or no {field.type}")
        facts = json.loads((schema.metadata or {})[b"latents"])
        head = IndexHead(**{**facts, "saes": tuple(facts["saes"])})
        table = pq.read_table(file, columns=["n_fired", "mean", "maximum", "label"])
        if gaps := [name for name in table.column_names if table.column(name).null_count]:
            raise ValueError(f"its columns {', '.join(gaps)} have gaps")
        numbers = {name: table.column(name).to_numpy() for name in ("n_fired", "mean", "maximum")}
        return LatentIndex(head, **numbers, labels=tuple(table.column("label").to_pylist()))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


@lru_cache(maxsize=128)
def _read_cumulative(file: Path, version: tuple[int, int, int], n_latents: int) -> Int32[np.ndarray, "latents edges"]:
    try:
        lists = pq.read_table(file, columns=["histogram"]).column("histogram").combine_chunks()
        counts = np.zeros((n_latents, N_BINS + 1), dtype=np.int32)
        counts[lists.value_lengths().to_numpy() > 0, 1:] = lists.flatten().to_numpy().reshape(-1, N_BINS)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
    upto = counts.cumsum(axis=1, dtype=np.int32)
    upto.flags.writeable = False
    return upto
