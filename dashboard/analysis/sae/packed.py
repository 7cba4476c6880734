"""The shipped form of an SAE: 8 bits a weight, unpacked on first use into sae-lens' own folder.

A packed SAE is `NAME.safetensors` and its record `NAME.json`. Encoder columns and decoder rows are float8 (e4m3) with
one float32 scale a latent, biases and thresholds float32. Only BatchTopK and JumpReLU dictionaries are packed, as
JumpReLU. It does not change which latents exist, and nothing is pickled.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dashboard.analysis.errors import BrokenSaeFile
from dashboard.analysis.system.files import build_folder, is_whole_safetensors, sha256

SCHEMA = 1
_E4M3_MAX = 448.0


def pack(folder: Path, target: Path, record: dict[str, Any]) -> None:
    """Write `target.safetensors` and `target.json` from an SAE in sae-lens' layout.

    Raises:
        BrokenSaeFile: if the folder is not a JumpReLU SAE as sae-lens saves it.
    """
    config = json.loads((folder / "cfg.json").read_text())
    if config["architecture"] != "jumprelu":
        raise BrokenSaeFile(folder, f"only jumprelu dictionaries are packed, this one is {config['architecture']}")
    weights = load_file(folder / "sae_weights.safetensors")
    encoder, encoder_scale = _quantise(weights["W_enc"].T)
    decoder, decoder_scale = _quantise(weights["W_dec"])
    packed = {
        "encoder_rows": encoder,
        "encoder_scale": encoder_scale,
        "decoder_rows": decoder,
        "decoder_scale": decoder_scale,
        **{name: weights[name].float().contiguous() for name in ("b_enc", "b_dec", "threshold")},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(packed, _beside(target, "safetensors"), metadata={"schema": str(SCHEMA)})
    write_record(target, {**record, "config": config})


def write_record(target: Path, record: dict[str, Any]) -> None:
    """Write the record of a packed SAE, readable and with sorted keys."""
    _beside(target, "json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def unpack(packed: Path, config: dict[str, Any], cache: Path) -> Path:
    """The folder that `SAE.load_from_disk` reads, made now if it is not in the cache. Its name holds the file's digest.

    Raises:
        BrokenSaeFile: if the packed file is truncated or of another schema.
    """
    folder = cache / "saes" / packed.parent.name / f"{packed.stem}-{sha256(packed)[:12]}"

    def is_complete() -> bool:
        return (folder / "cfg.json").is_file() and is_whole_safetensors(folder / "sae_weights.safetensors")

    return build_folder(folder, is_complete, lambda made: _write_unpacked(packed, config, made))


def _write_unpacked(packed: Path, config: dict[str, Any], folder: Path) -> None:
    try:
        stored = load_file(packed)
        weights = {
            "W_enc": _dequantise(stored["encoder_rows"], stored["encoder_scale"]).T.contiguous(),
            "W_dec": _dequantise(stored["decoder_rows"], stored["decoder_scale"]),
            **{name: stored[name] for name in ("b_enc", "b_dec", "threshold")},
        }
    except Exception as error:  # safetensors raises its own type, KeyError a missing tensor: all mean the file is bad
        raise BrokenSaeFile(packed, str(error)) from error
    folder.mkdir()
    save_file(weights, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config, indent=1))


def _quantise(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = rows.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / _E4M3_MAX
    return (rows.float() / scale).to(torch.float8_e4m3fn).contiguous(), scale.squeeze(1)


def _dequantise(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return rows.float() * scale[:, None]


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f"{target.name}.{suffix}")
