# pyright: basic
"""Figures of the flow on text, drawn from plain data: origins, scores, tests, the matrix between groups, pairs, effects.

Every mark that can be clicked has its key in customdata[0]. Colours hold on light and dark paper.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.data import GraphRole
from components.figures.intervals import Ends, intervals
from components.figures.origins_data import SHORT_ROLE, EffectBar, OriginBar, PairPoint, ScoredLatent, TestBar, thinned
from components.palette import CURVES, DARK, LIGHT, ORIGINS, TONES

MAX_POINTS = 250
"""Latents of a group that are drawn over its box at most."""
_SOURCE_ROLE = {"RES": GraphRole.RES, "MLP": GraphRole.MLP, "ATT": GraphRole.ATT}


def origin_bars(bars: Sequence[OriginBar], *, x_title: str, dark: bool = False) -> go.Figure:
    """Stacked bars of the eight groups, bars in the order given; hovering tells the count and the 95 % interval."""
    figure = go.Figure()
    order = list(dict.fromkeys(one.bar for one in bars))
    for role, name in SHORT_ROLE.items():
        own = [one for one in bars if one.role is role]
        figure.add_bar(
            x=[one.bar for one in own],
            y=[one.share for one in own],
            name=name,
            marker={"color": _colour(role, dark), "line": {"width": 0}},
            customdata=[[one.key, one.k, one.n, one.low, one.high] for one in own],
            hovertemplate=f"{name}, %{{x}}<br>%{{y:.1%}} [%{{customdata[3]:.1%}}, %{{customdata[4]:.1%}}], "
            "%{customdata[1]} of %{customdata[2]}<extra></extra>",
        )
    gap = max(0.2, 1 - 0.13 * len(order))  # a single bar does not become a wall
    figure.update_layout(barmode="stack", bargap=gap, **_layout(360), clickmode="event+select")
    figure.update_xaxes(title=x_title, type="category", categoryorder="array", categoryarray=order, automargin=True)
    figure.update_yaxes(title="share of what is active", range=[0, 1], tickformat=".0%")
    return figure


def score_boxes(points: Sequence[ScoredLatent], *, y_title: str, dark: bool = False) -> go.Figure:
    """A box a group over all of its latents, n under each; over it MAX_POINTS of them at most, evenly taken by their names' order."""
    figure = go.Figure()
    groups = {role: [one for one in points if one.role is role] for role in SHORT_ROLE}
    names = {role: f"{name}<br>n {len(groups[role]):,}" for role, name in SHORT_ROLE.items()}
    for role, own in groups.items():
        figure.add_box(
            y=[one.value for one in own],
            name=names[role],
            boxpoints=False,
            line={"color": _colour(role, dark), "width": 1.5},
            fillcolor="rgba(0,0,0,0)",
            hoverinfo="y",
        )
    for role, own in groups.items():
        drawn = thinned(own, MAX_POINTS)
        figure.add_box(
            y=[one.value for one in drawn],
            name=names[role],
            customdata=[[one.key] for one in drawn],
            boxpoints="all",
            jitter=0.6,
            pointpos=0,
            hoveron="points",
            marker={"color": _colour(role, dark), "size": 4, "opacity": 0.4},
            line={"width": 0, "color": "rgba(0,0,0,0)"},
            fillcolor="rgba(0,0,0,0)",
            hovertemplate="%{customdata[0]}<br>%{y:.3f}<extra></extra>",
        )
    figure.update_layout(**_layout(280, top=12) | {"showlegend": False}, clickmode="event+select")
    figure.update_yaxes(title=y_title)
    return figure


