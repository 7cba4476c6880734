"""Origins, deactivation and steering along a flow as plain data of the figures. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.data import DosePoint
from components.figures.origins_data import SHORT_ROLE, EffectBar, OriginBar, PairPoint, ScoredLatent, TestBar, thinned
from dashboard.analysis.methods.flow import deactivation as off
from dashboard.analysis.methods.flow import deactivation_effects as after
from dashboard.analysis.methods.flow import origins as method
from dashboard.analysis.methods.flow import steering as steer
from dashboard.analysis.methods.flow.coactivation import MatchedPair
from dashboard.analysis.methods.flow.samples import SHORT
from dashboard.analysis.names import Point
from dashboard.analysis.stats.estimates import Estimate
from dashboard.ui.parts.latent_rows import latent_link
from dashboard.ui.parts.naming import Named

ROLES = dict(zip(method.Origin, SHORT_ROLE, strict=True))
"""The colour of each group."""
SCORE = {Point.RESID_POST: "s_R", Point.MLP_OUT: "s_M", Point.ATTN_OUT: "s_A"}
MAX_PAIRS = 1200
"""Pairs of a source that are drawn at most, evenly taken from all of them."""


def origin_bars(shares: Sequence[method.OriginShare]) -> list[OriginBar]:
    """Shares by layer, or by kind where they have one; a bar in which nothing is active is left out."""
    bars: list[OriginBar] = []
    for one in shares:
        value, interval = one.share.value, one.share.interval
        if value is not None and interval is not None:
            role = ROLES[one.origin]
            key = f"{one.layer}|{one.kind or ''}|{role.value}"
            bars.append(OriginBar(key, one.kind or str(one.layer), role, value, *interval, one.share.k, one.share.n))
    return bars


def clicked_group(key: str | None) -> tuple[int, str | None, method.Origin] | None:
    """Layer, kind and group of a piece of a bar."""
    if key is None or key.count("|") != 2:
        return None
    layer, kind, role = key.split("|")
    return int(layer), kind or None, next(origin for origin, own in ROLES.items() if own.value == role)


def scored_latents(layer: method.Occurrences, point: Point) -> list[ScoredLatent]:
    """Each latent once in every group that it was seen in, with the cosine of its best match."""
    if point not in layer.predecessors.tables:
        return []
    found: list[ScoredLatent] = []
    scores = layer.predecessors.score(point)
    for origin, role in ROLES.items():
        number = method.ORIGINS.index(origin)
        latents = sorted({int(i) for i in layer.latent[layer.origin == number]})
        found += [ScoredLatent(f"{layer.target}/{i}", role, float(scores[i])) for i in latents]
    return found


def significance_bars(tests: Sequence[method.GroupTest]) -> list[TestBar]:
    """Shares of significant tests, sources in the paper's order."""
    found = method.significant_shares(tests)
    bars: list[TestBar] = []
    for module in SHORT:
        for sort in ("AO", "AB", "IB"):
            for source in SHORT:
                share = found.get((module, sort, source))
                if share is not None and share.n and share.interval is not None:
                    bars.append(TestBar(SHORT[module], sort, SHORT[source], share.k, share.n, *share.interval))
    return bars


def group_rows(
    found: method.Origins, layer: int, kind: str | None, origin: method.Origin, named: Named, most: int = 50
) -> list[dict[str, Any]]:
    """The latents of a group at a layer, most often first: a row each with a link to its page."""
    of_layer = next(one for one in found.layers if one.predecessors.layer == layer)
    number = method.ORIGINS.index(origin)
    counts: dict[int, int] = {}
    for sample, latent, group in zip(of_layer.sample, of_layer.latent, of_layer.origin, strict=True):
        if group == number and (kind is None or found.rows[found.row[sample]].kind == kind):
            counts[int(latent)] = counts.get(int(latent), 0) + 1
    seen = {one.latent.index: one for one in method.latents_of(of_layer)}
    rows: list[dict[str, Any]] = []
    for index, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]:
        one = seen[index]
        cosines = dict(zip(SCORE.values(), one.cosines, strict=True))
        row = {"page": latent_link(one.latent), "latent": str(one.latent), "here": n, "in all": sum(one.counts), "mostly": one.usual.value}
        rows.append(row | cosines | {"label": named(one.latent)})
    return rows


def tests_rows(tests: Sequence[method.GroupTest], key: str | None, most: int = 200) -> list[dict[str, Any]]:
    """The tests behind a bar of `significance_bars`, smallest p first; none where none is clicked."""
    if key is None or key.count(" ") != 2:
        return []
    module, sort, score = key.split(" ")
    points = {short: point for point, short in SHORT.items()}
    own = [test for test in tests if test.source is points[score] and test.sort(points[module]) == sort]
    return [
        {"layer": test.layer, "cosine": SCORE[test.source], "one group": test.first.value, "n of it": test.n_first}
        | {"the other": test.second.value, "n of that": test.n_second, "p": f"{test.p:.1e}", "AUROC": round(test.auroc, 3)}
        for test in sorted(own, key=lambda test: (test.p, test.layer))[:most]
    ]


