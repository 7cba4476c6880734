"""One token of a text, read again and again with some latents rescaled at it: the rest of the layer is run each time.

Steps: (1) the text before the token is read once; (2) the token, and those after it whose loss is wanted, are read in as
many rows as there are variants, behind the same keys and values; (3) the edits act at the first token of the pass only, each
at its own site; what comes later in the forward pass sees them, as far as the last layer that is read where no loss is wanted.
A row without edits gives the plain values; variants that change nothing take over that row, so that they are equal bit for bit.

Source: Laptev et al. 2025, arXiv:2502.03032, section 5, "Deactivation of features". Differs from it: a loss is the mean over
the tokens right after the edited one, the only ones that it can change; the paper does not say which it takes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from sae_lens import SAE
from transformers import DynamicCache

from dashboard.analysis.asks.chosen_tokens import Rescaled
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.edits import rescaled_together
from dashboard.analysis.model.generation import key_values
from dashboard.analysis.model.hooks import Edit, hooked_bare
from dashboard.analysis.names import LatentId, SaeId, Site

ROWS_AT_ONCE = 64
"""Most rows of one pass, the plain one included."""
_LOGITS_AT_ONCE = 1024 * 49_152
"""Most logits of one pass that are in memory."""


@dataclass(frozen=True, eq=False)
class PlacedSae:
    """An SAE in memory and where it reads."""

    sae: SAE
    site: Site


@dataclass(frozen=True)
class Plan:
    """What is to be run: token ids with the BOS in front, the token, the variants."""

    ids: tuple[int, ...]
    position: int
    factors: Sequence[Mapping[LatentId, float]]
    """For each variant the latents that it rescales."""
    targets: tuple[LatentId, ...]
    n_after: int


def rescale_at(model: LoadedModel, plan: Plan, saes: Mapping[SaeId, PlacedSae]) -> Rescaled:
    """Values of the targets at the token, and losses after it, plain and in each variant."""
    n_losses = min(len(plan.ids) - plan.position - 1, plan.n_after)
    distinct = [number for number, factors in enumerate(plan.factors) if any(factor != 1 for factor in factors.values())]
    values = np.zeros((len(plan.factors), len(plan.targets)), dtype=np.float32)
    losses = np.zeros(len(plan.factors), dtype=np.float32)
    plain, plain_loss = None, 0.0
    with torch.inference_mode():
        before = _read_before(model, plan)
        per_pass = max(1, min(ROWS_AT_ONCE, _LOGITS_AT_ONCE // (model.n_vocabulary * max(1, n_losses))) - 1)
        n_rows = 1 + min(per_pass, len(distinct))
        for start in range(0, max(1, len(distinct)), per_pass):
            chunk = distinct[start : start + per_pass]
            # Every pass has as many rows, the plain one first: a matrix product may round by its shape.
            rows: list[Mapping[LatentId, float]] = [{}, *(plan.factors[number] for number in chunk)]
            rows += [{}] * (n_rows - len(rows))
            read, lost = _run(model, plan, saes, rows, before, n_losses)
            if plain is None:
                plain, plain_loss = read[0], float(lost[0])
            values[chunk], losses[chunk] = read[1 : 1 + len(chunk)], lost[1 : 1 + len(chunk)]
    assert plain is not None
    same = [number for number in range(len(plan.factors)) if number not in {*distinct}]
    values[same], losses[same] = plain, plain_loss
    return Rescaled(plain, values, plain_loss if n_losses else None, losses if n_losses else None, n_losses)


def _read_before(model: LoadedModel, plan: Plan) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values [row, head, position, d_head] of each layer for the text before the token."""
    if plan.position == 0:
        return []
    cache = DynamicCache()
    model.bare(model.batch(plan.ids[: plan.position]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return key_values(cache)


def _run(
    model: LoadedModel,
    plan: Plan,
    saes: Mapping[SaeId, PlacedSae],
    rows: Sequence[Mapping[LatentId, float]],
    before: Sequence[tuple[torch.Tensor, torch.Tensor]],
    n_losses: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Values [row, target] at the token, and the mean loss [row] after it."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(before):
        shape = (len(rows), -1, -1, -1)
        cache.update(keys.expand(shape), values.expand(shape), layer)
    read: dict[Site, torch.Tensor] = {}
    hooks = _hooks(saes, rows, {saes[target.sae].site for target in plan.targets}, read, stop=n_losses == 0)
    ids = model.batch(*[plan.ids[plan.position : plan.position + max(1, n_losses)]] * len(rows))
    lost = torch.zeros(len(rows), device=model.device)
    with suppress(_Enough), hooked_bare(model, hooks):
        logits = model.bare(ids, past_key_values=cache, use_cache=True, logits_to_keep=ids.shape[1]).logits
        for place in range(n_losses):
            wanted = torch.full((len(rows),), plan.ids[plan.position + 1 + place], device=model.device)
            lost += torch.nn.functional.cross_entropy(logits[:, place].float(), wanted, reduction="none")
    acts = {name: saes[name].sae.encode(read[saes[name].site]) for name in dict.fromkeys(target.sae for target in plan.targets)}
    found = [acts[target.sae][:, target.index].cpu() for target in plan.targets]
    values = torch.stack(found, dim=1).numpy() if found else np.zeros((len(rows), 0))
    return values.astype(np.float32), (lost / max(1, n_losses)).cpu().numpy().astype(np.float32)


class _Enough(Exception):
    """Everything that is wanted has been read: the rest of the model need not run."""


def _hooks(
    saes: Mapping[SaeId, PlacedSae],
    rows: Sequence[Mapping[LatentId, float]],
    read_at: set[Site],
    read: dict[Site, torch.Tensor],
    *,
    stop: bool,
) -> dict[Site, Edit]:
    edited = dict.fromkeys(latent.sae for factors in rows for latent in factors)
    sites = dict.fromkeys([*(saes[name].site for name in edited), *read_at])

    def edit_of(site: Site) -> Edit:
        here = [name for name in edited if saes[name].site == site]
        parts = [(saes[name].sae, _weights(name, saes[name].sae, rows)) for name in here]

        def edit(value: torch.Tensor) -> torch.Tensor:
            if parts:
                value = torch.cat([rescaled_together(value[:, 0], parts)[:, None], value[:, 1:]], dim=1)
            if site in read_at:
                read[site] = value[:, 0].float()
                if stop and read.keys() == read_at:
                    raise _Enough
            return value

        return edit

    return {site: edit_of(site) for site in sites}


def _weights(name: SaeId, sae: SAE, rows: Sequence[Mapping[LatentId, float]]) -> torch.Tensor:
    """Factor less 1 [row, latent] of the latents of one SAE; 0 leaves a latent alone."""
    weights = torch.zeros(len(rows), sae.W_dec.shape[0], device=sae.W_dec.device)
    for row, factors in enumerate(rows):
        for latent, factor in factors.items():
            if latent.sae == name:
                weights[row, latent.index] = factor - 1
    return weights
