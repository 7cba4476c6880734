# pyright: basic
"""Figures of a study of known and unknown entities: pure functions from plain data; every mark carries its key in customdata.

Colours hold on light and on dark paper, so one figure serves both. Names come from people's files: they are escaped.
"""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from components.figures.intervals import intervals
from components.figures.known_data import EntityBar, FrequencyPoint, KindShares, LayerCurve, NormPoint, ShareBar, Tone
from components.palette import DASHES, KINDS, TONES

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "study"},
}
"""What Plotly is to offer with each of them: the camera saves SVG."""
FRAME: dict[str, Any] = {"margin": {"l": 8, "r": 40, "t": 8, "b": 8}, "modebar": {"orientation": "v"}}
"""The tools stand upright in the right margin: above the figure they would cover its legend."""
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
_NAMES = {Tone.KNOWN: "known", Tone.UNKNOWN: "unknown", Tone.ASIDE: "set aside"}
_MAX_NAME, _MAX_KEY = 40, 200


def frequency_scatter(points: Sequence[FrequencyPoint], *, chosen: str | None = None) -> go.Figure:
    """The share of known (x) and of unknown (y) entities that each latent fires on; the diagonal fires on both alike.

    Latents with a ring are drawn over the others, `chosen` over all. customdata[0] is the key.
    """
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": TONES[Tone.ASIDE], "width": 1, "dash": "dot"}, **_SILENT)
    for ring, name in ((None, "latents"), (Tone.KNOWN, "best for known"), (Tone.UNKNOWN, "best for unknown")):
        own = [point for point in points if point.ring is ring]
        colour = TONES[ring or Tone.ASIDE]
        marker = {"size": 5, "color": colour, "opacity": 0.55} if ring is None else {"size": 9, "color": colour, "line": {"width": 2}}
        if ring is not None:
            marker |= {"symbol": "circle-open"}
        if own:
            _add_points(figure, own, marker, name, legend=ring is not None)
    if picked := [point for point in points if point.key == chosen]:
        _add_points(figure, picked[:1], {"size": 17, "color": TONES[Tone.PLAIN], "symbol": "circle-open", "line": {"width": 2.5}}, "chosen")
    axis = {"range": [0, 1], "tickformat": ".0%", "dtick": 0.25, "zeroline": False, "constrain": "domain"}
    figure.update_layout(
        height=480,
        **FRAME,
        xaxis={**axis, "title": "share of known entities on which it fires"},
        yaxis={**axis, "title": "share of unknown entities on which it fires", "scaleanchor": "x"},
        legend=_LEGEND,
        hovermode="closest",
        clickmode="event+select",
    )
    return figure


def layer_curves(curves: Sequence[LayerCurve], *, y_title: str, chosen: str | None = None) -> go.Figure:
    """The mean of the best latents by layer, one line a type, from the least to the most of them; summaries dashed.

    customdata[0] is the key of a layer's best latent; the layer of `chosen` is ringed where it is the best.
    """
    figure = go.Figure()
    for place, curve in enumerate(curves):
        points = curve.points
        colour = TONES[Tone.PLAIN] if curve.is_summary else KINDS[place % len(KINDS)]
        bars = intervals([(point.mean, point.low, point.high) for point in points], thickness=1, width=3)
        figure.add_scatter(
            x=[point.layer for point in points],
            y=[point.mean for point in points],
            error_y=None if curve.is_summary else bars,
            mode="lines+markers",
            name=escaped(curve.label),
            line={"color": colour, "width": 3.5 if curve.is_summary else 2, "dash": "dash" if curve.is_summary else _dash(place)},
            marker={"size": [13 if point.key == chosen else 7 for point in points], "opacity": 1},
            customdata=[
                [point.key, escaped(point.key, _MAX_KEY), point.low, point.high, point.n_known, point.n_unknown, point.n_latents]
                for point in points
            ],
            hovertemplate=(
                "layer %{x}: %{y:.2f} [%{customdata[2]:.2f}, %{customdata[3]:.2f}], best of %{customdata[6]} %{customdata[1]}"
                "<br>n %{customdata[4]} known, %{customdata[5]} unknown<extra>%{fullData.name}</extra>"
            ),
            unselected={"marker": {"opacity": 1}},
        )
    figure.update_layout(
        height=340 if len(curves) <= 5 else 420,
        **FRAME,
        xaxis=_layers([point.layer for curve in curves for point in curve.points]),
        yaxis={"title": y_title, "rangemode": "tozero"},
        legend=_LEGEND,
        hovermode="closest",
        clickmode="event+select",
    )
    return figure


