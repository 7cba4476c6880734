"""A study of known and unknown entities as plain data of its figures and tables. Pure functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.figures.known_data import FrequencyPoint, KindShares, LayerCurve, LayerPoint, NormPoint, Tone
from dashboard.analysis.entities.tables import EntityTable
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge, LabelWay
from dashboard.analysis.methods.known.statistics.latent_choice import Chosen
from dashboard.analysis.methods.known.statistics.separation import FrequencyPair, Separation
from dashboard.analysis.names import LatentId, SaeId
from dashboard.ui.parts.figures import grouped, how_many, share_bar, share_of_n, tiny
from dashboard.ui.views.known import ALL

MAX_POINTS = 4000
"""Points that are drawn; of more, those nearest to the diagonal are left out, as the caption states."""
POWER = "shows from"
"""Column of the least separation that the test split shows."""
WAYS = {LabelWay.FILE: "by the file", LabelWay.ANSWERS: "by answers", LabelWay.CHOICES: "by choices"}
_SIDES = (Knowledge.KNOWN, Knowledge.UNKNOWN)
TONES = {Knowledge.KNOWN: Tone.KNOWN, Knowledge.UNKNOWN: Tone.UNKNOWN, Knowledge.ASIDE: Tone.ASIDE}


@dataclass(frozen=True)
class Scatter:
    """Points of the scatter and what is to be said of them."""

    points: tuple[FrequencyPoint, ...]
    caption: str


def kinds_of(study: KnownUnknownStudy, split: Split | None = Split.TEST) -> tuple[str, ...]:
    """Types that have both sides in a split, in the order of the study."""
    return study.separation(split).kinds


def scatter(study: KnownUnknownStudy, kind: str, split: Split | None, sae: SaeId | None = None) -> Scatter:
    """Every latent that fires on an entity of a type (or of ALL, pooled), those of one SAE or of all."""
    found = study.separation(split)
    if kind not in (*found.kinds, ALL) or not found.kinds:
        return Scatter((), f"{kind} does not have both known and unknown entities in this split, so there is nothing to compare.")
    known, n_known, unknown, n_unknown = _counted(found, kind)
    fires = known + unknown > 0
    block = slice(None) if sae is None else study.columns.block(sae)
    mask = np.zeros(len(fires), dtype=bool)
    mask[block] = True
    ringed = {column: TONES[side] for side in _SIDES for column in best_columns_of(study, kind, side)}
    drawn = np.flatnonzero(fires & mask)
    distance = np.abs(known / n_known - unknown / n_unknown)
    near = 0
    if len(drawn) > MAX_POINTS:
        order = np.argsort(-distance[drawn], kind="stable")
        keep = {int(one) for one in drawn[order[:MAX_POINTS]]} | {column for column in ringed if fires[column] and mask[column]}
        near, drawn = len(drawn) - len(keep), np.array(sorted(keep))
    row = study.significance.kinds.index(kind) if split is Split.TEST and kind in study.significance.kinds else None
    points = tuple(
        FrequencyPoint(
            key=str(study.columns.latent(int(column))),
            known=int(known[column]),
            n_known=n_known,
            unknown=int(unknown[column]),
            n_unknown=n_unknown,
            note=_note(study, int(column), None if row is None else float(study.significance.q[row, column])),
            ring=ringed.get(int(column)),
        )
        for column in drawn
    )
    silent = int((mask & ~fires).sum())
    said = f"{grouped(len(points))} latents on {n_known} known and {n_unknown} unknown entities of {kind}, {name_of(split)}"
    said += f"; {grouped(silent)} fire on none of them" if silent else ""
    said += f"; {grouped(near)} near the diagonal are not drawn" if near else ""
    by = "smallest separation over the types" if kind == ALL else f"separation of {kind}"
    return Scatter(points, f"{said}. Rings: the best on train, by the {by}.")


def best_columns_of(study: KnownUnknownStudy, kind: str, side: Knowledge) -> list[int]:
    """The latents with the largest separation of one type on train, among those that the noise filter keeps; for ALL the chosen ones."""
    if kind == ALL:
        return [one.column for one in study.chosen(side)]
    train = study.separation(Split.TRAIN)
    if kind not in train.kinds:
        return []
    score = train.s(side)[train.kinds.index(kind)]
    kept = np.flatnonzero(study.noise.kept(study.ask.settings.most_noise) & (score > 0))
    return [int(column) for column in kept[np.argsort(-score[kept], kind="stable")][: study.ask.settings.n_chosen]]


def same_place(points: Sequence[FrequencyPoint], key: str) -> list[str]:
    """Other latents with the same counts as one, which lie on the same point."""
    own = next((point for point in points if point.key == key), None)
    if own is None:
        return []
    return [point.key for point in points if (point.known, point.unknown) == (own.known, own.unknown) and point.key != key]


def curves(study: KnownUnknownStudy, side: Knowledge, saes: Sequence[SaeId] | None = None) -> list[LayerCurve]:
    """Lines of one side: the best of each type, then the MaxMin over all. Sites and releases are named where there are several."""
    points = [point for point in study.curves if point.side is side and (saes is None or point.sae in saes)]
    places = list(dict.fromkeys((point.sae.release, point.site.point.value) for point in points))
    lines: list[LayerCurve] = []
    for kind in dict.fromkeys(point.kind for point in points):
        for release, site in places:
            own = [point for point in points if (point.kind, point.sae.release, point.site.point.value) == (kind, release, site)]
            further = [text for text, several in zip((release, site), map(_several, zip(*places, strict=True)), strict=True) if several]
            label = ", ".join([kind or "MaxMin over types", *further])
            drawn = [_layer_point(study, point) for point in sorted(own, key=lambda point: point.site.layer)]
            if drawn:
                lines.append(LayerCurve(label, tuple(drawn), kind is None))
    return lines


def curve_rows(lines: Sequence[LayerCurve]) -> list[dict[str, Any]]:
    """Every point of some curves."""
    return [
        {
            "line": line.label,
            "layer": point.layer,
            "mean": round(point.mean, 3),
            "least": round(point.low, 3),
            "most": round(point.high, 3),
            "best": point.key,
            "known": point.n_known,
            "unknown": point.n_unknown,
        }
        for line in lines
        for point in line.points
    ]


def kind_shares(study: KnownUnknownStudy, latent: LatentId, split: Split | None) -> list[KindShares]:
    """How often one latent fires on the entities of every type."""
    column = study.columns.column(latent)
    return [
        KindShares(kind, *(share_bar(study.counts.share(kind, side, column, split)) for side in (Knowledge.KNOWN, Knowledge.UNKNOWN)))
        for kind in study.counts.kinds
    ]


def norm_points(study: KnownUnknownStudy, kind: str) -> list[NormPoint]:
    """Norms at one type's names; for ALL the mean over types, each with its number of entities. Keys are the best latents of the layer."""
    points: list[NormPoint] = []
    own = [point for point in reversed(study.curves) if point.kind == (None if kind == ALL else kind)]
    best = {(point.site.layer, point.side): str(study.columns.latent(point.columns[0])) for point in own}
    for knowledge, tone in TONES.items():
        for site in dict.fromkeys(point.site for point in study.norms):
            own = [point for point in study.norms if point.site == site and point.knowledge is knowledge and kind in (ALL, point.kind)]
            n = sum(point.n for point in own)
            if n:
                mean = sum(point.mean * point.n for point in own) / n
                squares = sum((point.sd or 0.0) ** 2 * (point.n - 1) + point.n * (point.mean - mean) ** 2 for point in own)
                sd = (squares / (n - 1)) ** 0.5 if n > 1 else None
                points.append(NormPoint(site.layer, tone, mean, sd, n, best.get((site.layer, knowledge), "")))
    return points


