"""The only file that registers hooks. Whatever is hooked is unhooked when the block is left, also on an error."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from transformer_lens.model_bridge import TransformerBridge

from dashboard.analysis.names import Point, Site

Edit = Callable[[torch.Tensor], torch.Tensor]
"""Activation [row, position, d_model] -> what the model goes on with, same shape."""

_HOOKS = {
    Point.EMBED: "embed.hook_out",
    Point.RESID_POST: "blocks.{layer}.hook_out",
    Point.ATTN_OUT: "blocks.{layer}.attn.hook_out",
    Point.MLP_OUT: "blocks.{layer}.mlp.hook_out",
}


def hook_name(site: Site) -> str:
    """TransformerLens' canonical name of a site: `15.resid_post` -> `blocks.15.hook_out`."""
    return _HOOKS[site.point].format(layer=site.layer)


@contextmanager
def hooked(model: TransformerBridge, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """Run every forward pass of the block with `edits`, in the order given. Never `yield` a result from inside.

    The bridge ignores a misspelt hook in silence, so a site that the model lacks, and a hook that never fired, are errors here.
    """
    fired: set[Site] = set()

    def make(site: Site, edit: Edit) -> Callable[..., torch.Tensor]:
        def run(value: torch.Tensor, hook: object) -> torch.Tensor:
            fired.add(site)
            return edit(value)

        return run

    names = {site: hook_name(site) for site in edits}
    missing = [name for name in names.values() if name not in model.hook_dict]
    if missing:
        raise RuntimeError(f"The model has no hook {missing[0]}; it has {model.cfg.n_layers} layers.")
    with model.hooks(fwd_hooks=[(names[site], make(site, edit)) for site, edit in edits.items()]):
        yield
    if silent := [str(site) for site in edits if site not in fired]:
        raise RuntimeError(f"The hooks of {', '.join(silent)} never fired.")


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
        model(ids, stop_at_layer=depth, return_type=None)
    return values
