"""Attention dictionaries that read the heads' outputs before the output projection ("z-space"), as directions of the residual stream.

A row of n_heads * d_head numbers is what the heads would write; the output projection W_O makes a residual direction of it, and
a norm after attention, where a model has one (Gemma 2), scales its dimensions by the norm's gain.
"""

from typing import Any

import torch
from jaxtyping import Float

from dashboard.analysis.errors import WidthMismatch
from dashboard.analysis.model.bridge import LoadedModel


def residual_rows(
    rows: Float[torch.Tensor, "rows z"], w_o: Float[torch.Tensor, "z d_model"], gain: Float[torch.Tensor, " d_model"] | None
) -> Float[torch.Tensor, "rows d_model"]:
    """gain * (row @ W_O) in float32, not normalised: lengths are what the row writes."""
    written = rows.float() @ w_o.float()
    return written if gain is None else written * gain.float()


def to_residual(model: LoadedModel, layer: int, rows: Float[torch.Tensor, "rows z"], name: str) -> Float[torch.Tensor, "rows d_model"]:
    """Rows of a z-space dictionary of one layer through the model's own W_O.

    Raises:
        WidthMismatch: if the model's heads are of another number or size, or it has no such layer.
    """
    if layer >= model.n_layers:
        raise WidthMismatch(name, "layer", layer, str(model.id), model.n_layers)
    block: Any = model.bridge.blocks[layer]
    w_o = block.attn.W_O.detach().reshape(-1, model.d_model)
    if rows.shape[1] != len(w_o):
        raise WidthMismatch(name, "heads whose outputs together are of width", rows.shape[1], str(model.id), len(w_o))
    with torch.inference_mode():
        return residual_rows(rows, w_o, _gain(model, layer))


def _gain(model: LoadedModel, layer: int) -> torch.Tensor | None:
    """What a norm between attention and residual stream multiplies each dimension by, whatever its arithmetic; None without one."""
    try:
        path = model.bridge.adapter.translate_transformer_lens_path(f"blocks.{layer}.ln1_post")
    except ValueError:
        return None
    norm = model.bare.get_submodule(path)
    # A row of ones has size 1, so an RMS norm gives its gain back.
    return norm(torch.ones(1, model.d_model, device=model.device, dtype=model.dtype))[0]