def type_rows(study: KnownUnknownStudy) -> list[dict[str, Any]]:
    """How many entities of each type are known, what the test split can show, and the best latent of each type by train, on test."""
    rows: list[dict[str, Any]] = []
    for one in study.types:
        test = one.size(Split.TEST)
        row: dict[str, Any] = {
            "type": one.title,
            "known": one.tally.n_known,
            "unknown": one.tally.n_unknown,
            "set aside": one.tally.n_aside,
            "in test": f"{test.n_known} | {test.n_unknown}",
            POWER: "nothing" if test.smallest is None else f"{test.smallest:.2f}",
        }
        if not any(each.tally.n_aside for each in study.types):
            del row["set aside"]
        if one.n_questions:
            row["questions"] = f"{one.n_questions}, {one.n_given_away} left out" if one.n_given_away else str(one.n_questions)
        if one.chance is not None:
            row["by guessing"] = f"{one.chance.known:.0%}"
        best = best_of_kind(study, one.kind, Knowledge.KNOWN)
        row |= {"best for known": short(study, best["latent"]), "known | unknown": best["known | unknown"], "p": best["p"]}
        rows.append(row)
    return rows


def short(study: KnownUnknownStudy, name: str) -> str:
    """The name of a latent without its release, where the study has one release only."""
    releases = {sae.release for sae in study.ask.saes}
    return name.removeprefix(f"{releases.pop()}/") if len(releases) == 1 else name


