"""Prompts that the model has read together: what decoding goes on from, row by row, with rows coming and going.

Rows are padded on the left and masked, so a row's numbers do not depend on its neighbours beyond float rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.generation import PlacedEdit, key_values, site_edits
from dashboard.analysis.model.hooks import hooked_bare
from dashboard.analysis.model.marking import MarkedIds, PartPlacedEdit


@dataclass(eq=False)
class Prefixes:
    """Keys and values of several rows, each as long as the longest."""

    cache: DynamicCache
    pads: torch.Tensor
    """Places before each row's first token [row]."""
    length: int
    """Places of the cache."""

    @property
    def mask(self) -> torch.Tensor:
        """1 for each place [row, place] of a token."""
        return (torch.arange(self.length, device=self.pads.device) >= self.pads[:, None]).long()

    def take(self, rows: Sequence[int]) -> "Prefixes":
        """These rows in this order; a row may be taken more than once. Places that all leave empty are dropped."""
        chosen = torch.tensor(rows, dtype=torch.long, device=self.pads.device)
        pads = self.pads[chosen]
        empty = int(pads.min()) if len(rows) else 0
        layers = [(keys[chosen, :, empty:], values[chosen, :, empty:]) for keys, values in key_values(self.cache)]
        return Prefixes(_cache(layers), pads - empty, self.length - empty)

    def beside(self, other: "Prefixes") -> "Prefixes":
        """These rows and then the other's."""
        length = max(self.length, other.length)

        def both(part: int, layer: int) -> torch.Tensor:
            parts = [key_values(prefixes.cache)[layer][part] for prefixes in (self, other)]
            return torch.cat([torch.nn.functional.pad(value, (0, 0, length - value.shape[2], 0)) for value in parts])

        layers = [(both(0, layer), both(1, layer)) for layer in range(len(key_values(self.cache)))]
        pads = torch.cat([self.pads + length - self.length, other.pads + length - other.length])
        return Prefixes(_cache(layers), pads, length)


def read_prompts(
    model: LoadedModel, prompts: Sequence[MarkedIds], edits: Sequence[Sequence[PlacedEdit]], keep: bool = True
) -> tuple[Prefixes, torch.Tensor]:
    """Read prompts in one pass, each with its own edits: the rows, and the logits [row, vocabulary] after each prompt."""
    longest = max(map(len, prompts))
    pads = torch.tensor([longest - len(prompt) for prompt in prompts], device=model.device)
    ids = model.batch(*((0,) * (longest - len(prompt)) + prompt.ids for prompt in prompts))
    prefixes = Prefixes(DynamicCache(), pads, longest)
    positions = torch.arange(longest, device=model.device) - pads[:, None]
    padding = {} if not pads.any() else {"attention_mask": prefixes.mask, "position_ids": positions.clamp(min=0)}
    cached = {"past_key_values": prefixes.cache, "use_cache": True} if keep else {"use_cache": False}
    hooks = site_edits(edits, list(positions), [len(prompt) for prompt in prompts]) if any(edits) else {}
    with torch.inference_mode(), hooked_bare(model, hooks):
        logits = model.bare(ids, **padding, **cached, logits_to_keep=1).logits[:, -1]
    return prefixes, logits.float()


def read_on(
    model: LoadedModel,
    prefixes: Prefixes,
    ids: torch.Tensor,
    positions: torch.Tensor,
    edits: Sequence[Sequence[PlacedEdit]],
    n_prompts: Sequence[int],
) -> torch.Tensor:
    """Read some more ids [row, position] after each row; the rows grow. The logits [row, position, vocabulary] after each."""
    hooks = site_edits(edits, list(positions), n_prompts) if any(edits) else {}
    mask = torch.cat([prefixes.mask, torch.ones_like(ids)], dim=1)
    with torch.inference_mode(), hooked_bare(model, hooks):
        output = model.bare(ids, attention_mask=mask, position_ids=positions, past_key_values=prefixes.cache, use_cache=True)
    prefixes.length += ids.shape[1]
    return output.logits.float()


def edits_on(edits: Sequence[PartPlacedEdit], prompts: Sequence[MarkedIds]) -> list[list[PlacedEdit]]:
    """The edits of each prompt."""
    return [[edit.on(prompt) for edit in edits] for prompt in prompts]


def _cache(layers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> DynamicCache:
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        # An update copies what it is given, so it is given nothing and the layer gets the tensors themselves.
        cache.update(keys[:, :, :0], values[:, :, :0], number)
        layer: Any = cache.layers[number]
        layer.keys, layer.values = keys, values
    return cache
