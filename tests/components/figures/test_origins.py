"""Laws of the figures of the flow on text: what is drawn, in which colour, and what a click gives back."""

import itertools

import pytest

from components.data import DosePoint, GraphRole
from components.figures.dose import dose_curves
from components.figures.origins import MAX_POINTS, cosine_scatter, effect_bars, group_matrix, origin_bars, score_boxes, significance_bars
from components.figures.origins_data import SHORT_ROLE, EffectBar, OriginBar, PairPoint, ScoredLatent, TestBar
from components.palette import ORIGINS

ROLES = list(SHORT_ROLE)


def test_a_bar_of_origins_has_all_eight_groups_in_order_and_its_key_behind_each_piece() -> None:
    bars = [OriginBar(f"{layer} {role}", str(layer), role, 0.125, 0.1, 0.2, 5, 40) for layer in (18, 9) for role in ROLES]
    figure = origin_bars(bars, x_title="layer")
    assert [trace.name for trace in figure.data] == list(SHORT_ROLE.values()) and figure.layout.barmode == "stack"
    for trace, role in zip(figure.data, ROLES, strict=True):
        assert list(trace.x) == ["18", "9"] and [row[0] for row in trace.customdata] == [f"18 {role}", f"9 {role}"]
        assert trace.marker.color == ORIGINS[role.value][0]
    assert list(figure.layout.xaxis.categoryarray) == ["18", "9"] and tuple(figure.layout.yaxis.range) == (0, 1)
    assert origin_bars(bars, x_title="layer", dark=True).data[0].marker.color == ORIGINS["nowhere"][1]


def test_boxes_hold_every_latent_with_its_name_and_say_how_many() -> None:
    points = [ScoredLatent(f"r/{i}", role, i / 10) for i, role in enumerate(ROLES[:4] * 2)]
    figure = score_boxes(points, y_title="s_R")
    boxes, drawn = figure.data[:8], figure.data[8:]
    assert (
        boxes[1].name == "RES<br>n 2" and boxes[7].name == "all three<br>n 0" and [one.name for one in boxes] == [one.name for one in drawn]
    )
    assert [row[0] for row in drawn[2].customdata] == ["r/2", "r/6"] and list(drawn[2].y) == list(boxes[2].y) == [0.2, 0.6]


def test_a_box_is_of_all_latents_of_a_group_also_where_not_all_are_drawn_over_it() -> None:
    figure = score_boxes([ScoredLatent(f"r/{i}", ROLES[1], i / 1000) for i in range(1000)], y_title="s_R")
    assert len(figure.data[1].y) == 1000 and figure.data[1].name == "RES<br>n 1,000"
    assert list(figure.data[9].y) == [i / 1000 for i in range(0, 1000, 1000 // MAX_POINTS)]


def test_each_module_has_a_panel_with_a_colour_for_what_it_does_in_the_pair() -> None:
    bars = [TestBar(m, s, score, 3, 4, 0.3, 0.95) for m, s, score in itertools.product(("RES", "MLP"), ("AO", "IB"), ("RES", "MLP", "ATT"))]
    figure = significance_bars(bars)
    assert len(figure.data) == 6 and [a.text for a in figure.layout.annotations] == ["RES is ...", "MLP is ..."]
    assert list(figure.data[0].x) == ["s_R", "s_M", "s_A"] and list(figure.data[0].y) == [0.75] * 3
    assert figure.data[0].error_y.array[0] == pytest.approx(0.2) and figure.data[0].error_y.arrayminus[0] == pytest.approx(0.45)


def test_the_matrix_divides_by_the_diagonal_and_every_cell_that_has_a_number_can_be_clicked() -> None:
    counts = [[4 if i == j else 1 for j in range(8)] for i in range(8)]
    counts[3] = [0] * 8
    heat, cells = group_matrix(counts).data
    assert heat.z[0][0] == 1 and heat.z[0][1] == 0.25 and heat.z[3][3] is None and heat.zmax == 1
    assert len(cells.x) == 56 and cells.customdata[1][0] == "nowhere res" and cells.marker.opacity == 0
    assert not any(y == SHORT_ROLE[ROLES[3]] for y in cells.y)


def test_the_scatter_has_a_colour_a_source_and_both_names_behind_a_point() -> None:
    points = [PairPoint("a/1 b/2", "RES", 0.5, 0.25, 7), PairPoint("a/1 c/3", "ATT", -0.1, 0.0, 7)]
    figure = cosine_scatter(points)
    assert [trace.name for trace in figure.data] == ["RES, n 1", "ATT, n 1"]
    assert figure.data[0].marker.color == ORIGINS[GraphRole.RES.value][0] and figure.data[1].customdata[0][0] == "a/1 c/3"
    assert (figure.data[0].x[0], figure.data[0].y[0]) == (0.5, 0.25)


@pytest.mark.parametrize("as_share", [True, False])
def test_effects_are_grouped_by_method_with_their_intervals(as_share: bool) -> None:
    bars = [EffectBar(f"{m} {c}", m, c, 0.5, 0.25, 0.875, 9) for m in ("cosine", "random") for c in ("RES", "MLP")]
    figure = effect_bars(bars, y_title="success", as_share=as_share)
    assert [trace.name for trace in figure.data] == ["cosine", "random"] and list(figure.data[1].x) == ["RES", "MLP"]
    assert list(figure.data[0].error_y.array) == [0.375] * 2 and list(figure.data[0].error_y.arrayminus) == [0.25] * 2
    assert (figure.layout.yaxis.range is not None) == as_share
    assert figure.data[0].marker.color != figure.data[1].marker.color


def test_a_curve_against_a_strength_says_so_on_its_axis_and_over_its_points() -> None:
    figure = dose_curves({"flow set": [DosePoint(2.0, 0.5, 0.4, 0.6, 4)]}, y_title="B", x_title="strength s", x_name="s")
    assert figure.layout.xaxis.title.text == "strength s" and figure.data[0].hovertemplate.startswith("s %{x:g}<br>%{y:.4g} [")
