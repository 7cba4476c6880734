"""What is shown of a study is what was counted: every figure and table against the activations themselves."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from components.figures.known_data import Tone
from dashboard.analysis.methods.known.statistics.entity_counts import Split
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId
from dashboard.ui.known import present as present_known
from dashboard.ui.known import present_entities
from dashboard.ui.known.report import report
from dashboard.ui.parts import figures
from dashboard.ui.views.known import ALL
from tests.app_pages.study_making import FOR_KNOWN, FOR_UNKNOWN, HOSTILE, N_LATENTS, SAES, activations, made_study
from tests.components.test_components import Read


@pytest.fixture(scope="module")
def made():
    return made_study()


def share_of(study, values, latent: LatentId, kind: str, side: Knowledge, split: Split | None) -> tuple[int, int]:
    rows = [
        i for i, one in enumerate(study.roster.members) if one.kind == kind and one.knowledge is side and split in (None, one.split)
    ]  # fmt: skip
    return int((values[rows, study.columns.column(latent)] > 0).sum()), len(rows)


@pytest.mark.parametrize("split", [Split.TEST, Split.TRAIN, None])
def test_every_point_of_the_scatter_has_the_counts_of_its_latent(made, split) -> None:
    study, values = made
    points = present_known.scatter(study, "city", split).points
    assert len(points) > 50
    for point in points:
        latent = LatentId.parse(point.key)
        assert (point.known, point.n_known) == share_of(study, values, latent, "city", Knowledge.KNOWN, split)
        assert (point.unknown, point.n_unknown) == share_of(study, values, latent, "city", Knowledge.UNKNOWN, split)


def test_latents_that_fire_on_nothing_are_counted_and_not_drawn(made) -> None:
    study, _ = made
    found = present_known.scatter(study, "city", Split.TEST)
    silent = 2 * N_LATENTS - len(found.points)
    assert silent >= 4 and f"; {silent} fire on none of them" in found.caption
    assert all(point.known + point.unknown > 0 for point in found.points)


def test_of_too_many_points_those_far_from_the_diagonal_and_the_ringed_stay(made, monkeypatch: pytest.MonkeyPatch) -> None:
    study, _ = made
    whole = present_known.scatter(study, "city", Split.TEST).points
    monkeypatch.setattr(present_known, "MAX_POINTS", 10)
    found = present_known.scatter(study, "city", Split.TEST)
    kept = {point.key for point in found.points}
    distance = {point.key: abs(point.known / point.n_known - point.unknown / point.n_unknown) for point in whole}
    assert {point.key for point in whole if point.ring} <= kept
    assert set(sorted(distance, key=lambda key: -distance[key])[:5]) <= kept
    assert f"{len(whole) - len(kept)} near the diagonal are not drawn" in found.caption


def test_planted_latents_are_ringed_in_their_sides_colour(made) -> None:
    study, _ = made
    rings = {point.key: point.ring for point in present_known.scatter(study, ALL, Split.TEST).points}
    assert (rings[str(FOR_KNOWN)], rings[str(FOR_UNKNOWN)]) == (Tone.KNOWN, Tone.UNKNOWN)


def test_one_sae_leaves_the_others_out(made) -> None:
    study, _ = made
    points = present_known.scatter(study, "song", Split.TEST, SAES[0]).points
    assert points and {LatentId.parse(point.key).sae for point in points} == {SAES[0]}


def test_a_type_without_both_sides_says_so(made) -> None:
    study, _ = made
    found = present_known.scatter(study, "player", Split.TEST)
    assert not found.points and "does not have both" in found.caption


def test_latents_on_the_same_point_are_named(made) -> None:
    study, _ = made
    points = present_known.scatter(study, "city", Split.TEST).points
    for point in points[:40]:
        others = present_known.same_place(points, point.key)
        assert point.key not in others
        assert set(others) == {o.key for o in points if (o.known, o.unknown) == (point.known, point.unknown)} - {point.key}


def test_a_curve_has_a_line_for_each_type_and_one_over_all_that_is_the_maxmin(made) -> None:
    study, _ = made
    lines = present_known.curves(study, Knowledge.KNOWN)
    assert [(line.label, line.is_summary) for line in lines] == [("city", False), ("song", False), ("MaxMin over types", True)]
    summary = lines[-1]
    best = next(point for point in summary.points if point.layer == 2)
    assert best.key == str(FOR_KNOWN) and best.mean == best.low == best.high
    train, test = study.separation(Split.TRAIN).weakest(Knowledge.KNOWN), study.separation(Split.TEST).weakest(Knowledge.KNOWN)
    block = study.columns.block(SAES[1])
    assert best.mean == pytest.approx(test[block][int(np.argmax(train[block]))])
    assert [point.n_latents for point in lines[0].points] == [5, 5] and summary.points[0].n_latents == 1


def test_bars_and_strip_of_a_latent_are_its_activations(made) -> None:
    study, values = made
    city = next(bar for bar in present_known.kind_shares(study, FOR_KNOWN, Split.TEST) if bar.kind == "city")
    assert (city.known.k, city.known.n) == share_of(study, values, FOR_KNOWN, "city", Knowledge.KNOWN, Split.TEST)
    assert city.unknown.k == 0 and city.unknown.low == 0 < city.unknown.high
    found = activations(study, values, FOR_KNOWN)
    bars = present_entities.entity_bars(study, found, "song")
    assert len(bars) == 60 and {bar.kind for bar in bars} == {"song"}
    assert [bar.value for bar in bars] == pytest.approx(values[60:, study.columns.column(FOR_KNOWN)])
    top = present_entities.strongest(study, found, "song", 4)
    assert [value for _, value in top] == sorted((bar.value for bar in bars), reverse=True)[:4]


def test_the_best_table_says_train_test_and_both_shares(made) -> None:
    study, values = made
    row = present_known.chosen_rows(study, Knowledge.KNOWN, lambda latent: "planted")[0]
    assert (row["latent"], row["about"], row["random tokens"]) == (str(FOR_KNOWN), "planted", "0.2%")
    k, n = share_of(study, values, FOR_KNOWN, "city", Knowledge.KNOWN, Split.TEST)
    unknown = share_of(study, values, FOR_KNOWN, "city", Knowledge.UNKNOWN, Split.TEST)[1]
    assert row["city"] == f"{100 * k / n:.0f} % of {n} | 0 % of {unknown}"
    assert float(row["p, shuffled labels"]) == pytest.approx(1 / 51, abs=0.005) and float(row["q, Fisher"]) < 0.05


def test_types_say_how_many_are_known_and_what_can_be_seen(made) -> None:
    study, values = made
    rows = present_known.type_rows(study)
    assert [row["known"] + row["unknown"] + row["set aside"] for row in rows] == [60, 60]
    assert 0 < float(rows[0]["shows from"]) < 1
    assert rows[1]["best for known"] == "2.resid_post/3" == str(FOR_KNOWN).removeprefix("tiny/")
    k, n = share_of(study, values, FOR_KNOWN, "song", Knowledge.KNOWN, Split.TEST)
    assert rows[1]["known | unknown"].startswith(f"{100 * k / n:.0f} % of {n} | 0 % of ") and float(rows[1]["p"]) < 0.05
    other = present_known.best_of_kind(study, "song", Knowledge.UNKNOWN)
    assert other["latent"] == str(FOR_UNKNOWN) and float(other["separation"]) > 0.7 and float(other["p"]) < 0.05


def test_the_headline_says_whether_shuffled_labels_give_as_much(made) -> None:
    study, _ = made
    assert "more than shuffled labels give" in present_known.headline(study, Knowledge.KNOWN)
    chance = replace(study, nulls=tuple(replace(one, null=np.ones(50)) for one in study.nulls))
    assert "no more than shuffled labels give" in present_known.headline(chance, Knowledge.KNOWN)


def test_the_clearest_type_alone_is_the_one_that_shuffled_labels_reach_least_often(made) -> None:
    study, values = made
    side, kind = Knowledge.UNKNOWN, "song"
    nulls = [replace(one, null=np.ones(50)) if (one.side, one.kind) != (side, kind) else one for one in study.nulls]
    said = present_known.best_single(replace(study, nulls=tuple(nulls)))
    k, n = share_of(study, values, FOR_UNKNOWN, kind, Knowledge.UNKNOWN, Split.TEST)
    assert (
        f"for unknown entities of song: {FOR_UNKNOWN} fires on 0 % of" in said
        and f"{100 * k / n:.0f} % of {n} unknown ones, p 0.02" in said
    )


def test_of_one_type_no_smallest_is_spoken_of() -> None:
    study, _ = made_study(kinds=("city",))
    said = present_known.headline(study, Knowledge.KNOWN)
    assert said.startswith(f"Best for known entities: {FOR_KNOWN}. Its separation is ") and "smallest" not in said
    assert present_known.best_single(study) == ""


def test_a_point_of_the_norms_leads_to_the_best_latent_of_its_layer(made) -> None:
    study, _ = made
    keys = {(point.layer, point.tone): point.key for point in present_known.norm_points(study, "city")}
    best = {(one.site.layer, one.side): str(study.columns.latent(one.columns[0])) for one in study.curves if one.kind == "city"}
    assert keys[1, Tone.KNOWN] == best[1, Knowledge.KNOWN] and keys[1, Tone.UNKNOWN] == best[1, Knowledge.UNKNOWN]
    assert keys[0, Tone.KNOWN] == keys[1, Tone.ASIDE] == ""


def test_rings_of_a_type_are_its_own_best_and_never_a_noisy_latent(made) -> None:
    study, _ = made
    train = study.separation(Split.TRAIN)
    score = train.s(Knowledge.UNKNOWN)[train.kinds.index("song")]
    assert present_known.best_columns_of(study, "song", Knowledge.UNKNOWN)[:3] == [int(i) for i in np.argsort(-score, kind="stable")[:3]]
    fires = study.noise.fires.copy()
    fires[study.columns.column(FOR_UNKNOWN)] = 100
    noisy = replace(study, noise=replace(study.noise, fires=fires))
    assert study.columns.column(FOR_UNKNOWN) not in present_known.best_columns_of(noisy, "song", Knowledge.UNKNOWN)


def test_norms_over_all_types_are_those_of_all_entities_together(made) -> None:
    study, _ = made
    one, both = present_known.norm_points(study, "city"), present_known.norm_points(study, ALL)
    assert [(point.mean, point.n) for point in both] == [(point.mean, 2 * point.n) for point in one]
    # Two groups of 10 with one mean and sd 0.5: (9 + 9) * 0.25 over 19.
    assert both[0].sd == pytest.approx((18 * 0.25 / 19) ** 0.5)


def test_small_probabilities_and_shares_are_written_the_one_way() -> None:
    assert [present_known.tiny(p) for p in (0.25, 0.01, 2e-7, 0.004)] == ["0.25", "0.01", "2e-7", "4e-3"]
    assert figures.grouped(12345) == "12\u2009345"


def test_the_report_draws_every_figure_loads_nothing_and_keeps_hostile_names_as_text(made) -> None:
    study, values = made
    written = report(study, lambda latent: activations(study, values, latent))
    page = Read(written)
    inert, plotly, mount = page.of("script")
    figures = json.loads(inert)
    # Two types, two panels of layers, bars and strip of the best of each side, norms.
    assert len(figures) == 9 and len(re.findall(r'<div class="figure" id="figure\d+">', written)) == 9
    assert all(any(len(trace.get("x", ())) for trace in figure["data"]) for figure in figures.values())
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (plotly, mount)]
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["script-src"] == " ".join(hashes) and rules["img-src"] == "data: blob:"
    assert not {"src", "href", "action", "onerror"} & {name for _, have in page.elements for name in have}
    assert not [tag for tag, _ in page.elements if tag in ("img", "link", "iframe")]
    assert "<" not in inert and HOSTILE.split("|")[0] not in written
    assert study.record.created in written and "Labels are what the file says." in written
