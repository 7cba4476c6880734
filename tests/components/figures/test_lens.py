"""The figure of agreement by layer: curves with bands, nulls dotted, and axes that say what they are."""

from components.data import LensCurve
from components.figures.lens import lens_curves

CURVES = (
    LensCurve("a lens", (0, 1), (0.2, 0.4), (0.1, 0.3), (0.3, 0.5), 1),
    LensCurve("chance", (0, 1), (0.01, 0.02), (0.0, 0.01), (0.02, 0.03), 0, True),
)


def test_every_curve_has_its_band_and_a_null_is_dotted() -> None:
    figure = lens_curves(CURVES, y_title="tokens that agree", share=True)
    bands, lines = figure.data[::2], figure.data[1::2]
    assert [line.name for line in lines] == ["a lens", "chance"] and [line.line.dash for line in lines] == ["solid", "dot"]
    assert list(bands[0].y) == [0.3, 0.5, 0.3, 0.1] and list(bands[0].x) == [0, 1, 1, 0]
    assert not any(band.showlegend for band in bands)
    assert list(figure.layout.yaxis.range) == [0, 1.02] and figure.layout.xaxis.title.text == "layer"


def test_a_divergence_has_its_own_scale_from_nothing() -> None:
    figure = lens_curves(CURVES, y_title="KL, nats per token", share=False)
    assert figure.layout.yaxis.range is None and figure.layout.yaxis.rangemode == "tozero"
    assert [list(one) for one in figure.data[1].customdata] == [["a lens", 0.1, 0.3], ["a lens", 0.3, 0.5]]
