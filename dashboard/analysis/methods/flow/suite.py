"""The dictionaries that a flow runs through: one of each site of a release, and sentences on what is missing. No weights are read."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from dashboard.analysis.asks.matching import MatchAsk
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.results import FlowLayer, FlowSuite
from dashboard.analysis.names import Part, Point, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog, SaeSpec


def find_suite(catalog: Catalog, sae: SaeId) -> FlowSuite:
    """The suite that an SAE belongs to: of each site of its release the one most like it (by name, then by size).

    Raises:
        UnknownSae: if there is no such SAE.
        BadAsk: if it is of no site that a flow has, or its layer has no residual dictionary.
    """
    own = catalog.get(sae)
    if own.site.point.row.part in (Part.EMBEDDING, Part.MIDDLE):
        raise BadAsk(f"{sae} reads {own.site}; a flow runs through residual, mlp and attention dictionaries. Choose one of these.")
    specs = [spec for spec in catalog.release_of(sae) if spec.model == own.model and _fits(spec, own)]

    def at(layer: int, part: Part) -> SaeId | None:
        for point in _points(part):
            if there := [spec for spec in specs if spec.site == Site(layer, point)]:
                return min(there, key=lambda spec: _likeness(spec, own)).id
        return None

    layers: list[FlowLayer] = []
    for layer in sorted({spec.site.layer for spec in specs if spec.site.point is Point.RESID_POST}):
        resid = at(layer, Part.STREAM)
        assert resid is not None
        found = FlowLayer(layer, resid, at(layer, Part.MLP), at(layer, Part.ATTENTION), None)
        layers.append(replace(found, previous=layers[-1].resid, gap=layer - layers[-1].layer - 1) if layers else found)
    if own.site.layer not in {layer.layer for layer in layers}:
        raise BadAsk(
            f"{sae.release} has no residual dictionary at layer {own.site.layer}, so {sae} leads nowhere. "
            f"Layers that have one: {', '.join(str(layer.layer) for layer in layers) or 'none'}."
        )
    # Several may share a site; the one asked about is the one to follow.
    layers = [_with(layer, own) if layer.layer == own.site.layer else layer for layer in layers]
    layers = [replace(layer, previous=before.resid) if before else layer for before, layer in zip([None, *layers], layers, strict=False)]
    return FlowSuite(tuple(layers), tuple(_notes(layers)))


def _fits(spec: SaeSpec, own: SaeSpec) -> bool:
    return spec.d_in == own.d_in or any(one.site.point.row.matrix for one in (spec, own))


def _points(part: Part) -> tuple[Point, ...]:
    """Where a dictionary of a part of a layer may read: first what the part adds to the stream, then what goes through its matrix."""
    return tuple(sorted((point for point in Point if point.row.part is part), key=lambda point: point.row.matrix is not None))


def _likeness(spec: SaeSpec, own: SaeSpec) -> tuple[bool, bool, str]:
    """Smaller is more like it."""
    return spec.id.name != own.id.name.replace(str(own.site), str(spec.site)), spec.n_latents != own.n_latents, spec.id.name


def _with(layer: FlowLayer, own: SaeSpec) -> FlowLayer:
    match own.site.point.row.part:
        case Part.STREAM:
            return replace(layer, resid=own.id)
        case Part.MLP:
            return replace(layer, mlp=own.id)
        case _:
            return replace(layer, attn=own.id)


def _notes(layers: list[FlowLayer]) -> list[str]:
    notes: list[str] = []
    for before, layer in itertools.pairwise(layers):
        if layer.gap:
            gone = ", ".join(str(one) for one in range(before.layer + 1, layer.layer))
            notes.append(
                f"Layer{'s' if layer.gap > 1 else ''} {gone} ha{'ve' if layer.gap > 1 else 's'} no residual dictionary: "
                f"links go from layer {before.layer} to {layer.layer}, over a gap of {layer.gap}."
            )
    for point, have in ((Point.MLP_OUT, [layer.mlp for layer in layers]), (Point.ATTN_OUT, [layer.attn for layer in layers])):
        if gone := [str(layer.layer) for layer, sae in zip(layers, have, strict=True) if sae is None]:
            notes.append(f"No {point.value} dictionary at layer {', '.join(gone)}: what it adds there is not seen.")
    if layers and layers[0].layer:
        notes.append(f"The first residual dictionary is of layer {layers[0].layer}: what came before is not seen.")
    return notes


def asks_of(suite: FlowSuite, top: int = 1) -> Iterator[MatchAsk]:
    """Every table that a graph in a suite may look into: each layer's residual dictionary and those before it, both ways."""
    for layer in suite.layers:
        for before in (layer.previous, layer.mlp, layer.attn):
            if before is not None:
                yield MatchAsk(layer.resid, before, top=top)
                yield MatchAsk(before, layer.resid)
