"""The only file that registers hooks. Whatever is hooked is unhooked when the block is left, also on an error."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from sae_lens import SAE
from torch import nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import Point, Site

Edit = Callable[[torch.Tensor], torch.Tensor]
"""Activation [row, position, d_model] -> what the model goes on with, same shape."""

_HOOKS = {
    Point.EMBED: "embed.hook_out",
    Point.RESID_POST: "blocks.{layer}.hook_out",
    Point.ATTN_OUT: "blocks.{layer}.attn.hook_out",
    Point.MLP_OUT: "blocks.{layer}.mlp.hook_out",
}

_levels = itertools.count(1000)
"""Every block of hooks has a level of its own, by which exactly its hooks are taken away again."""


def hook_name(site: Site) -> str:
    """TransformerLens' canonical name of a site: `15.resid_post` -> `blocks.15.hook_out`."""
    if site.point not in _HOOKS:
        raise BadAsk(f"{site} is not read from a text: choose {', '.join(point.value for point in _HOOKS)}.")
    return _HOOKS[site.point].format(layer=site.layer)


@contextmanager
def hooked(model: TransformerBridge, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """Run every forward pass of the block with `edits`, in the order given. Never `yield` a result from inside.

    The hooks are put on TransformerLens' hook points themselves: the bridge's own `hooks` looks every name up in a
    table of 1,700 that it makes anew each time, which costs more than a short prompt's forward pass. A site that the
    model lacks, and a hook that never fired, are errors.
    """
    fired: set[Site] = set()
    level = next(_levels)

    def make(site: Site, edit: Edit) -> Callable[..., torch.Tensor]:
        def run(value: torch.Tensor, hook: object) -> torch.Tensor:
            fired.add(site)
            return edit(value)

        return run

    points = {site: _point(model, site) for site in edits}
    try:
        for site, edit in edits.items():
            points[site].add_hook(make(site, edit), level=level)
        yield
    finally:
        for point in points.values():
            point.remove_hooks("fwd", level=level)
    if silent := [str(site) for site in edits if site not in fired]:
        raise RuntimeError(f"The hooks of {', '.join(silent)} never fired.")


def _point(model: TransformerBridge, site: Site) -> HookPoint:
    try:
        point = model.get_submodule(hook_name(site))
    except AttributeError:
        point = None
    if not isinstance(point, HookPoint):
        raise RuntimeError(f"The model has no hook {hook_name(site)}; it has {model.cfg.n_layers} layers.")
    return point


@contextmanager
def hooked_bare(model: LoadedModel, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """The same as `hooked` for `model.bare`: torch's own forward hooks on the modules that the bridge's sites stand for."""

    def make(edit: Edit) -> Callable[..., Any]:
        def run(module: nn.Module, args: Any, output: Any) -> Any:
            return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

        return run

    with ExitStack() as placed:
        for site, edit in edits.items():
            placed.callback(_bare_module(model, site).register_forward_hook(make(edit)).remove)
        yield


def _bare_module(model: LoadedModel, site: Site) -> nn.Module:
    component, _, _ = hook_name(site).rpartition(".")
    _point(model.bridge, site)
    return model.bare.get_submodule(model.bridge.adapter.translate_transformer_lens_path(component))


def read_sites(model: TransformerBridge, ids: torch.Tensor, sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
    """Activations [row, position, d_model] of `sites` for token ids [row, position] without padding.

    The forward pass goes only as deep as the deepest site.
    """
    values: dict[Site, torch.Tensor] = {}

    def keep(site: Site) -> Edit:
        def read(value: torch.Tensor) -> torch.Tensor:
            values[site] = value
            return value

        return read

    depth = max((site.layer + 1 for site in sites if site.point is not Point.EMBED), default=1)
    with torch.inference_mode(), hooked(model, {site: keep(site) for site in sites}):
        model(ids, stop_at_layer=depth, return_type=None, use_cache=False)
    return values


def read_attention_weights(
    model: LoadedModel, ids: torch.Tensor, at: torch.Tensor, to: torch.Tensor, edits: Mapping[Site, Edit]
) -> torch.Tensor:
    """Attention weights [row, layer, head] from the position `at` [row] to `to` [row] of each row of `ids` [row, position].

    transformers' own way of giving attentions leaves hooks in the model for good; these are taken away again.
    """
    layers: dict[int, torch.Tensor] = {}
    row = torch.arange(len(ids), device=ids.device)

    def keep(layer: int) -> Callable[..., None]:
        def read(module: nn.Module, args: Any, output: Any) -> None:
            layers[layer] = output[1][row, :, at, to]

        return read

    with torch.inference_mode(), ExitStack() as placed:
        for layer in range(model.n_layers):
            module = _bare_module(model, Site(layer, Point.ATTN_OUT))
            placed.callback(module.register_forward_hook(keep(layer)).remove)
        placed.enter_context(hooked_bare(model, edits))
        model.bare(ids, use_cache=False, logits_to_keep=1)
    return torch.stack([layers[layer] for layer in range(model.n_layers)], dim=1)


class _Enough(Exception):
    """Everything that was asked for has been read: the rest of the model need not run."""


def read_rows(model: LoadedModel, ids: torch.Tensor, at: torch.Tensor, sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
    """Activations [row, d_model] of `sites` at the position `at` [row] of each row of `ids` [row, position], padded on the right.

    Computed by `model.bare`, which stops as soon as the deepest site is read.
    """
    values: dict[Site, torch.Tensor] = {}
    row = torch.arange(len(ids), device=ids.device)

    def keep(site: Site) -> Edit:
        def read(value: torch.Tensor) -> torch.Tensor:
            values[site] = value[row, at]
            if len(values) == len(places):
                raise _Enough
            return value

        return read

    places = {site: keep(site) for site in sites}
    with torch.inference_mode(), suppress(_Enough), hooked_bare(model, places):
        model.bare(ids, use_cache=False, logits_to_keep=1)
    return values


def encode_both(sae: SAE, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Activations [row, latent] of an SAE, and what stood before its activation function (None where an architecture has no such point)."""
    before: list[torch.Tensor] = []

    def read(value: torch.Tensor, hook: object) -> None:
        before.append(value)

    with torch.inference_mode(), sae.hooks(fwd_hooks=[("hook_sae_acts_pre", read)]):
        acts = sae.encode(rows)
    return acts, before[0] if before else None