def best_of_kind(study: KnownUnknownStudy, kind: str, side: Knowledge) -> dict[str, str]:
    """The first latent of a type and side by train: its shares on test, and p against the best under shuffled labels."""
    best = _best(study, kind, side)
    if best is None:
        return {"type": kind, "side": side.value, "latent": "not known", "known | unknown": "", "separation": "", "p": ""}
    return {
        "type": kind,
        "side": side.value,
        "latent": best.latent,
        "known | unknown": f"{share_of_n(best.pair.known)} | {share_of_n(best.pair.unknown)}",
        "separation": f"{best.separation:.2f}",
        "p": "not known" if best.p is None else tiny(best.p),
    }


def chosen_rows(study: KnownUnknownStudy, side: Knowledge, label: Callable[[LatentId], str]) -> list[dict[str, Any]]:
    """The best latents of one side with what speaks for and against each."""
    null = next((one for one in study.nulls if one.side is side and one.kind is None), None)
    tested = study.significance
    q = tested.q_known if side is Knowledge.KNOWN else tested.q_unknown
    rows: list[dict[str, Any]] = []
    for one in study.chosen(side):
        row: dict[str, Any] = {
            "latent": str(one.latent),
            "train": round(one.train, 2),
            "test": None if one.test is None else round(one.test, 2),
            "weakest type": one.weakest_kind or "not known",
            "p, shuffled labels": "not known" if null is None or one.test is None else tiny(null.p_of(one.test)),
            "q, Fisher": tiny(float(q[one.column])) if tested.kinds else "not known",
            "random tokens": "not known" if one.noise is None or not one.noise.n else f"{one.noise.k / one.noise.n:.1%}",
        }
        row |= {pair.kind: f"{share_of_n(pair.known)} | {share_of_n(pair.unknown)}" for pair in one.pairs}
        rows.append({**row, "about": label(one.latent)})
    return rows


def headline(study: KnownUnknownStudy, side: Knowledge) -> str:
    """One sentence on the most general latent of a side, and whether it is more than chance; empty if there is none."""
    chosen: Sequence[Chosen] = study.chosen(side)
    if not chosen or chosen[0].test is None:
        return ""
    best = chosen[0]
    null = next((one for one in study.nulls if one.side is side and one.kind is None), None)
    p = None if null is None else null.p_of(best.test or 0.0)
    verdict = "" if p is None else f", p {tiny(p)}: {'more' if p < 0.05 else 'no more'} than shuffled labels give"
    if len(best.pairs) == 1:
        said = f"Best for {side.value} entities: {best.latent}. Its separation is {best.test:.2f} on test entities ({best.weakest_kind})"
        return f"{said}{verdict}."
    return (
        f"Most general for {side.value} entities: {best.latent}. Its smallest separation over {len(best.pairs)} types is "
        f"{best.test:.2f} on test entities ({best.weakest_kind}){verdict}."
    )


