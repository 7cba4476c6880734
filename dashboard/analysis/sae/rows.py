"""Decoder rows straight from the file, through mmap: a few of them cost a few pages, all of them no encoder.

The rows are, bit for bit, those of the SAE that `load_sae` puts into memory. sae-lens changes no decoder when it loads a
folder in its own layout; a file in another one has no tensor of these names, and is not read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from dashboard.analysis.errors import BrokenSaeFile
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.system.files import safetensors_shapes
from dashboard.analysis.system.room import dictionary_bytes

_SCALES = ("encoder_scale", "decoder_scale")


@dataclass(frozen=True, eq=False)
class DecoderRows:
    """The decoder of an SAE without the rest."""

    rows: Float[torch.Tensor, "latents d_in"]
    threshold: Float[torch.Tensor, " latents"] | None
    """Of a JumpReLU SAE."""


def weights_file(spec: SaeSpec) -> Path:
    """The file that holds an SAE's weights, as it lies there."""
    return spec.source if spec.is_packed else spec.source / "sae_weights.safetensors"


def bytes_in_memory(spec: SaeSpec) -> int:
    """Bytes of the whole dictionary in float32, from its header; where that cannot be read, from its config."""
    try:
        shapes = safetensors_shapes(weights_file(spec))
    except (OSError, ValueError):
        return dictionary_bytes(spec.n_latents, spec.d_in)
    return 4 * sum(prod(shape) for name, shape in shapes.items() if name not in _SCALES)


def can_map(spec: SaeSpec) -> bool:
    """True if decoder rows can be read without loading the SAE."""
    try:
        shapes = safetensors_shapes(weights_file(spec))
    except (OSError, ValueError):
        return False
    return shapes.get("decoder_rows" if spec.is_packed else "W_dec") == (spec.n_latents, spec.d_in)


def read_rows(spec: SaeSpec, latents: Sequence[int]) -> Float[torch.Tensor, "row d_in"]:
    """Decoder rows of some latents, in the order given, in float32 on the CPU.

    Raises:
        BrokenSaeFile: if they cannot be read, or are not finite.
    """
    return _read(spec, lambda tensor: tensor[list(latents)]).rows


def read_decoder(spec: SaeSpec) -> DecoderRows:
    """All decoder rows and thresholds, in float32 on the CPU.

    Raises:
        BrokenSaeFile: see `read_rows`.
    """
    return _read(spec, lambda tensor: tensor[:])


def _read(spec: SaeSpec, part: Callable[[Any], torch.Tensor]) -> DecoderRows:
    file = weights_file(spec)
    try:
        with safe_open(file, framework="pt") as stored:
            if spec.is_packed:
                rows = part(stored.get_slice("decoder_rows")).float() * part(stored.get_slice("decoder_scale"))[:, None]
            else:
                rows = part(stored.get_slice("W_dec")).float()
            names = set(stored.keys())
            threshold = part(stored.get_slice("threshold")).float() if "threshold" in names else None
            if "log_threshold" in names:  # as sae-lens once saved it
                threshold = torch.exp(part(stored.get_slice("log_threshold")).float())
    except (OSError, SafetensorError, IndexError, RuntimeError) as error:
        raise BrokenSaeFile(file, str(error).splitlines()[0]) from error
    if not torch.isfinite(rows).all():
        raise BrokenSaeFile(file, "its weights hold numbers that are not finite")
    return DecoderRows(rows, threshold)
