"""Figures of a study draw what they are given: shares on equal axes, counts beside them, keys that come back from a click."""

import re

import pytest

from components.figures.answers import detector_dots, outcome_boxes, rate_bars
from components.figures.known import entity_strip, frequency_scatter, kind_bars, layer_curves, norm_curves
from components.figures.known_data import (
    DetectorScore,
    EntityBar,
    FrequencyPoint,
    KindShares,
    LayerCurve,
    LayerPoint,
    NormPoint,
    OutcomeValues,
    RateBar,
    ShareBar,
    Tone,
)
from components.palette import DARK, DASHES, KINDS, LIGHT, TONES
from tests.components.test_palette import contrast, linear

HOSTILE = '<a href="javascript:alert(1)">x</a>'
POINTS = [
    FrequencyPoint("r/a/1", 9, 10, 1, 20, "city", Tone.KNOWN),
    FrequencyPoint("r/a/2", 2, 10, 15, 20, "", Tone.UNKNOWN),
    FrequencyPoint("r/b/3", 5, 10, 10, 20),
    FrequencyPoint("r/b/4", 0, 10, 0, 20),
]


def named(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def keys(figure) -> list[str]:
    return [row[0] for trace in figure.data if trace.customdata is not None for row in trace.customdata]


def test_every_latent_is_one_point_at_its_two_shares() -> None:
    figure = frequency_scatter(POINTS)
    drawn = {row[0]: (x, y) for t in figure.data if t.customdata is not None for row, x, y in zip(t.customdata, t.x, t.y, strict=True)}
    assert drawn == {"r/a/1": (0.9, 0.05), "r/a/2": (0.2, 0.75), "r/b/3": (0.5, 0.5), "r/b/4": (0, 0)}
    assert sorted(keys(figure)) == sorted(point.key for point in POINTS)


def test_both_axes_of_the_scatter_are_equal_from_0_to_1_with_their_diagonal() -> None:
    figure = frequency_scatter(POINTS)
    assert figure.layout.xaxis.range == figure.layout.yaxis.range == (0, 1)
    assert figure.layout.yaxis.scaleanchor == "x"
    assert (tuple(figure.data[0].x), tuple(figure.data[0].y), figure.data[0].mode) == ((0, 1), (0, 1), "lines")


def test_the_best_of_each_side_are_ringed_in_its_colour_and_the_chosen_one_over_all() -> None:
    figure = frequency_scatter(POINTS, chosen="r/b/3")
    for name, tone, key in (("best for known", Tone.KNOWN, "r/a/1"), ("best for unknown", Tone.UNKNOWN, "r/a/2")):
        trace = named(figure, name)
        assert [row[0] for row in trace.customdata] == [key]
        assert (trace.marker.symbol, trace.marker.color) == ("circle-open", TONES[tone])
    assert [row[0] for row in figure.data[-1].customdata] == ["r/b/3"] and figure.data[-1].name == "chosen"
    assert "chosen" not in [trace.name for trace in frequency_scatter(POINTS, chosen="r/z/9").data]


def test_hovering_a_latent_tells_its_counts() -> None:
    row = named(frequency_scatter(POINTS), "best for known").customdata[0]
    assert row[2] == "known 9/10, unknown 1/20"


def test_curves_go_through_the_means_with_bars_from_the_least_to_the_most() -> None:
    points = (LayerPoint(3, "r/a/1", 0.5, 0.25, 0.75, 12, 9, 5), LayerPoint(9, "r/b/2", 0.75, 0.5, 0.875, 12, 9, 5))
    figure = layer_curves([LayerCurve("city", points), LayerCurve("all types", points, True)], y_title="separation", chosen="r/b/2")
    city, summary = figure.data
    assert tuple(city.x) == (3, 9) and tuple(city.y) == (0.5, 0.75)
    assert tuple(city.error_y.array) == (0.25, 0.125) and tuple(city.error_y.arrayminus) == (0.25, 0.25)
    assert summary.line.dash == "dash" and city.line.dash == "solid" and summary.error_y.array is None
    assert city.marker.size[1] > city.marker.size[0] and keys(figure) == ["r/a/1", "r/b/2"] * 2
    assert figure.layout.yaxis.title.text == "separation"


def test_no_two_of_a_dozen_curves_look_the_same() -> None:
    figure = layer_curves([LayerCurve(str(i), (LayerPoint(0, "k", 0, 0, 0, 1, 1, 1),)) for i in range(12)], y_title="s")
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 12 <= len(KINDS) * len(DASHES)


def test_bars_of_a_type_say_their_counts_and_what_is_not_known() -> None:
    city = KindShares("city", ShareBar(12, 15, 0.5, 0.9), ShareBar(1, 20, 0.0, 0.2))
    shares = [city, KindShares("song", ShareBar(0, 0, 0, 1), ShareBar(2, 4, 0.1, 0.9))]
    figure = kind_bars(shares)
    known, unknown = figure.data
    assert tuple(known.y) == (0.8, None) and tuple(unknown.y) == (0.05, 0.5)
    assert figure.layout.xaxis.ticktext == ("city<br>12/15<br>1/20", "song<br>not known<br>2/4")
    assert [row[3] for row in known.customdata] == ["12/15", "not known"]
    assert known.error_y.array == pytest.approx((0.1, 0)) and known.error_y.arrayminus == pytest.approx((0.3, 0))
    assert (known.marker.color, unknown.marker.color) == (TONES["known"], TONES["unknown"])


def test_the_strip_has_every_entity_once_the_strongest_first_and_silent_ones_on_the_axis() -> None:
    bars = [
        EntityBar("city/Paris", "Paris", "city", Tone.KNOWN, 2.0),
        EntityBar("city/Xyl", "Xyl", "city", Tone.UNKNOWN, 3.0),
        EntityBar("city/Oslo", "Oslo", "city", Tone.KNOWN, 0.0),
        EntityBar("city/Zab", "Zab", "city", Tone.ASIDE, 0.0),
    ]
    figure = entity_strip(bars)
    places = {row[0]: (x, y) for t in figure.data for row, x, y in zip(t.customdata, t.x, t.y, strict=True)}
    assert places == {"city/Xyl": (1, 3.0), "city/Paris": (2, 2.0), "city/Oslo": (3, 0.0), "city/Zab": (4, 0.0)}
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "known, 1 of 2 fire",
        "unknown, 1 of 1 fire",
        "set aside, 0 of 1 fire",
    ]


