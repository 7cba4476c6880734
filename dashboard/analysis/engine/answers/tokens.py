"""What latents do on the tokens of a text, or of rows of token ids."""

from collections.abc import Sequence

import numpy as np
import torch

from dashboard.analysis.asks.capture import Capture, CaptureAsk, TraceAsk, TracedRow
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, RescaleAsk, Rescaled, SampledActivity
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.model.bridge import token_texts
from dashboard.analysis.model.costs import capture_bytes, rescaled_bytes, traced_bytes
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.model.rescaling import ROWS_AT_ONCE, PlacedSae, Plan, rescale_at
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.activity import sampled_activity
from dashboard.analysis.sae.capturing import capture_tokens


def capture(at: Workspace, ask: CaptureAsk) -> Capture:
    """Read sites, encode them, keep what fires."""
    tokens = at.tokens(ask.prompt)
    sites = {name: at.shelf.spec(name).site for name in ask.saes}
    return capture_tokens(at.model, tokens, sites, at.using, ask.fidelity)


def capture_cost(at: Workspace, ask: CaptureAsk) -> int:
    """Bytes; see `capture_bytes`."""
    return capture_bytes(at.model, len(at.tokens(ask.prompt)), [at.catalog.get(sae).n_latents for sae in ask.saes], ask.fidelity)


def trace(at: Workspace, ask: TraceAsk) -> tuple[TracedRow, ...]:
    """The activations of some latents on each token of several rows.

    Raises:
        PromptTooLong: with both numbers.
    """
    model, special = at.model, {*at.model.tokenizer.all_special_ids}
    for row in ask.rows:
        at.check_length(row)
    for latent in ask.latents:
        at.catalog.latent(latent)
    rows = [model.with_bos(row) for row in ask.rows]
    # Padding on the right is read by no token before it.
    ids = model.batch(*(row + (0,) * (_longest(rows) - len(row)) for row in rows))
    sites = {name: at.shelf.spec(name).site for name in dict.fromkeys(latent.sae for latent in ask.latents)}
    values = read_sites(model.bridge, ids, list(dict.fromkeys(sites.values()))) if rows and sites else {}
    acts: dict[LatentId, torch.Tensor] = {}
    for name, site in sites.items() if rows else ():
        wanted = list(dict.fromkeys(latent for latent in ask.latents if latent.sae == name))
        with at.using(name) as sae, torch.inference_mode():
            dense = sae.encode(values[site].float())
            acts |= {latent: dense[..., latent.index].cpu() for latent in wanted}
    traced: list[TracedRow] = []
    for place, (row, given) in enumerate(zip(rows, ask.rows, strict=True)):
        of_latents = [acts[latent][place, len(row) - len(given) : len(row)].numpy() for latent in ask.latents]
        dense = np.array(of_latents, dtype=np.float32).reshape(len(ask.latents), len(given))
        traced.append(TracedRow(token_texts(model.tokenizer, given), tuple(i in special for i in given), dense))
    return tuple(traced)


def trace_cost(at: Workspace, ask: TraceAsk) -> int:
    """Bytes; see `traced_bytes`."""
    widths = [at.catalog.get(latent.sae).n_latents for latent in ask.latents]
    return traced_bytes(at.model, len(ask.rows), _longest(ask.rows), widths)


def activity(at: Workspace, ask: ActivityAsk) -> SampledActivity:
    """What all latents of some SAEs do at chosen tokens of several rows.

    Raises:
        PromptTooLong: with both numbers.
    """
    for row in ask.rows:
        at.check_length(row)
    return sampled_activity(at.model, ask, {name: at.shelf.spec(name) for name in ask.saes}, at.using)


def activity_cost(at: Workspace, ask: ActivityAsk) -> int:
    """Bytes of reading the rows; they are encoded a few tokens at a time."""
    return traced_bytes(at.model, len(ask.rows), _longest(ask.rows), [0] * len(ask.saes))


def rescale(at: Workspace, ask: RescaleAsk) -> Rescaled:
    """Rescale latents at one token of a row in several ways, run what follows, and read some latents there.

    Raises:
        PromptTooLong: with both numbers.
    """
    at.check_length(ask.row)
    for latent in (*ask.targets, *(latent for variant in ask.variants for latent in variant.latents)):
        at.catalog.latent(latent)
    factors = [{} if variant.changes_nothing else dict.fromkeys(variant.latents, variant.factor) for variant in ask.variants]
    ids = at.model.with_bos(ask.row)
    plan = Plan(ids, ask.position + len(ids) - len(ask.row), factors, ask.targets, ask.n_after)
    names = dict.fromkeys(latent.sae for latent in (*ask.targets, *(latent for changed in factors for latent in changed)))
    with at.shelf.holding(names) as saes:
        return rescale_at(at.model, plan, {name: PlacedSae(sae, at.catalog.get(name).site) for name, sae in saes.items()})


def rescale_cost(at: Workspace, ask: RescaleAsk) -> int:
    """Bytes; see `rescaled_bytes`."""
    n_rows = 1 + min(ROWS_AT_ONCE, len(ask.variants))
    return rescaled_bytes(at.model, len(ask.row) + 1, n_rows, min(ask.n_after, len(ask.row) - ask.position - 1))


def _longest(rows: Sequence[Sequence[int]]) -> int:
    return max(map(len, rows), default=0)
