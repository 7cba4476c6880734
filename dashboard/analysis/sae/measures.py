"""Figures of merit of an SAE, from weights and activations that are given. Torch in, numbers out."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from sae_lens import SAE

from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import hooked
from dashboard.analysis.names import Site

_TOKENS_PER_PASS = 3072
"""Most tokens of one forward pass with logits: 49,152 logits each in float32 are 0.6 GiB."""

OUTLIER_NORM = 10.0
"""Tokens with a norm above this many medians of their chunk are left out: they are attention sinks, not content."""


def within_norm(rows: Float[torch.Tensor, "row d_model"]) -> Bool[torch.Tensor, " row"]:
    """True for rows whose norm is at most OUTLIER_NORM times the median norm."""
    norms = rows.float().norm(dim=-1)
    return norms <= OUTLIER_NORM * norms.median()


def decoder_cosine(rows: Float[torch.Tensor, "latents d_model"]) -> float:
    """Mean absolute cosine between different decoder rows, 0 (orthogonal) to 1."""
    unit = torch.nn.functional.normalize(rows.float(), dim=-1)
    n = len(unit)
    total = sum(float((part @ unit.T).abs().sum()) for part in unit.split(1024))
    return max(0.0, total - n) / (n * (n - 1)) if n > 1 else 0.0


class Losses(NamedTuple):
    """Next-token cross-entropy, nats, summed over every token but the first of each row."""

    clean: float
    spliced: float
    """With the site's ordinary tokens replaced by the SAE's reconstruction."""
    ablated: float
    """With the site's ordinary tokens replaced by a baseline activation."""


def losses(
    model: LoadedModel,
    ids: Int[torch.Tensor, "row position"],
    ordinary: Bool[torch.Tensor, "row position"],
    site: Site,
    sae: SAE,
    baseline: Float[torch.Tensor, " d_model"],
) -> Losses:
    """The three losses of some rows without padding, in as few passes as memory allows."""
    n = len(ids)
    untouched = torch.zeros_like(ordinary)
    splice = torch.cat([untouched, ordinary, untouched])
    ablate = torch.cat([untouched, untouched, ordinary])
    everything = ids.repeat(3, 1)
    per_pass = max(1, _TOKENS_PER_PASS // ids.shape[1])
    sums = [
        _cross_entropy(model, *part, site, sae, baseline)
        for part in zip(everything.split(per_pass), splice.split(per_pass), ablate.split(per_pass), strict=True)
    ]
    return Losses(*(float(part.sum()) for part in torch.cat(sums).split(n)))


def _cross_entropy(
    model: LoadedModel, ids: torch.Tensor, splice: torch.Tensor, ablate: torch.Tensor, site: Site, sae: SAE, baseline: torch.Tensor
) -> Float[torch.Tensor, " row"]:
    def edit(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        if splice.any():
            value[splice] = sae.decode(sae.encode(value[splice].float())).to(value.dtype)
        value[ablate] = baseline.to(value.dtype)
        return value

    with torch.inference_mode(), hooked(model.bridge, {site: edit}):
        logits = model.bridge(ids, return_type="logits")
        sums = torch.zeros(len(ids), dtype=torch.float64)
        for i, (row, wanted) in enumerate(zip(logits[:, :-1], ids[:, 1:], strict=True)):
            for part, targets in zip(row.split(256), wanted.split(256), strict=True):
                sums[i] += float(torch.nn.functional.cross_entropy(part.float(), targets, reduction="sum"))
    return sums