def kind_bars(shares: Sequence[KindShares]) -> go.Figure:
    """How often one latent fires on the known and on the unknown entities of each type, with 95 % intervals and counts."""
    figure = go.Figure()
    for tone in (Tone.KNOWN, Tone.UNKNOWN):
        bars = [share.known if tone is Tone.KNOWN else share.unknown for share in shares]
        figure.add_bar(
            x=[escaped(share.kind) for share in shares],
            y=[bar.value for bar in bars],
            error_y=intervals([(bar.value, bar.low, bar.high) for bar in bars], thickness=1.3, width=5, colour=TONES[Tone.PLAIN]),
            name=_NAMES[tone],
            marker={"color": TONES[tone]},
            customdata=[[share.kind, bar.low, bar.high, counted(bar)] for share, bar in zip(shares, bars, strict=True)],
            hovertemplate="%{x}: %{y:.0%} [%{customdata[1]:.0%}, %{customdata[2]:.0%}], %{customdata[3]}<extra>%{fullData.name}</extra>",
            unselected={"marker": {"opacity": 1}},
        )
    names = [escaped(share.kind) for share in shares]
    beneath = [f"{name}<br>{counted(share.known)}<br>{counted(share.unknown)}" for name, share in zip(names, shares, strict=True)]
    figure.update_layout(
        height=310,
        **FRAME,
        barmode="group",
        xaxis={"title": "", "type": "category", "tickvals": names, "ticktext": beneath, "tickangle": 0},
        yaxis={"title": "share on which it fires", "range": [0, 1], "tickformat": ".0%"},
        legend=_LEGEND,
        clickmode="event+select",
    )
    return figure


def entity_strip(bars: Sequence[EntityBar], *, chosen: str | None = None) -> go.Figure:
    """One bar an entity, the strongest first, coloured by its label; those on which the latent is silent are dots on the axis."""
    ordered = sorted(bars, key=lambda bar: (-bar.value, list(_NAMES).index(bar.tone), bar.name))
    figure = go.Figure()
    for tone, name in _NAMES.items():
        own = [(place, bar) for place, bar in enumerate(ordered, 1) if bar.tone is tone]
        firing, silent = [one for one in own if one[1].value > 0], [one for one in own if one[1].value <= 0]
        if not own:
            continue
        shared = {
            "legendgroup": name,
            "name": f"{name}, {len(firing)} of {len(own)} fire",
            "hovertemplate": "%{customdata[1]}, %{customdata[2]}: %{y:.4f}<extra>%{fullData.name}</extra>",
        }
        figure.add_bar(
            x=[place for place, _ in firing],
            y=[bar.value for _, bar in firing],
            width=0.95,  # by itself a trace would fill the gaps that the others' bars stand in
            customdata=[_entity(bar) for _, bar in firing],
            marker={"color": TONES[tone], "line": {"width": [3 if bar.key == chosen else 0 for _, bar in firing]}},
            unselected={"marker": {"opacity": 1}},
            showlegend=bool(firing),
            **shared,
        )
        figure.add_scatter(
            x=[place for place, _ in silent],
            y=[0.0] * len(silent),
            customdata=[_entity(bar) for _, bar in silent],
            mode="markers",
            marker={"size": 4, "color": TONES[tone], "symbol": "line-ns", "line": {"width": 1.2, "color": TONES[tone]}},
            unselected={"marker": {"opacity": 1}},
            showlegend=not firing,
            **shared,
        )
    figure.update_layout(
        height=280,
        **FRAME,
        barmode="overlay",
        xaxis={"title": f"{len(ordered)} entities, the strongest first", "zeroline": False, "showgrid": False},
        yaxis={"title": "activation", "rangemode": "tozero"},
        legend=_LEGEND,
        hovermode="closest",
        clickmode="event+select",
    )
    return figure


