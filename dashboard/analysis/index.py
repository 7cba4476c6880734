"""What is known of every latent of an SAE: how often it fires, and how strongly. One Parquet file an SAE, beside its weights."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import SaeSpec

_COLUMNS = {"n_fired": pa.int64(), "mean": pa.float32(), "maximum": pa.float32()}


@dataclass(frozen=True, eq=False)
class LatentIndex:
    """One entry a latent, over the ordinary tokens of held-out text."""

    n_tokens: int
    """Tokens that were read."""
    n_fired: Int64[np.ndarray, " latents"]
    """On how many of them each latent fires."""
    mean: Float32[np.ndarray, " latents"]
    """Mean activation where it fires; 0 for a latent that never did."""
    maximum: Float32[np.ndarray, " latents"]
    """Largest activation."""

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


def write_index(file: Path, index: LatentIndex) -> None:
    """Write an index whole or not at all."""
    table = pa.table({"n_fired": index.n_fired, "mean": index.mean, "maximum": index.maximum})
    scratch = file.with_name(file.name + ".writing")
    pq.write_table(table.replace_schema_metadata({"n_tokens": str(index.n_tokens)}), scratch, compression="zstd")
    scratch.replace(file)


def read_index(spec: SaeSpec) -> LatentIndex:
    """The index of an SAE.

    Raises:
        NotMeasured: if it has none, or one that cannot be read or is of another width.
    """
    file = index_file(spec)
    if not file.is_file():
        raise NotMeasured(
            f"{spec.id} has no index, so the largest activation of its latents is not known. "
            f"Measure it with `latents sae eval {spec.id} --text FILE --write`, or use the unit raw or norm."
        )
    now = file.stat()
    return _read(file, (now.st_mtime_ns, now.st_ino, now.st_size), spec.n_latents)


@lru_cache(maxsize=64)
def _read(file: Path, version: tuple[int, int, int], n_latents: int) -> LatentIndex:
    try:
        table = pq.read_table(file)
        n_tokens = int((table.schema.metadata or {})[b"n_tokens"])
        columns = {name: table.column(name) for name in _COLUMNS}
        for name, column in columns.items():
            if column.type != _COLUMNS[name] or column.null_count:
                raise ValueError(f"its column {name} is {column.type} with {column.null_count} gaps, not {_COLUMNS[name]}")
        if len(table) != n_latents:
            raise ValueError(f"it has {len(table):,} latents, the SAE {n_latents:,}")
        return LatentIndex(n_tokens, **{name: column.to_numpy() for name, column in columns.items()})
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise NotMeasured(f"{file.name} cannot be read: {error}. Measure again with `latents sae eval --write`.") from error
