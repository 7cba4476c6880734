"""What every latent of some SAEs does at chosen tokens: one pass of the model over all rows, as deep as the deepest site."""

from collections.abc import Mapping

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks.chosen_tokens import Activity, ActivityAsk, SampledActivity
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.capturing import Use
from dashboard.analysis.sae.catalog import SaeSpec

_TOKENS_AT_ONCE = 512
"""Tokens that are encoded together: dense activations of 16,384 latents take 32 MiB."""


def sampled_activity(model: LoadedModel, ask: ActivityAsk, specs: Mapping[SaeId, SaeSpec], use: Use) -> SampledActivity:
    """Read the rows, keep the chosen tokens of each site, encode those and keep what fires. One dictionary is in use at a time."""
    rows = [model.with_bos(row) for row in ask.rows]
    # Padding on the right is read by no token before it.
    longest = max(map(len, rows), default=0)
    places = [
        (number, position + len(row) - len(given))
        for number, (row, given, chosen) in enumerate(zip(rows, ask.rows, ask.positions, strict=True))
        for position in chosen
    ]
    special_ids = {*model.tokenizer.all_special_ids}
    special = np.array([rows[number][place] in special_ids for number, place in places], dtype=bool)
    if not places or not specs:
        return SampledActivity(special, {name: _empty(spec, len(places)) for name, spec in specs.items()})
    ids = model.batch(*(row + (0,) * (longest - len(row)) for row in rows))
    values = read_sites(model.bridge, ids, list(dict.fromkeys(spec.site for spec in specs.values())))
    number, place = (torch.tensor(column, device=ids.device) for column in zip(*places, strict=True))
    kept = {site: value[number.to(value.device), place.to(value.device)].float() for site, value in values.items()}
    found: dict[SaeId, Activity] = {}
    for name, spec in specs.items():
        with use(name) as sae:
            found[name] = _encoded(spec, sae, kept[spec.site])
    return SampledActivity(special, found)


def _encoded(spec: SaeSpec, sae: SAE, rows: torch.Tensor) -> Activity:
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with torch.inference_mode():
        for start in range(0, len(rows), _TOKENS_AT_ONCE):
            acts = sae.encode(rows[start : start + _TOKENS_AT_ONCE])
            sample, latent = acts.nonzero(as_tuple=True)
            parts.append(((sample + start).cpu().numpy(), latent.cpu().numpy(), acts[sample, latent].cpu().numpy()))
    sample, latent, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Activity(spec.id, len(rows), spec.n_latents, sample.astype(np.int32), latent.astype(np.int32), value.astype(np.float32))


def _empty(spec: SaeSpec, n_samples: int) -> Activity:
    nothing = np.zeros(0, dtype=np.int32)
    return Activity(spec.id, n_samples, spec.n_latents, nothing, nothing, nothing.astype(np.float32))
