"""A copy of a model that cannot write along one direction: u is taken out of every matrix that writes to the residual stream.

W <- W - (W u) u^T, row by row, for the token embedding (and a table of positions, where there is one), every attention's
output matrix and every MLP's; biases likewise. Everything else is shared with the model, whose own weights stay as they
are. Where a norm with a gain g stands between a matrix and the stream, (g o u)/|g o u| is taken out instead of u, because
what the norm adds is g o z/rms(z). Where embedding and unembedding are one matrix, the unembedding keeps the old one.

Source: Ferrando et al. 2024, arXiv:2411.14257 (weight orthogonalisation). Differs from it: norms after a writer are
taken into account, biases and positions too.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.bridge import LoadedModel


def without_direction(model: LoadedModel, direction: torch.Tensor) -> LoadedModel:
    """The model with a `bare` copy that writes nothing along `direction` [d_model]; its bridge is the shared one.

    Computed in float32; in bfloat16 the rounding of the new weights leaves about a thousandth.

    Raises:
        BadAsk: if the model is built in a way that hides its writing matrices.
    """
    if model.quantize != "none":
        raise BadAsk(f"{model.id} is loaded in {model.quantize}: its weights cannot be orthogonalised. Set LATENTS_QUANTIZE=none.")
    bare = model.bare
    shared = {id(tensor): tensor for tensor in (*bare.parameters(), *bare.buffers())}
    copied = copy.deepcopy(bare, shared)
    unit = nn.functional.normalize(direction.float(), dim=0)
    with torch.no_grad():
        for module, along in _writers(model, copied, unit):
            _take_out(module, along)
    return replace(model, bare=copied)


def _writers(model: LoadedModel, copied: Any, unit: torch.Tensor) -> Iterator[tuple[nn.Module, torch.Tensor]]:
    """Every module that writes to the residual stream, with the direction that its output may not have."""
    yield copied.get_input_embeddings(), unit
    positions = _module(model, copied, "pos_embed")
    if positions is not None and hasattr(positions, "weight"):
        yield positions, unit
    for layer in range(model.n_layers):
        for writer, norm in (("attn.o", "ln1_post"), ("mlp.out", "ln2_post")):
            module = _module(model, copied, f"blocks.{layer}.{writer}")
            if module is None or not isinstance(getattr(module, "weight", None), torch.Tensor):
                raise BadAsk(f"{model.id} has no single output matrix {writer} in layer {layer}: its weights cannot be orthogonalised.")
            after = _module(model, copied, f"blocks.{layer}.{norm}")
            # A norm of ones is its gain.
            along = unit if after is None else nn.functional.normalize(after(torch.ones_like(unit).to(model.dtype)).float() * unit, dim=0)
            yield module, along


def _module(model: LoadedModel, copied: Any, path: str) -> nn.Module | None:
    try:
        return copied.get_submodule(model.bridge.adapter.translate_transformer_lens_path(path))
    except (ValueError, AttributeError, KeyError):
        return None


def _take_out(module: Any, unit: torch.Tensor) -> None:
    rows: torch.Tensor = module.weight.float()
    unit = unit.to(rows.device)
    # A linear layer keeps [d_model, in]; embeddings and GPT-2's Conv1D keep [in, d_model].
    new = rows - torch.outer(unit, unit @ rows) if isinstance(module, nn.Linear) else rows - torch.outer(rows @ unit, unit)
    module.weight = nn.Parameter(new.to(module.weight.dtype), requires_grad=False)
    bias: torch.Tensor | None = getattr(module, "bias", None)
    if bias is not None:
        module.bias = nn.Parameter((bias.float() - (bias.float() @ unit) * unit).to(bias.dtype), requires_grad=False)
