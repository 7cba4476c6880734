"""Bytes known before anything is loaded: what a model, a dictionary, an ask will take, and whether the device has them.

Nothing here reads a weight: sizes come from headers, from configurations, or from the numbers themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dashboard.analysis.errors import OutOfMemory
from dashboard.analysis.system.memory import free_bytes

SHARE = 0.9
"""Of the free bytes, how much one thing may take."""
_SHARE_OF_FREE = 0.5
"""Of the bytes that are free once the model is loaded, how much dictionaries may take unless a setting overrides it."""
_MOST_LAYERS = 1000
_QUANTISED_SHARE = {"8bit": 1.0, "4bit": 0.5625}
"""Bytes a weight of a quantised matrix takes: 8 bits; or 4 bits and one float32 scale for 64 weights."""


@dataclass(frozen=True)
class Fit:
    """Whether something fits, with both numbers."""

    needed_bytes: int
    free_bytes: int
    """What it may take: of what the device has free, the share that is not kept back."""
    device: str

    @property
    def fits(self) -> bool:
        """True if it does."""
        return self.needed_bytes <= self.free_bytes

    def __str__(self) -> str:
        verdict = "fits" if self.fits else f"lacks {(self.needed_bytes - self.free_bytes) / 2**20:,.0f} MiB"
        return f"{self.needed_bytes / 2**20:,.0f} MiB of {self.free_bytes / 2**20:,.0f} MiB on {self.device}: {verdict}"


def fit(needed_bytes: int, device: str) -> Fit:
    """Whether so many bytes could be allocated now on `cuda`, `cuda:1`, `mps` or `cpu`; `cuda:all` counts every CUDA device."""
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if device == "cuda:all" else [device]
    return Fit(needed_bytes, int(SHARE * sum(map(free_bytes, devices))), device)


def model_bytes(n_parameters: int, dtype: torch.dtype, quantize: str = "none", n_whole: int = 0) -> int:
    """Bytes of a model's weights in memory.

    Quantised (`8bit`, `4bit`), `n_whole` of its parameters stay in `dtype`: embeddings, unembedding and norms do.
    """
    if quantize == "none":
        return n_parameters * dtype.itemsize
    return int((n_parameters - n_whole) * _QUANTISED_SHARE[quantize]) + n_whole * dtype.itemsize


def dictionary_bytes(n_latents: int, d_in: int) -> int:
    """Bytes of a dictionary in float32 by its sizes alone: encoder, decoder, two biases and a threshold.

    For one that lies here, `dashboard.analysis.sae.rows.bytes_in_memory` is exact.
    """
    return 4 * (2 * n_latents * d_in + 2 * n_latents + d_in)


def shelf_budget(device: str, setting: int | None = None, still_to_load: int = 0) -> int:
    """What dictionaries may take together: the setting, else half of what is free once `still_to_load` bytes of a model are in."""
    if setting is not None:
        return setting
    return int(_SHARE_OF_FREE * max(0, fit(0, device).free_bytes - still_to_load))


def dictionaries_that_fit(bytes_of_each: Sequence[int], budget_bytes: int) -> int:
    """How many of these, from the first on, can be in memory together."""
    total = 0
    for number, one in enumerate(bytes_of_each):
        total += one
        if total > budget_bytes:
            return number
    return len(bytes_of_each)


def parameters_of_config(folder: Path) -> int:
    """Parameters of the causal language model that a `config.json` describes, before its weights are here.

    Raises:
        ValueError: if transformers cannot make a model of it, or it claims more layers than any model has.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        n_layers = config.get_text_config().num_hidden_layers
        if not 0 < n_layers <= _MOST_LAYERS:
            raise ValueError(f"its number of layers is {n_layers}")
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return sum(parameter.numel() for parameter in model.parameters())
    except Exception as error:  # each model's own code checks its configuration, with exceptions of its own
        raise ValueError(f"{folder / 'config.json'} describes no model that can be made: {error}") from error


def admit(needed: int, device: str) -> None:
    """Let an ask through, or refuse it before anything is allocated.

    Raises:
        OutOfMemory: with both numbers.
    """
    found = fit(needed, device)
    if not found.fits:
        raise OutOfMemory(needed, found.free_bytes, device)
