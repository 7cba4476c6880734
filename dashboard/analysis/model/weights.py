"""How a model's weights come into memory: in which number format, quantised or not, on one device or spread over several.

Spread means over CUDA devices only: TransformerLens' bridge computes from the weights themselves, which a device that only
parks them in main memory or on a disk does not have at hand. On a machine without CUDA `auto` is that machine's one device.
"""

import sys
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from dashboard.analysis.errors import DeviceUnavailable, ModelUnavailable
from dashboard.analysis.settings import Settings
from dashboard.analysis.system.memory import free_bytes

_SHARE = 0.85
"""Of each device's free bytes, how much weights may take when a model is spread; activations and dictionaries need the rest."""
_BLOCK = 64
"""Weights of a row that share a scale in 4 bits."""
_NEEDS = {"8bit": "bitsandbytes", "4bit": "bitsandbytes"}


def loading_options(settings: Settings, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of transformers' `from_pretrained`. Safetensors only, and no code of the model's own.

    Attention is eager: it is what the bridge runs, and what attention patterns are read from.

    Raises:
        ModelUnavailable: if a library is missing, with the command that installs it.
        DeviceUnavailable: if the device cannot do it.
    """
    options: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": "eager",
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if settings.quantize != "none":
        check_quantization(settings.quantize, device)
        options["quantization_config"] = quantization(settings.quantize, dtype)
        options["device_map"] = {"": device}
    if is_spread(settings, device):
        options["device_map"] = "auto"
        options["max_memory"] = {number: int(_SHARE * free_bytes(f"cuda:{number}")) for number in range(torch.cuda.device_count())}
    return options


def is_spread(settings: Settings, device: str) -> bool:
    """True where the settings want a model over several devices and there are several."""
    return settings.device_map == "auto" and device.startswith("cuda") and torch.cuda.device_count() > 1


def quantization(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """LLM.int8, or 4-bit normal floats whose products are in `dtype`. Embeddings, unembedding and norms stay as they are."""
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def check_quantization(kind: str, device: str) -> None:
    """Refuse what cannot be quantised here.

    Raises:
        ModelUnavailable, DeviceUnavailable: see `loading_options`.
    """
    library = _NEEDS[kind]
    if find_spec(library) is None:
        raise ModelUnavailable(
            f"LATENTS_QUANTIZE={kind} needs {library}, which is not installed. "
            f"Run {sys.executable} -m pip install {library}, or set LATENTS_QUANTIZE=none."
        )
    if device == "mps":
        raise DeviceUnavailable(f"LATENTS_QUANTIZE={kind} does not run on mps. Set LATENTS_DEVICE=cpu, or LATENTS_QUANTIZE=none.")


def put_in_place(model: Any, settings: Settings, device: str) -> str:
    """Move a model that was loaded with `loading_options` to its device, if it is not there; returns where token ids go.

    Raises:
        ModelUnavailable: if some of a spread model's weights found no room on any CUDA device, or rows in 4 bits cannot be read on a CPU.
    """
    if settings.quantize == "4bit" and device == "cpu":
        check_blocks(model)
    placed = getattr(model, "hf_device_map", None)
    if not placed:
        model.to(device)
        return device
    parked = sorted(name for name, where in placed.items() if str(where) in ("cpu", "disk", "meta"))
    if parked and device.startswith("cuda"):
        free = sum(free_bytes(f"cuda:{number}") for number in range(torch.cuda.device_count()))
        raise ModelUnavailable(
            f"{len(parked)} of {len(placed)} parts do not fit on {torch.cuda.device_count()} CUDA devices, which have "
            f"{free / 2**20:,.0f} MiB left; first {parked[0]}. Set LATENTS_QUANTIZE=8bit or 4bit, or choose a smaller model."
        )
    home = model.get_input_embeddings().weight.device
    return home.type if home.index in (None, 0) else str(home)


def check_blocks(model: Any) -> None:
    """Refuse a model in 4 bits whose rows are not whole blocks: on a CPU bitsandbytes packs them so, and fails at the first text.

    Raises:
        ModelUnavailable: with the matrix and its width.
    """
    for name, module in model.named_modules():
        if type(module).__name__ == "Linear4bit" and module.in_features % _BLOCK:
            raise ModelUnavailable(
                f"In 4 bits a CPU reads rows of a multiple of {_BLOCK} weights; those of {name} have {module.in_features}. "
                "Set LATENTS_QUANTIZE=8bit or none."
            )


def shared_parts(model: Any) -> dict[int, Any]:
    """What a second copy of a model's modules shares with the first, by id, for `copy.deepcopy`: every tensor.

    Quantised layers are shared whole: they keep a part of their weights outside of parameters and move it at their first use.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    if getattr(model, "quantization_method", None) is not None:
        shared |= {id(module): module for module in model.modules() if type(module).__module__.startswith("bitsandbytes")}
    return shared
