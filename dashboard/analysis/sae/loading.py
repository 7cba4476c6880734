"""From a spec to an SAE in memory, through sae-lens' own loader. Safetensors only: nothing is unpickled."""

from pathlib import Path
from typing import Any

import torch
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import sae_lens_disk_loader

from dashboard.analysis.errors import BrokenSaeFile, OtherBos, OtherModel, WidthMismatch
from dashboard.analysis.model.bridge import LoadedModel, first_line
from dashboard.analysis.model.hooks import hook_name, why_missing
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.sae.packed import unpack


def sae_folder(spec: SaeSpec, cache: Path) -> Path:
    """The folder of an SAE in sae-lens' layout; a packed one is unpacked into the cache first."""
    return unpack(spec.source, spec.config, cache) if spec.is_packed else spec.source


def read_native(
    path: str | Path, device: str = "cpu", cfg_overrides: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """sae-lens' reader. A cfg.json with metadata is of version 6, also where it does not say so: as an older one it would lose it."""
    config, state = sae_lens_disk_loader(path, device, cfg_overrides)
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and not config.get("sae_lens_version"):
        config["metadata"] = {"sae_lens_version": "6.0.0"} | {name: value for name, value in metadata.items() if value is not None}
    return config, state


def load_sae(spec: SaeSpec, cache: Path, device: str) -> SAE:
    """The SAE in float32, frozen.

    Raises:
        BrokenSaeFile: if its files are damaged, or do not hold what its config says.
    """
    folder = sae_folder(spec, cache)
    try:
        sae = SAE.load_from_disk(folder, device=device, dtype="float32", converter=read_native)
    except Exception as error:  # sae-lens lets every reader's own exception through; each means the files are bad
        raise BrokenSaeFile(folder, first_line(error)) from error
    if sae.cfg.reshape_activations == "hook_z":
        # Sites give the heads side by side already.
        sae.turn_off_forward_pass_hook_z_reshaping()
    if sae.W_dec.shape != (spec.n_latents, spec.d_in):
        raise BrokenSaeFile(folder, f"decoder {tuple(sae.W_dec.shape)}, config {(spec.n_latents, spec.d_in)}")
    if not all(torch.isfinite(parameter).all() for parameter in sae.parameters()):
        raise BrokenSaeFile(folder, "its weights hold numbers that are not finite")
    sae = sae.eval().requires_grad_(False)
    check_runs(sae, folder)
    return sae


def check_runs(sae: SAE, source: Path) -> None:
    """Encode and decode two rows: what a config says beside the sizes (a k above the number of latents, say) shows only then.

    Raises:
        BrokenSaeFile: if that fails, or does not give numbers.
    """
    width = sae.W_dec.shape[1]
    rows = torch.stack([torch.linspace(-1, 2, width), torch.linspace(1, -2, width)]).to(sae.W_dec)
    try:
        with torch.inference_mode():
            acts = sae.encode(rows)
            rebuilt = sae.decode(acts)
    except Exception as error:  # whatever sae-lens or torch makes of a config without sense
        raise BrokenSaeFile(source, f"it cannot encode a row: {first_line(error)}") from error
    if acts.shape != (2, len(sae.W_dec)) or rebuilt.shape != rows.shape or not bool(rebuilt.isfinite().all()):
        raise BrokenSaeFile(source, "what it computes from a row is not a row of numbers")


def check_fits(spec: SaeSpec, model: LoadedModel) -> str | None:
    """Refuse an SAE that was made for another model, or one of another width or depth; returns a caution if its model is a relative.

    Raises:
        OtherModel: with both names.
        WidthMismatch: with both numbers.
        BrokenSaeFile: if the model has no such site.
        OtherBos: if it wants a BOS token where none is put, or none where one is.
    """
    if kinship(spec.model, model.id) is Kinship.OTHER:
        raise OtherModel(str(spec.id), str(spec.model), str(model.id))
    if spec.site.layer >= model.n_layers:
        raise WidthMismatch(str(spec.id), "layer", spec.site.layer, str(model.id), model.n_layers)
    if why := why_missing(model.bridge, spec.site):
        raise BrokenSaeFile(spec.source, f"{model.id} has no site {spec.site}: {why.rstrip('.')}")
    if spec.d_in != (width := model.width(spec.site)):
        raise WidthMismatch(str(spec.id), "a model of width", spec.d_in, str(model.id), width)
    if spec.hook == hook_name(spec.site) != (ours := hook_name(spec.site, model.bridge)):
        raise BrokenSaeFile(spec.source, f"it reads {spec.hook}, before a norm of {model.id}; this site is read behind it, at {ours}")
    wants = spec.wants_bos
    if model.tokenizer.bos_token_id is not None and wants is not None and wants != model.prepends_bos:
        raise OtherBos(str(spec.id), wants)
    return spec.caution(model.id)
