"""The only file that registers hooks. Every hook is removed when the block is left, also on an error."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from sae_lens import SAE
from torch import nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import Site, Width

Edit = Callable[[torch.Tensor], torch.Tensor]
"""Activation [row, position, width] -> what the model goes on with, same shape."""

_levels = itertools.count(1000)
"""Every block of hooks has a level of its own, by which exactly its hooks are removed."""


def hook_name(site: Site, model: TransformerBridge | None = None) -> str:
    """TransformerLens' canonical name of a site: `15.resid_post` -> `blocks.15.hook_out`.

    Where a block of the model that is given norms what a layer puts out before it is added (Gemma 2 and 3), the normed output is what
    is added.
    """
    row = site.point.row
    norm = row.post_norm if row.matrix is None else None
    if model is not None and norm and 0 <= site.layer < len(model.blocks) and norm in model.blocks[site.layer].submodules:
        return f"blocks.{site.layer}.{norm}.hook_out"
    return row.hook.format(layer=site.layer)


def has_site(model: TransformerBridge, site: Site) -> bool:
    """False for a layer that the model lacks, and for a point that its blocks do not have."""
    return why_missing(model, site) is None


def why_missing(model: TransformerBridge, site: Site) -> str | None:
    """Why a model does not have a site, for example the middle of a block whose attention and MLP work side by side; None if it has it."""
    try:
        _point(model, site)
    except RuntimeError as error:
        return str(error)
    return None


@contextmanager
def hooked(model: TransformerBridge, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """Run every forward pass of the block with `edits`, in the order given. Never `yield` a result from inside.

    The hooks are put on TransformerLens' hook points themselves: the bridge's own `hooks` looks every name up in a
    table of 1,700 that it rebuilds each time, which costs more than a short prompt's forward pass. A site that the
    model lacks, and a hook that never fired, are errors.
    """
    fired: set[Site] = set()
    level = next(_levels)
    begun: dict[int, torch.Tensor] = {}

    def make(site: Site, edit: Edit) -> Callable[..., torch.Tensor]:
        def run(value: torch.Tensor, hook: object) -> torch.Tensor:
            fired.add(site)
            return edit(value)

        def run_flat(value: torch.Tensor, hook: object) -> torch.Tensor:
            fired.add(site)
            return edit(value.flatten(2)).view_as(value)

        def run_middle(value: torch.Tensor, hook: object) -> torch.Tensor:
            fired.add(site)
            return _rest(edit, begun[site.layer], value)

        if site.point.added:
            return run_middle
        return run_flat if site.point.row.width is Width.HEADS else run

    def begin(layer: int) -> Callable[..., None]:
        def run(value: torch.Tensor, hook: object) -> None:
            begun[layer] = value

        return run

    points = [(_point(model, site), make(site, edit)) for site, edit in edits.items()]
    points += [(_point(model, site, start=True), begin(site.layer)) for site in edits if site.point.added]
    try:
        for point, run in points:
            point.add_hook(run, level=level)
        yield
    finally:
        for point, _ in points:
            point.remove_hooks("fwd", level=level)
    if silent := [str(site) for site in edits if site not in fired]:
        raise RuntimeError(f"The hooks of {', '.join(silent)} never fired.")


def _rest(edit: Edit, begun: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """What attention must add for the stream between attention and MLP to be as edited; itself where nothing was."""
    middle = begun + added
    edited = edit(middle)
    return added if edited is middle else torch.where(edited == middle, added, edited - begun)


def _point(model: TransformerBridge, site: Site, start: bool = False) -> HookPoint:
    """The hook point of a site; of the start of its block if asked. The middle of the stream is edited where attention puts out."""
    name = f"blocks.{site.layer}.hook_in" if start else hook_name(_edited(site), model)
    try:
        point = model.get_submodule(name)
        if site.point.added and f"hook_{site.point.value}" not in model.blocks[site.layer].hook_aliases:
            raise RuntimeError(f"The blocks of this model have no {site.point.value}: attention and MLP read the same stream.")
    except AttributeError:
        point = None
    if not isinstance(point, HookPoint):
        raise RuntimeError(f"The model has no hook {name}; it has {model.cfg.n_layers} layers.")
    return point


def _edited(site: Site) -> Site:
    """Where an edit of a site is put in: at the site itself, unless it is the sum of the stream and a point's output."""
    return Site(site.layer, site.point.added) if site.point.added else site