def test_no_bar_of_the_strip_covers_its_neighbour_of_another_label() -> None:
    bars = [EntityBar(str(i), str(i), "city", Tone.UNKNOWN if i % 7 == 3 else Tone.KNOWN, 9.0 - i) for i in range(9)]
    assert {trace.width for trace in entity_strip(bars).data if trace.type == "bar"} == {0.95}


def test_norms_are_drawn_by_label_and_a_single_entity_has_no_spread() -> None:
    figure = norm_curves([NormPoint(0, Tone.KNOWN, 4.0, 1.5, 8), NormPoint(0, Tone.UNKNOWN, 5.0, None, 1)])
    known, unknown = figure.data
    assert (known.y[0], known.error_y.array[0], unknown.error_y.array[0]) == (4.0, 1.5, 0.0)
    assert list(unknown.customdata[0]) == ["", 1, "not known", ""]


def test_rates_are_grouped_by_condition_and_a_missing_one_says_so() -> None:
    bars = [
        RateBar("city", "plain", Tone.PLAIN, 0.25, 0.1, 0.5, "10 of 40"),
        RateBar("song", "plain", Tone.PLAIN, None, None, None, "0 of 0"),
        RateBar("city", "10 random", Tone.RANDOM, 0.5, 0.25, 0.75, "mean of 10"),
    ]
    plain, random = rate_bars(bars, y_title="refused").data
    assert tuple(plain.x) == ("city", "song") and tuple(plain.y) == (0.25, None) and tuple(plain.text) == ("", "not known")
    assert tuple(plain.error_y.array) == (0.25, 0.0) and random.error_y.arrayminus[0] == 0.25
    assert random.marker.pattern.shape and not plain.marker.pattern.shape
    assert list(plain.customdata[0]) == ["city", "plain", "10 of 40", "[10%, 50%]"]