def norm_curves(points: Sequence[NormPoint]) -> go.Figure:
    """Mean norm of the residual at the names' last tokens by layer, with one standard deviation to both sides. customdata[0] is the key."""
    figure = go.Figure()
    for tone, name in _NAMES.items():
        own = [point for point in points if point.tone is tone]
        if own:
            figure.add_scatter(
                x=[point.layer for point in own],
                y=[point.mean for point in own],
                error_y={"type": "data", "array": [point.sd or 0.0 for point in own], "thickness": 1, "width": 3},
                mode="lines+markers",
                name=name,
                line={"color": TONES[tone], "width": 2},
                marker={"size": 6},
                customdata=[
                    [
                        point.key,
                        point.n,
                        "not known" if point.sd is None else f"{point.sd:.4g}",
                        f"<br>best latent of this layer: {escaped(point.key, _MAX_KEY)}" if point.key else "",
                    ]
                    for point in own
                ],
                hovertemplate=(
                    "layer %{x}: %{y:.4g}, sd %{customdata[2]}, n %{customdata[1]}%{customdata[3]}<extra>%{fullData.name}</extra>"
                ),
                unselected={"marker": {"opacity": 1}},
            )
    figure.update_layout(
        height=300,
        **FRAME,
        xaxis=_layers([point.layer for point in points]),
        yaxis={"title": "norm of the residual", "rangemode": "tozero"},
        legend=_LEGEND,
        hovermode="closest",
        clickmode="event+select",
    )
    return figure


def escaped(text: str, most: int = _MAX_NAME) -> str:
    """Text that Plotly, which reads a little HTML, draws as it is; cut where it is longer than `most`."""
    return html.escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def counted(bar: ShareBar) -> str:
    """As "12/15"."""
    return f"{bar.k}/{bar.n}" if bar.n else "not known"


_SILENT = {"hoverinfo": "skip", "showlegend": False}


def _add_points(figure: go.Figure, points: Sequence[FrequencyPoint], marker: dict[str, Any], name: str, *, legend: bool = True) -> None:
    figure.add_scatter(
        x=[point.known / max(1, point.n_known) for point in points],
        y=[point.unknown / max(1, point.n_unknown) for point in points],
        mode="markers",
        name=name,
        showlegend=legend,
        marker=marker,
        customdata=[
            [
                point.key,
                escaped(point.key, _MAX_KEY),
                f"known {point.known}/{point.n_known}, unknown {point.unknown}/{point.n_unknown}",
                f"<br>{escaped(point.note)}" if point.note else "",
            ]
            for point in points
        ],
        hovertemplate="%{customdata[1]}<br>%{customdata[2]}<br>%{x:.1%} known, %{y:.1%} unknown%{customdata[3]}<extra></extra>",
        cliponaxis=False,
        unselected={"marker": {"opacity": marker.get("opacity", 1)}},
    )


def _entity(bar: EntityBar) -> list[str]:
    return [bar.key, escaped(bar.name), escaped(bar.kind)]


def _layers(layers: Sequence[int]) -> dict[str, Any]:
    """An axis of layers: whole numbers, as many as fit."""
    span = max(layers, default=0) - min(layers, default=0)
    return {"title": "layer", "tick0": 0, "dtick": 1 if span <= 16 else 2 if span <= 32 else 5, "zeroline": False}


def _dash(place: int) -> str:
    return DASHES[place // len(KINDS) % len(DASHES)]