@contextmanager
def hooked_bare(model: LoadedModel, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """The same as `hooked` for `model.bare`: torch's own forward hooks on the modules that the bridge's sites stand for."""
    begun: dict[int, torch.Tensor] = {}

    def after(site: Site, edit: Edit) -> Callable[..., Any]:
        def run(module: nn.Module, args: Any, output: Any) -> Any:
            whole = isinstance(output, tuple)
            value = output[0] if whole else output
            value = _rest(edit, begun[site.layer], value) if site.point.added else edit(value)
            return (value, *output[1:]) if whole else value

        return run

    def before(edit: Edit) -> Callable[..., Any]:
        def run(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

        return run

    def begin(layer: int) -> Edit:
        def run(value: torch.Tensor) -> torch.Tensor:
            begun[layer] = value
            return value

        return run

    with ExitStack() as placed:
        for site, edit in edits.items():
            _point(model.bridge, site)
            component, _, end = hook_name(_edited(site), model.bridge).rpartition(".")
            module = _module(model, component)
            if site.point.added:
                block = _module(model, f"blocks.{site.layer}")
                placed.callback(block.register_forward_pre_hook(before(begin(site.layer)), with_kwargs=True).remove)
            if end == "hook_in":
                placed.callback(module.register_forward_pre_hook(before(edit), with_kwargs=True).remove)
            else:
                placed.callback(module.register_forward_hook(after(site, edit)).remove)
        yield


def _module(model: LoadedModel, component: str) -> nn.Module:
    """The module of the plain model that a component of the bridge stands for."""
    return model.bare.get_submodule(model.bridge.adapter.translate_transformer_lens_path(component))


def read_sites(model: TransformerBridge, ids: torch.Tensor, sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
    """Activations [row, position, width] of `sites` for token ids [row, position] without padding.

    The forward pass goes only as deep as the deepest site.
    """
    values: dict[Site, torch.Tensor] = {}

    def keep(site: Site) -> Edit:
        def read(value: torch.Tensor) -> torch.Tensor:
            values[site] = value
            return value

        return read

    depth = max((site.layer + 1 for site in sites), default=1)
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
            weights = output[1]
            layers[layer] = weights[row.to(weights.device), :, at.to(weights.device), to.to(weights.device)].to(ids.device)

        return read

    with torch.inference_mode(), ExitStack() as placed:
        for layer in range(model.n_layers):
            module = _module(model, f"blocks.{layer}.attn")
            placed.callback(module.register_forward_hook(keep(layer)).remove)
        placed.enter_context(hooked_bare(model, edits))
        model.bare(ids, use_cache=False, logits_to_keep=1)
    return torch.stack([layers[layer] for layer in range(model.n_layers)], dim=1)


class _Enough(Exception):
    """Everything that was asked for has been read: the rest of the model need not run."""


def read_rows(model: LoadedModel, ids: torch.Tensor, at: torch.Tensor, sites: Sequence[Site]) -> dict[Site, torch.Tensor]:
    """Activations [row, width] of `sites` at the position `at` [row] of each row of `ids` [row, position], padded on the right.

    Computed by `model.bare`, which stops as soon as the deepest site is read.
    """
    values: dict[Site, torch.Tensor] = {}
    row = torch.arange(len(ids), device=ids.device)

    def keep(site: Site) -> Edit:
        def read(value: torch.Tensor) -> torch.Tensor:
            values[site] = value[row.to(value.device), at.to(value.device)]
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
