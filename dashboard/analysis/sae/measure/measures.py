"""Figures of merit of an SAE, from weights and activations that are given. Torch in, numbers out."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from sae_lens import SAE

from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import hooked
from dashboard.analysis.names import Site

_LOGITS_PER_PASS = 3072 * 49_152
"""Most logits of one forward pass, but for those of one row: 0.6 GiB in float32."""

OUTLIER_NORM = 10.0
"""Tokens with a norm above this many medians of their chunk are left out: they are attention sinks, not content."""


def within_norm(rows: Float[torch.Tensor, "row d_model"]) -> Bool[torch.Tensor, " row"]:
    """True for rows whose norm is at most OUTLIER_NORM times the median norm."""
    return ordinary_norms(rows.float().norm(dim=-1))


def ordinary_norms(norms: Float[torch.Tensor, " row"]) -> Bool[torch.Tensor, " row"]:
    """`within_norm` for rows of which only the norms are at hand."""
    return norms <= OUTLIER_NORM * norms.median()


def decoder_cosine(rows: Float[torch.Tensor, "latents d_model"]) -> float:
    """Mean absolute cosine between different decoder rows, 0 (orthogonal) to 1."""
    unit = torch.nn.functional.normalize(rows.float(), dim=-1)
    n = len(unit)
    total = sum(float((part @ unit.T).abs().sum()) for part in unit.split(1024))
    return max(0.0, total - n) / (n * (n - 1)) if n > 1 else 0.0


Rewrite = Callable[[Float[torch.Tensor, "token d_model"]], Float[torch.Tensor, "token d_model"]]
"""Activations of a site -> what the model goes on with."""


def reconstruction(sae: SAE, width: int | None = None) -> Rewrite:
    """The site becomes what the SAE makes of it, with its first `width` latents alone if that is given."""

    def rewrite(rows: torch.Tensor) -> torch.Tensor:
        acts = sae.encode(rows.float())
        return sae.decode(acts if width is None else first_latents(acts, width))

    return rewrite


def constant(row: Float[torch.Tensor, " d_model"]) -> Rewrite:
    """The site becomes one and the same activation everywhere."""
    return lambda rows: row.expand_as(rows)


def first_latents(acts: Float[torch.Tensor, "row latents"], width: int) -> Float[torch.Tensor, "row latents"]:
    """The activations with all latents but the first `width` off: a prefix of a Matryoshka dictionary."""
    return torch.cat([acts[:, :width], torch.zeros_like(acts[:, width:])], dim=1)


def cross_entropies(
    model: LoadedModel,
    ids: Int[torch.Tensor, "row position"],
    ordinary: Bool[torch.Tensor, "row position"],
    site: Site,
    rewrites: Sequence[Rewrite | None],
) -> list[float]:
    """Next-token cross-entropy, nats, summed over every token but the first of each row, once for each way to rewrite
    the site's ordinary tokens (None: as they are). Rows without padding, in as few passes as memory allows.
    """
    jobs = [(row, way) for way in range(len(rewrites)) for row in range(len(ids))]
    per_pass = max(1, _LOGITS_PER_PASS // model.n_vocabulary // ids.shape[1])
    sums = [0.0] * len(rewrites)
    for start in range(0, len(jobs), per_pass):
        part = jobs[start : start + per_pass]
        rows, ways = [row for row, _ in part], torch.tensor([way for _, way in part], device=ids.device)
        for way, total in zip(ways.tolist(), _cross_entropy(model, ids[rows], ordinary[rows], site, ways, rewrites), strict=True):
            sums[way] += total
    return sums


def _cross_entropy(
    model: LoadedModel, ids: torch.Tensor, ordinary: torch.Tensor, site: Site, ways: torch.Tensor, rewrites: Sequence[Rewrite | None]
) -> list[float]:
    def edit(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        for way, rewrite in enumerate(rewrites):
            chosen = (ordinary & (ways == way)[:, None]).to(value.device)
            if rewrite is not None and chosen.any():
                value[chosen] = rewrite(value[chosen]).to(value)
        return value

    with torch.inference_mode(), hooked(model.bridge, {site: edit}):
        logits = model.bridge(ids, return_type="logits")
        sums = [0.0] * len(ids)
        for i, (row, wanted) in enumerate(zip(logits[:, :-1], ids[:, 1:], strict=True)):
            for part, targets in zip(row.split(256), wanted.split(256), strict=True):
                sums[i] += float(torch.nn.functional.cross_entropy(part.float(), targets.to(part.device), reduction="sum"))
    return sums
