"""Continuing a prompt, one row a variant, each with its own edits, cache and random generator.

A row is run by itself, so its text cannot depend on its neighbours. Hooks live for one forward pass only: nothing is
yielded while one is in place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from dashboard.analysis.asks import Intervention, Sampling, Where
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.edits import RowEdit, apply_edits
from dashboard.analysis.model.hooks import hooked
from dashboard.analysis.names import Site
from dashboard.analysis.results import TokenDelta
from dashboard.analysis.tokens import TokenizedPrompt


@dataclass(frozen=True, eq=False)
class PlacedEdit:
    """An intervention with its SAE loaded and its site known."""

    site: Site
    intervention: Intervention
    sae: Any


@dataclass(eq=False)
class _Row:
    label: str
    edits: Sequence[PlacedEdit]
    pending: list[int]
    """Tokens that the model has not read yet."""
    generator: torch.Generator
    cache: DynamicCache = field(default_factory=DynamicCache)
    read: int = 0
    """Tokens that it has read."""
    new_ids: list[int] = field(default_factory=list)
    shown: str = ""


def generate(
    model: LoadedModel, tokens: TokenizedPrompt, variants: Mapping[str, Sequence[PlacedEdit]], sampling: Sampling
) -> Iterator[TokenDelta]:
    """New tokens of every variant in turn, step by step, until each row ends or has `max_new_tokens`."""
    rows = [_Row(label, edits, list(tokens.ids), torch.Generator().manual_seed(sampling.seed)) for label, edits in variants.items()]
    ends = _end_ids(model)
    for step in range(sampling.max_new_tokens):
        for row in list(rows):
            logits = _next_logits(model, row, len(tokens))
            token = _draw(logits, sampling, row.generator)
            last = token in ends or step == sampling.max_new_tokens - 1
            row.new_ids.append(token)
            row.pending = [token]
            logprob = float(torch.log_softmax(logits, dim=-1)[token])
            yield TokenDelta(row.label, step, token, _new_text(model, row, last), logprob, last)
            if last:
                rows.remove(row)


def _next_logits(model: LoadedModel, row: _Row, n_prompt: int) -> torch.Tensor:
    ids = model.batch(tuple(row.pending))
    positions = torch.arange(row.read, row.read + len(row.pending), device=model.device)
    by_site: dict[Site, list[RowEdit]] = {}
    for placed in row.edits:
        edit = placed.intervention
        where = _positions(edit.where, n_prompt)(positions)
        by_site.setdefault(placed.site, []).append(RowEdit(placed.sae, edit.latent.index, edit.op, edit.amount, where))
    hooks = {site: _edit(edits) for site, edits in by_site.items()}
    with torch.inference_mode(), hooked(model.bridge, hooks):
        logits = model.bridge.original_model(ids, past_key_values=row.cache, use_cache=True, logits_to_keep=1).logits
    row.read += len(row.pending)
    return logits[0, -1].float().cpu()


def _edit(edits: list[RowEdit]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda value: apply_edits(value, [edits])


def _positions(where: Any, n_prompt: int) -> Callable[[torch.Tensor], torch.Tensor]:
    match where:
        case Where.PROMPT:
            return lambda positions: positions < n_prompt
        case Where.GENERATED:
            return lambda positions: positions >= n_prompt
        case Where.EVERYWHERE:
            return lambda positions: torch.ones_like(positions, dtype=torch.bool)
        case span:
            return lambda positions: (positions >= span.start) & (positions < span.end)


def _draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature <= 0:
        return int(logits.argmax())
    probabilities, ids = torch.softmax(logits / sampling.temperature, dim=-1).sort(descending=True)
    # A token stays while those before it have not yet reached top_p, so the most likely one always stays.
    kept = probabilities * (probabilities.cumsum(0) - probabilities < sampling.top_p)
    return int(ids[torch.multinomial(kept, 1, generator=generator)])


def _new_text(model: LoadedModel, row: _Row, last: bool) -> str:
    """What the newest token adds. A character that is not complete yet is held back until it is."""
    text = model.tokenizer.decode(row.new_ids, skip_special_tokens=True)
    if text.endswith("\ufffd") and not last:
        return ""
    added = text[len(row.shown) :]
    row.shown = text
    return added


def _end_ids(model: LoadedModel) -> set[int]:
    original: Any = model.bridge.original_model
    configured = original.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return {i for i in (*listed, model.tokenizer.eos_token_id) if i is not None}