def both_rows(found: method.Origins, key: str | None, named: Named, most: int = 50) -> list[dict[str, Any]]:
    """The latents that were seen in both groups of a clicked cell, most often first; none where none is clicked."""
    if key is None or key.count(" ") != 1:
        return []
    origins = {role.value: origin for origin, role in ROLES.items()}
    first, second = (origins[role] for role in key.split(" "))
    places = [method.ORIGINS.index(origin) for origin in (first, second)]
    both = [one for layer in found.layers for one in method.latents_of(layer) if all(one.counts[place] for place in places)]
    rows: list[dict[str, Any]] = []
    for one in sorted(both, key=lambda one: (-min(one.counts[place] for place in places), one.latent))[:most]:
        counts = {origin.value: one.counts[place] for origin, place in zip((first, second), places, strict=True)}
        row = {"page": latent_link(one.latent), "latent": str(one.latent), "label": named(one.latent)}
        rows.append(row | counts | {"in all": sum(one.counts), "mostly": one.usual.value})
    return rows


def pair_points(pairs: Sequence[MatchedPair]) -> list[PairPoint]:
    """Pairs as points, the same number of each source at most."""
    points: list[PairPoint] = []
    for source, short in SHORT.items():
        own = [one for one in pairs if one.source is source]
        points += [
            PairPoint(f"{one.latent} {one.predecessor}", short, one.cosine, one.pearson, one.n_fired) for one in thinned(own, MAX_PAIRS)
        ]
    return points


def effect_bars(effects: Sequence[after.Effect], which: str) -> list[EffectBar]:
    """Success or AC as bars, combinations of sources in the order of their number."""
    order = [*(after.changed_name(origin.sources) for origin in method.ORIGINS[1:]), after.ALL_ACTIVE]
    bars: list[EffectBar] = []
    for effect in sorted(effects, key=lambda one: order.index(one.changed)):
        key = after.effect_key(effect.method, effect.changed, effect.factor)
        if which == "success":
            value, interval = effect.success.value, effect.success.interval
        else:
            value, interval = effect.activation_change.mean, effect.activation_change.interval
        if value is not None:
            bars.append(EffectBar(key, effect.method, effect.changed, value, *(interval or (value, value)), effect.success.n))
    return bars


def effect_curves(effects: Sequence[after.Effect], which: str) -> dict[str, list[DosePoint]]:
    """success, AC or loss change against r, a line a method."""
    curves: dict[str, list[DosePoint]] = {}
    for effect in sorted(effects, key=lambda one: one.factor):
        if which == "success":
            value, interval = effect.success.value, effect.success.interval
        else:
            estimate = effect.activation_change if which == "AC" else effect.loss_change
            value, interval = (None, None) if estimate is None else (estimate.mean, estimate.interval)
        if value is not None:
            curves.setdefault(effect.method, []).append(DosePoint(effect.factor, value, *(interval or (value, value)), effect.success.n))
    return curves


def trial_rows(trials: Sequence[off.Trial], key: str | None, named: Named, most: int = 100) -> list[dict[str, Any]]:
    """The trials behind a bar; those behind all where none is clicked."""
    rows: list[dict[str, Any]] = []
    for one in (trials if key is None else after.trials_of(trials, key))[:most]:
        row = {"page": latent_link(one.target), "target": str(one.target), "label": named(one.target), "method": one.method}
        row |= {"rescaled": after.changed_name(one.changed), "r": one.factor, "before": one.z_old, "after": one.z_new}
        rows.append(row | {"AC": one.activation_change, "loss change": one.loss_change, "predecessors": ", ".join(map(str, one.latents))})
    return rows


def score_curves(points: Sequence[steer.SteeredPoint], by: str, which: str) -> dict[str, list[DosePoint]]:
    """B, C or the total against strength: the best single layer at each strength, the initial set, the flow set."""
    curves: dict[str, list[DosePoint]] = {}
    for (label, strength), point in sorted(steer.best_layers(points, by).items(), key=lambda item: item[0][1]):
        coherence = point.judged_coherence if by == "judge" and point.judged_coherence is not None else point.coherence
        estimate = {"behaviour": point.behaviour[by], "coherence": coherence}.get(which, Estimate(point.total(by), None, len(point.texts)))
        low, high = estimate.interval or (estimate.mean, estimate.mean)
        curves.setdefault(label, []).append(DosePoint(strength, estimate.mean, low, high, estimate.n))
    return curves


def dose_name(label: str, strength: float) -> str:
    """A point of the curves, for people."""
    return f"{label} at {strength:g}"


def points_behind(points: Sequence[steer.SteeredPoint], by: str, picked: str | None) -> list[steer.SteeredPoint]:
    """What the curves draw under the name of `dose_name`; everything where nothing is picked."""
    if picked is None:
        return list(points)
    return [point for (label, strength), point in steer.best_layers(points, by).items() if dose_name(label, strength) == picked]


def text_rows(points: Sequence[steer.SteeredPoint]) -> list[dict[str, Any]]:
    """Every text with its scores."""
    return [
        {"setting": point.setting.label, "layer": point.setting.layer, "strength": point.strength, "text": text.text}
        | dict(_rounded(text.behaviour))
        | {"coherence": round(text.coherence, 3), "judged coherence": text.judged_coherence, "loss": round(text.nll, 3)}
        for point in points
        for text in point.texts
    ]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