def test_every_answer_is_a_dot_beside_the_threshold_of_its_type() -> None:
    city = [OutcomeValues("city", Tone.RIGHT, (0.0, 1.0)), OutcomeValues("city", Tone.WRONG, (3.0,))]
    outcomes = [*city, OutcomeValues("song", Tone.WRONG, (2.0,))]
    figure = outcome_boxes(outcomes, thresholds={"song": 1.5, "gone": 9.0}, y_title="activation")
    right, wrong = figure.data
    assert tuple(right.y) == (0.0, 1.0) and tuple(wrong.x) == ("city", "song") and tuple(wrong.y) == (3.0, 2.0)
    assert [(shape.y0, shape.y1, round(shape.x0 + 0.45)) for shape in figure.layout.shapes] == [(1.5, 1.5, 1)]


def test_detectors_stand_by_their_auroc_and_only_latents_can_be_opened() -> None:
    latents = [DetectorScore("r/a/1", "r/a/1", 0.7, 20, 20), DetectorScore("r/a/2", "r/a/2", 0.4, 20, 20)]
    scores = [*latents, DetectorScore("all of the residual", "", 0.9, 20, 20)]
    trace = detector_dots(scores).data[0]
    assert tuple(trace.x) == (0.4, 0.7, 0.9) and [row[0] for row in trace.customdata] == ["r/a/2", "r/a/1", ""]
    assert trace.textposition == "middle right", "to the left of 0 the number would stand on the name"


def test_the_tools_of_a_figure_stand_upright_in_its_margin_and_not_on_its_legend() -> None:
    figures = [norm_curves([]), kind_bars([]), entity_strip([]), rate_bars([], y_title=""), detector_dots([])]
    assert all(one.layout.modebar.orientation == "v" and one.layout.margin.r >= 30 for one in figures)


def test_names_out_of_a_file_are_drawn_as_text() -> None:
    share = ShareBar(1, 2, 0, 1)
    figures = [
        frequency_scatter([FrequencyPoint("k", 1, 2, 1, 2, HOSTILE)]),
        kind_bars([KindShares(HOSTILE, share, share)]),
        entity_strip([EntityBar("k", HOSTILE, HOSTILE, Tone.KNOWN, 1.0)]),
        layer_curves([LayerCurve(HOSTILE, (LayerPoint(0, "k", 0, 0, 0, 1, 1, 1),))], y_title="s"),
        rate_bars([RateBar("g", HOSTILE, Tone.PLAIN, 0.5, 0, 1, HOSTILE)], y_title="s"),
        outcome_boxes([OutcomeValues(HOSTILE, Tone.RIGHT, (1.0,))], thresholds={HOSTILE: 1.0}, y_title="s"),
        detector_dots([DetectorScore(HOSTILE, "", 0.5, 1, 1, HOSTILE)]),
    ]
    for figure in figures:
        for trace in figure.data:
            shown = [*(trace.x if any(isinstance(x, str) for x in trace.x) else ()), trace.name or ""]
            # A key comes back and is not drawn: only what the hover asks for is.
            asked = {int(place) for place in re.findall(r"customdata\[(\d+)\]", trace.hovertemplate or "")}
            rows = trace.customdata if trace.customdata is not None else ()
            shown += [str(row[place]) for row in rows for place in asked]
            assert not any("<a" in text for text in shown), shown


def test_every_tone_and_type_stands_out_from_both_papers() -> None:
    for colour in (*TONES.values(), *KINDS):
        assert min(contrast(linear(colour), linear(paper["paper"])) for paper in (LIGHT, DARK)) >= 3, colour
    assert set(TONES) == {*Tone}