def best_single(study: KnownUnknownStudy) -> str:
    """One sentence on the type and latent that shuffled labels reach least often; empty where there is one type, or no p is known."""
    found = [
        (best.p, -best.separation, one.kind, side, best)
        for one in study.types
        for side in _SIDES
        if (best := _best(study, one.kind, side)) is not None and best.p is not None
    ]
    if len(study.types) < 2 or not found:
        return ""
    p, _, kind, side, best = min(found, key=lambda row: row[:2])
    return (
        f"Of one type alone, clearest for {side.value} entities of {kind}: {best.latent} fires on {share_of_n(best.pair.known)} known and "
        f"{share_of_n(best.pair.unknown)} unknown ones, p {tiny(p)}."
    )


def baseline_rows(study: KnownUnknownStudy) -> list[dict[str, Any]]:
    """The best latent of each side among its baselines."""
    return [
        {
            "side": one.side.value,
            "latent": str(one.latent),
            "smallest separation": round(one.comparison.value, 3),
            "held against": f"{one.comparison.n} {one.baseline.value}",
            "their mean": _rounded(one.comparison.mean),
            "sd": _rounded(one.comparison.sd),
            "as large or larger": one.comparison.n_at_least,
        }
        for one in study.baselines
    ]


def added_type(found: EntityTable) -> str:
    """What was taken of the files of a type, and what was not."""
    said = f"{found.kind.title}: {how_many(len(found), 'entity', 'entities')}. Choose them under Types of entities."
    if found.left_out:
        first, n = found.left_out[0], how_many(len(found.left_out), "row", "rows")
        said += f" {n} left out, the first is row {grouped(first.row)}, {first.name[:60]}: {first.reason}."
    if found.passed_over:
        said += f" Columns that are not attributes were ignored: {', '.join(name[:40] or '(no name)' for name in found.passed_over[:8])}."
    return said


def name_of(split: Split | None) -> str:
    """A split in words."""
    return "all splits" if split is None else f"{split.value} split"


@dataclass(frozen=True)
class _Best:
    latent: str
    pair: FrequencyPair
    """On test."""
    separation: float
    p: float | None
    """Against the best latent under shuffled labels."""


def _best(study: KnownUnknownStudy, kind: str, side: Knowledge) -> _Best | None:
    """The first latent of a type and side by train; None where either split lacks a side."""
    columns, test = best_columns_of(study, kind, side), study.separation(Split.TEST)
    if not columns or kind not in test.kinds:
        return None
    pair = test.pair(kind, columns[0])
    null = next((one for one in study.nulls if one.kind == kind and one.side is side), None)
    value = (pair.separation or 0.0) * (1 if side is Knowledge.KNOWN else -1)
    return _Best(str(study.columns.latent(columns[0])), pair, value, None if null is None else null.p_of(value))


def _counted(found: Separation, kind: str) -> tuple[np.ndarray, int, np.ndarray, int]:
    if kind == ALL:
        return found.known.sum(0), int(found.n_known.sum()), found.unknown.sum(0), int(found.n_unknown.sum())
    i = found.kinds.index(kind)
    return found.known[i], int(found.n_known[i]), found.unknown[i], int(found.n_unknown[i])


def _note(study: KnownUnknownStudy, column: int, q: float | None) -> str:
    parts = [] if q is None else [f"q {tiny(q)}"]
    if study.noise.n:
        parts.append(f"random tokens {study.noise.fires[column] / study.noise.n:.1%}")
    return ", ".join(parts)


def _layer_point(study: KnownUnknownStudy, point: Any) -> LayerPoint:
    """A point of a curve; the MaxMin is its first latent alone."""
    best = str(study.columns.latent(point.columns[0]))
    shown = point.shown if point.kind is not None else point.shown[:1]
    n = (point.n_known, point.n_unknown, len(shown))
    return LayerPoint(point.site.layer, best, float(np.mean(shown)), min(shown), max(shown), *n)


def _several(values: Sequence[str]) -> bool:
    return len(set(values)) > 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
