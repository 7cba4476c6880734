"""Gemma Scope 2 as sae-lens reads it, with the sizes taken from the file of weights.

sae-lens asks the hub for them each time, so that it cannot read what is in the cache without a hub. Source: sae-lens 6.54,
`get_gemma_3_config_from_hf` and `gemma_3_sae_huggingface_loader`; transcoders are left out, which are not read here.
"""

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file

from dashboard.analysis.names import Point, Site, hook_of_site
from dashboard.analysis.system.files import read_json_object
from dashboard.analysis.system.hub import hub_file

_FOLDERS = {"resid_post": Point.RESID_POST, "attn_out": Point.ATTN_Z, "mlp_out": Point.MLP_OUT}
"""What the part of a folder's name that says what was read stands for; its `attn_out` is the input of the output matrix."""


def read_gemma_scope_2(
    repo_id: str, folder_name: str, device: str, force_download: bool, cfg_overrides: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, torch.Tensor], torch.Tensor | None]:
    """The config and the weights of a folder of a repository, in the form of sae-lens' loaders.

    Raises:
        HubRefused: if the files cannot be had.
        ValueError, KeyError: if they are not what they should be.
    """
    weights = load_file(hub_file(repo_id, f"{folder_name}/params.safetensors"), device=device)
    layer = re.search(r"layer_(\d+)", folder_name)
    point = next((point for name, point in _FOLDERS.items() if name in folder_name), None)
    if layer is None or point is None:
        raise ValueError(f"the folder's name {folder_name[:80]!r} does not say what it reads")
    given = _config(repo_id, folder_name)
    if given.get("architecture") != "jump_relu":
        raise ValueError(f"its architecture is {str(given.get('architecture'))[:40]!r}, not jump_relu")
    config = {
        "architecture": "jumprelu",
        "d_in": weights["w_enc"].shape[0],
        "d_sae": weights["w_enc"].shape[1],
        "dtype": "float32",
        "model_name": _model(str(given["model_name"])),
        "hook_name": hook_of_site(Site(int(layer[1]), point)),
        "hook_head_index": None,
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": None,
        "prepend_bos": True,
        "dataset_path": "monology/pile-uncopyrighted",
        "context_size": 1024,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "hf_hook_name": given.get("hf_hook_point_in"),
        "device": device,
        **(cfg_overrides or {}),
    }
    names = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    return config, {ours: weights[theirs].float() for ours, theirs in names.items()}, None


def _config(repo_id: str, folder_name: str) -> dict[str, Any]:
    """config.json, which some folders lack: the name of the repository says the model then."""
    try:
        return read_json_object(Path(hf_hub_download(repo_id, f"{folder_name}/config.json")))
    except EntryNotFoundError:
        return {"architecture": "jump_relu", "model_name": repo_id.replace("gemma-scope-2", "gemma-3")}


def _model(name: str) -> str:
    """The model's name on the hub: `gemma-v3-270m-pt` -> `google/gemma-3-270m`, the only base model that is called without `-pt`."""
    full = (name if "google" in name else f"google/{name}").replace("-v3", "-3")
    return full.replace("-pt", "") if "270m" in full else full