def significance_bars(bars: Sequence[TestBar]) -> go.Figure:
    """A panel a module: share of significant tests by whose cosine is compared, a colour for AO, AB, IB."""
    modules, sorts = list(dict.fromkeys(one.module for one in bars)), ("AO", "AB", "IB")
    said = {"AO": "active in one group only", "AB": "active in both", "IB": "inactive in both"}
    figure = make_subplots(1, max(1, len(modules)), shared_yaxes=True, subplot_titles=[f"{module} is ..." for module in modules])
    for column, module in enumerate(modules, start=1):
        for place, sort in enumerate(sorts):
            own = [one for one in bars if one.module == module and one.sort == sort]
            shares = [one.k / one.n for one in own]
            figure.add_bar(
                x=[f"s_{one.score[0]}" for one in own],
                y=shares,
                name=said[sort],
                legendgroup=sort,
                showlegend=column == 1,
                marker={"color": CURVES[place]},
                error_y=_bars((share, one.low, one.high) for share, one in zip(shares, own, strict=True)),
                customdata=[[f"{one.module} {one.sort} {one.score}", one.k, one.n] for one in own],
                hovertemplate="%{y:.0%}, %{customdata[1]} of %{customdata[2]} tests<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(barmode="group", **_layout(320, top=72), clickmode="event+select")
    figure.update_annotations(font_size=13)
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    figure.update_yaxes(title="share of tests with p < 0.001", col=1)
    return figure


def group_matrix(counts: Sequence[Sequence[int]], *, dark: bool = False) -> go.Figure:
    """P(also seen in the column's group | seen in the row's), groups in the order of SHORT_ROLE; counts are of latents.

    A point without a face lies on each cell, because cells themselves give no click.
    """
    names, roles = list(SHORT_ROLE.values()), list(SHORT_ROLE)
    rows = [[one / row[i] if row[i] else None for one in row] for i, row in enumerate(counts)]
    colours = DARK if dark else LIGHT
    figure = go.Figure()
    figure.add_heatmap(
        x=names,
        y=names,
        z=rows,
        zmin=0,
        zmax=1,
        colorscale=[[0, colours["paper"]], [0.5, colours["mid"]], [1, colours["full"]]],
        text=[["" if one is None else f"{one:.2f}" for one in row] for row in rows],
        texttemplate="%{text}",
        hoverinfo="skip",
        colorbar={"title": "P", "thickness": 10},
    )
    cells = [(i, j) for i in range(len(names)) for j in range(len(names)) if rows[i][j] is not None]
    figure.add_scatter(
        x=[names[j] for _, j in cells],
        y=[names[i] for i, _ in cells],
        mode="markers",
        marker={"size": 26, "symbol": "square", "opacity": 0},
        customdata=[[f"{roles[i].value} {roles[j].value}", counts[i][j], counts[i][i], rows[i][j]] for i, j in cells],
        hovertemplate="of %{customdata[2]} latents seen in %{y},<br>%{customdata[1]} (%{customdata[3]:.0%}) also in %{x}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(**_layout(420), clickmode="event+select")
    figure.update_xaxes(title="also seen in")
    figure.update_yaxes(title="seen in", autorange="reversed")
    return figure


def cosine_scatter(points: Sequence[PairPoint], *, dark: bool = False) -> go.Figure:
    """Cosine of decoder rows against Pearson's correlation of activations, a colour a source."""
    figure = go.Figure()
    for group in dict.fromkeys(one.group for one in points):
        own = [one for one in points if one.group == group]
        figure.add_scattergl(
            x=[one.cosine for one in own],
            y=[one.pearson for one in own],
            mode="markers",
            name=f"{group}, n {len(own):,}",
            marker={"color": _colour(_SOURCE_ROLE[group], dark), "size": 5, "opacity": 0.55},
            customdata=[[one.key, one.n_fired] for one in own],
            hovertemplate="%{customdata[0]}<br>cosine %{x:.3f}, Pearson %{y:.3f}, fires on %{customdata[1]} tokens<extra></extra>",
        )
    figure.update_layout(**_layout(380), clickmode="event+select")
    figure.update_xaxes(title="cosine of decoder rows")
    figure.update_yaxes(title="Pearson's r of activations")
    return figure


def effect_bars(bars: Sequence[EffectBar], *, y_title: str, as_share: bool) -> go.Figure:
    """Bars by what was rescaled, a colour a method; whiskers are 95 % intervals. `as_share`: the axis is 0 to 1."""
    figure = go.Figure()
    for place, method in enumerate(dict.fromkeys(one.method for one in bars)):
        own = [one for one in bars if one.method == method]
        figure.add_bar(
            x=[one.changed for one in own],
            y=[one.value for one in own],
            name=method,
            marker={"color": CURVES[place % len(CURVES)]},
            error_y=_bars((one.value, one.low, one.high) for one in own),
            customdata=[[one.key, one.low, one.high, one.n] for one in own],
            hovertemplate=f"{method}, %{{x}}<br>"
            "%{y:.3g} [%{customdata[1]:.3g}, %{customdata[2]:.3g}], n %{customdata[3]}<extra></extra>",
        )
    figure.update_layout(barmode="group", **_layout(320), clickmode="event+select")
    figure.update_xaxes(title="rescaled predecessors")
    figure.update_yaxes(title=y_title)
    if as_share:
        figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def _bars(ends: Iterable[Ends]) -> dict[str, Any]:
    return intervals(ends, thickness=1.2, width=3, colour=TONES["plain"])


def _colour(role: GraphRole, dark: bool) -> str:
    return ORIGINS[role.value][int(dark)]


def _layout(height: int, top: int = 44) -> dict[str, Any]:
    """The legend stands above: under the axis long names would run into it. The tools have the right margin to themselves."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 40, "t": top, "b": 8},
        "modebar": {"orientation": "v"},
        "legend": {"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0, "traceorder": "normal"},
        "hovermode": "closest",
    }
