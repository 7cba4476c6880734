"""A fitted Jacobian lens on disk: `NAME.safetensors` with the matrices, `NAME.json` with how they were made and checked.

J - 1 is kept in 8 bits a number, each row with a scale of its own. For the default model that is a quarter of float32;
what it costs is measured and far below what the choice of texts does. Only numpy is needed to read it.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dashboard.analysis.errors import BrokenLens, CacheUnwritable
from dashboard.analysis.names import ModelId
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.settings import ASSETS
from dashboard.analysis.system.files import read_json_object

SHIPPED_LENSES = ASSETS / "lenses"
SCHEMA = 1


@dataclass(frozen=True)
class Measured:
    """A mean over texts with its interval."""

    mean: float
    low: float
    """95 %, bootstrap over texts; equal to the mean where they do not tell."""
    high: float


@dataclass(frozen=True)
class LayerCheck:
    """How near one layer is to the model's own prediction on held-out text."""

    layer: int
    agreement: Measured
    """Share of tokens on which the likeliest token is the model's own."""
    kl: Measured
    """KL(the model's prediction || this layer's), nats a token."""
    agreement_elsewhere: Measured
    """The same for this layer's reading of another token of the same text: agreement by chance."""
    kl_elsewhere: Measured


@dataclass(frozen=True)
class Check:
    """A lens against the model's own prediction, on text that it was not fitted on."""

    n_texts: int
    n_tokens: int
    """Ordinary tokens that were compared."""
    most_frequent: Measured
    """Share of tokens on which the model's prediction is the one that it makes most often in the other texts."""
    logit: tuple[LayerCheck, ...]
    jacobian: tuple[LayerCheck, ...]


@dataclass(frozen=True)
class LensRecord:
    """How a lens was made."""

    model: str
    """Printed ModelId."""
    corpus: str
    corpus_sha256: str
    documents: tuple[int, ...]
    """Places in the corpus of the documents that it was fitted on."""
    n_tokens: int
    """Of each document, from its beginning, without BOS."""
    skipped: int
    """Tokens at the beginning, BOS included, that were left out."""
    dtype: str
    libraries: dict[str, str]
    created: str
    """UTC, ISO 8601."""
    check: Check | None = None
    """None where it was not measured."""


@dataclass(frozen=True, eq=False)
class FittedLens:
    """A fitted lens: one matrix for each block but the last."""

    record: LensRecord
    packed: Int8[np.ndarray, "layers d_model d_model"]
    scales: Float32[np.ndarray, "layers d_model"]

    @property
    def n_layers(self) -> int:
        """Layers that have a matrix: all but the last."""
        return len(self.packed)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.packed.shape[1]

    def matrix(self, layer: int) -> Float32[np.ndarray, "d_model d_model"]:
        """J of a layer: what the last block's output gains per unit of this one's."""
        return self.packed[layer] * self.scales[layer][:, None] + np.eye(self.d_model, dtype=np.float32)


def pack(record: LensRecord, matrices: Float32[np.ndarray, "layers d_model d_model"]) -> FittedLens:
    """A lens from its matrices, in 8 bits a number."""
    rest = matrices - np.eye(matrices.shape[1], dtype=np.float32)
    scales = np.abs(rest).max(axis=2) / 127
    packed = np.rint(rest / np.where(scales > 0, scales, 1)[..., None]).astype(np.int8)
    return FittedLens(record, packed, scales.astype(np.float32))


def kept_lens(model: ModelId, cache: Path) -> Path:
    """Where a lens that was fitted on this machine is kept: the name without its ending."""
    return cache / "lenses" / _slug(str(model))


def write_lens(stem: Path, lens: FittedLens) -> None:
    """Write a lens; the matrices and their record are put in place together at the end.

    Raises:
        CacheUnwritable: if the place cannot be written.
    """
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        files = {ending: stem.with_name(f"{stem.name}{ending}") for ending in (".safetensors", ".json")}
        scratch = {ending: file.with_name(f"{file.name}.writing") for ending, file in files.items()}
        save_file({"packed": lens.packed, "scales": lens.scales}, scratch[".safetensors"], {"schema": str(SCHEMA)})
        scratch[".json"].write_text(json.dumps(to_plain(lens.record), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for ending, file in files.items():
            scratch[ending].replace(file)
    except OSError as error:
        raise CacheUnwritable(stem.parent, error) from error


def find_lens(model: ModelId, cache: Path, shipped: Path = SHIPPED_LENSES) -> Path | None:
    """The lens of a model: the one that was fitted on this machine, else the one that ships; None if there is neither."""
    for stem in (kept_lens(model, cache), shipped / _slug(str(model))):
        if all(stem.with_name(f"{stem.name}{ending}").is_file() for ending in (".safetensors", ".json")):
            return stem
    return None


def load_record(stem: Path) -> LensRecord:
    """How a lens was made.

    Raises:
        BrokenLens: if it cannot be read.
    """
    try:
        return from_plain(LensRecord, read_json_object(stem.with_name(f"{stem.name}.json")))
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenLens(stem, str(error)) from error


def load_lens(stem: Path) -> FittedLens:
    """A whole lens.

    Raises:
        BrokenLens: if it cannot be read, or its matrices are not square.
    """
    try:
        with safe_open(stem.with_name(f"{stem.name}.safetensors"), framework="np") as held:
            lens = FittedLens(load_record(stem), held.get_tensor("packed"), held.get_tensor("scales"))
        if lens.packed.shape != (*lens.scales.shape, lens.d_model):
            raise ValueError(f"its matrices have shape {lens.packed.shape}")
        return lens
    except (OSError, SafetensorError, ValueError, IndexError) as error:
        raise BrokenLens(stem, str(error)) from error


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name)[:120]
