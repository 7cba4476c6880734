"""Tiny dictionaries in the files that their makers publish, put where the stand-in hub serves them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from dashboard.analysis.sae.public.directory import entry
from tests.hub.conftest import Hub


def made(d_in: int, n_latents: int, seed: int = 5) -> dict[str, torch.Tensor]:
    """Weights in our usual orientation, of which nothing is alike: W_enc [d, n], W_dec [n, d]."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return scale * torch.randn(*shape, generator=generator)

    return {
        "W_enc": draw(d_in, n_latents, scale=d_in**-0.5),
        "W_dec": draw(n_latents, d_in, scale=d_in**-0.5),
        "b_enc": draw(n_latents, scale=0.2),
        "b_dec": draw(d_in, scale=0.3),
        "threshold": 0.1 + torch.rand(n_latents, generator=generator),
    }


def place(hub: Hub, name: str) -> Path:
    """The folder that the directory says an SAE lies in."""
    release, _, sae = name.partition("/")
    known = entry(release, sae)
    assert known is not None, name
    return hub.folder(f"{known.repo}/{known.path}")


def gemma_scope(hub: Hub, name: str, own: dict[str, torch.Tensor]) -> None:
    """params.npz and nothing else: sizes, layer and site are in the names."""
    np.savez(place(hub, name) / "params.npz", **{key: value.numpy() for key, value in own.items()})  # type: ignore[arg-type]


def gemma_scope_2(hub: Hub, name: str, own: dict[str, torch.Tensor]) -> None:
    """params.safetensors in small letters, and config.json."""
    folder = place(hub, name)
    save_file({key.lower(): value for key, value in own.items()}, folder / "params.safetensors")
    size = name.split("-")[3]
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu", "model_name": f"gemma-v3-{size}-pt"}))


def llama_scope(hub: Hub, name: str, own: dict[str, torch.Tensor], norm: float, threshold: float, hook: str) -> None:
    """checkpoints/final.safetensors as torch's linear layers lie, and hyperparams.json with the norm and one threshold."""
    folder = place(hub, name)
    (folder / "checkpoints").mkdir(exist_ok=True)
    linear = {
        "encoder.weight": own["W_enc"].T.contiguous(),
        "decoder.weight": own["W_dec"].T.contiguous(),
        "encoder.bias": own["b_enc"],
        "decoder.bias": own["b_dec"],
    }
    save_file(linear, folder / "checkpoints" / "final.safetensors")
    d_in, n_latents = own["W_enc"].shape
    config = {"d_model": d_in, "d_sae": n_latents, "jump_relu_threshold": threshold}
    config |= {"dataset_average_activation_norm": {"in": norm, "out": norm}, "hook_point_in": hook, "hook_point_out": hook}
    (folder / "hyperparams.json").write_text(json.dumps(config))


def native(folder: Path, own: dict[str, torch.Tensor], **config: Any) -> None:
    """sae-lens' own two files; without a config of version 6, its older and flat one."""
    d_in, n_latents = own["W_enc"].shape
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps({"d_in": d_in, "d_sae": n_latents, "dtype": "torch.float32", **config}))
    save_file(own, folder / "sae_weights.safetensors")


def sparsify(folder: Path, own: dict[str, torch.Tensor], k: int, model: str, **config: Any) -> None:
    """EleutherAI's: the encoder as torch's linear layer, a decoder row a latent, the model's name one folder up."""
    folder.mkdir(parents=True, exist_ok=True)
    d_in, n_latents = own["W_enc"].shape
    stored = {"encoder.weight": own["W_enc"].T.contiguous(), "encoder.bias": own["b_enc"], "W_dec": own["W_dec"], "b_dec": own["b_dec"]}
    save_file(stored, folder / "sae.safetensors")
    own_config = {"expansion_factor": 1, "normalize_decoder": True, "num_latents": n_latents, "k": k, "signed": False, "d_in": d_in}
    (folder / "cfg.json").write_text(json.dumps(own_config | config))
    (folder.parent / "config.json").write_text(json.dumps({"model": model, "ctx_len": 128}))
