# pyright: basic
"""How near each layer is to the model's own prediction, through two lenses: curves over layers, drawn from plain data."""

from collections.abc import Sequence

import plotly.graph_objects as go

from components.data import LensCurve
from components.palette import CURVES


def lens_curves(curves: Sequence[LensCurve], *, y_title: str, share: bool) -> go.Figure:
    """A line a curve over the layers with its band; a null is dotted and grey. `share` sets the axis to 0 to 1 in per cent."""
    figure = go.Figure()
    shown = ".0%" if share else ".3g"
    for curve in curves:
        colour = CURVES[curve.colour]
        dash = "dot" if curve.is_null else "solid"
        figure.add_scatter(
            x=[*curve.layers, *reversed(curve.layers)],
            y=[*curve.highs, *reversed(curve.lows)],
            fill="toself",
            fillcolor=colour,
            opacity=0.15,
            mode="none",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=curve.label,
        )
        figure.add_scatter(
            x=list(curve.layers),
            y=list(curve.means),
            mode="lines",
            name=curve.label,
            legendgroup=curve.label,
            line={"color": colour, "width": 1.5 if curve.is_null else 2.2, "dash": dash},
            customdata=[[curve.label, low, high] for low, high in zip(curve.lows, curve.highs, strict=True)],
            hovertemplate=f"{curve.label}, layer %{{x}}<br>"
            f"%{{y:{shown}}} [%{{customdata[1]:{shown}}}, %{{customdata[2]:{shown}}}]<extra></extra>",
        )
    figure.update_layout(
        height=340,
        margin={"l": 8, "r": 8, "t": 88, "b": 8},
        legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title=y_title, rangemode="tozero", **({"range": [0, 1.02], "tickformat": ".0%"} if share else {}))
    return figure
