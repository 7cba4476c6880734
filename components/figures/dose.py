# pyright: basic
"""Curves against a dose: one line a curve with its intervals, drawn from plain data."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from components.data import DosePoint
from components.figures.intervals import intervals
from components.palette import CURVES


def dose_curves(
    curves: Mapping[str, Sequence[DosePoint]], *, y_title: str, x_title: str = "factor on every amount", x_name: str = "factor"
) -> go.Figure:
    """A figure of `y_title` against the factor. Bars are 95 % intervals; a point without one has none.

    The curve's label and the factor stand in customdata. Colours hold on light and dark paper.
    """
    figure = go.Figure()
    for place, (label, points) in enumerate(curves.items()):
        colour = CURVES[place % len(CURVES)]
        figure.add_scatter(
            x=[point.factor for point in points],
            y=[point.mean for point in points],
            error_y=intervals([(point.mean, point.low, point.high) for point in points], thickness=1.2, width=4),
            mode="lines+markers",
            name=label,
            line={"color": colour, "width": 2},
            marker={"size": 7},
            customdata=[[label, point.factor, point.low, point.high, point.n] for point in points],
            hovertemplate=f"{x_name} %{{x:g}}<br>"
            "%{y:.4g} [%{customdata[2]:.4g}, %{customdata[3]:.4g}], n %{customdata[4]}<extra></extra>",
        )
    figure.update_layout(
        height=300,
        margin={"l": 8, "r": 36, "t": 44, "b": 8},
        modebar={"orientation": "v"},
        xaxis={"title": x_title, "zeroline": True},
        yaxis={"title": y_title},
        legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0},
        showlegend=len(curves) > 1,
        hovermode="closest",
        clickmode="event+select",
    )
    return figure
