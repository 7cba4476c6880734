"""What some dictionaries make of one prompt: one pass of the model, then one dictionary after the other."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import Capture, Fidelity, LatentActivations
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.sae.measure.measures import constant, cross_entropies, reconstruction
from dashboard.analysis.tokens import TokenizedPrompt

Use = Callable[[SaeId], AbstractContextManager[SAE]]
"""Lends a dictionary until its block is left."""


def capture_tokens(model: LoadedModel, tokens: TokenizedPrompt, sites: Mapping[SaeId, Site], use: Use, with_losses: bool) -> Capture:
    """Activations of every dictionary on every token, and how much of the site each explains. One is in use at a time."""
    ids = model.batch(tokens.ids)
    values = read_sites(model.bridge, ids, list(dict.fromkeys(sites.values())))
    activations: dict[SaeId, LatentActivations] = {}
    fidelity: dict[SaeId, Fidelity] = {}
    for name, site in sites.items():
        with use(name) as sae, torch.inference_mode():
            rows = values[site][0].float()
            acts = sae.encode(rows)
            activations[name] = sparse(name, acts)
            fidelity[name] = _fidelity(model, tokens, ids, site, sae, rows, acts, with_losses)
    return Capture(tokens, activations, fidelity)


def sparse(name: SaeId, acts: torch.Tensor) -> LatentActivations:
    """Dense activations [token, latent] without their zeros."""
    position, latent = acts.nonzero(as_tuple=True)
    return LatentActivations(
        sae=name,
        n_tokens=acts.shape[0],
        n_latents=acts.shape[1],
        position=position.cpu().numpy().astype(np.int32),
        latent=latent.cpu().numpy().astype(np.int32),
        value=acts[position, latent].cpu().numpy().astype(np.float32),
    )


def _fidelity(
    model: LoadedModel,
    tokens: TokenizedPrompt,
    ids: torch.Tensor,
    site: Site,
    sae: SAE,
    rows: torch.Tensor,
    acts: torch.Tensor,
    with_losses: bool,
) -> Fidelity:
    ordinary = ~torch.tensor(tokens.special, device=rows.device)
    n = int(ordinary.sum())
    if n == 0:
        return Fidelity(None, None, None, None, None)
    # Some SAEs keep each row's norm from encode for the one decode that follows, so each decode gets its own encode.
    rebuilt = sae.decode(acts)
    l0 = float((acts[ordinary] > 0).sum()) / n
    kept = rows[ordinary]
    mean = kept.mean(0)
    spread = float((kept - mean).square().sum())
    error = float((kept - rebuilt[ordinary]).square().sum())
    fvu = error / spread if spread > 0 else None
    if not with_losses or ids.shape[1] < 2:
        return Fidelity(l0, fvu, None, None, None)
    sae.encode(rows)
    all_off = sae.decode(torch.zeros_like(acts))[ordinary].mean(0)
    ways = [None, reconstruction(sae), constant(all_off)]
    sums = cross_entropies(model, ids, ordinary[None], site, ways)
    return Fidelity(l0, fvu, *(total / (ids.shape[1] - 1) for total in sums))
