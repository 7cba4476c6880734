# pyright: basic
"""Figures of what a model answers: rates under several conditions, and numbers that tell wrong answers from right ones."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from components.figures.intervals import intervals
from components.figures.known import FRAME, escaped
from components.figures.known_data import DetectorScore, OutcomeValues, RateBar, Tone
from components.palette import TONES

_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}, "entrywidth": 0}
_PATTERNS = {Tone.RANDOM: "/", Tone.WITHOUT: "x"}


def rate_bars(bars: Sequence[RateBar], *, y_title: str, is_share: bool = True) -> go.Figure:
    """Bars grouped by type, one colour a condition, with intervals; a bar without a value says so.

    `is_share`: the axis goes from 0 to 100 %. customdata is [group, condition].
    """
    figure = go.Figure()
    form = ":.0%" if is_share else ":.3g"
    for condition in dict.fromkeys(bar.condition for bar in bars):
        own = [bar for bar in bars if bar.condition == condition]
        tone = own[0].tone
        figure.add_bar(
            x=[escaped(bar.group) for bar in own],
            y=[bar.value for bar in own],
            error_y=intervals([(bar.value, bar.low, bar.high) for bar in own], thickness=1.3, width=4, colour=TONES[Tone.PLAIN]),
            name=escaped(condition),
            marker={"color": TONES[tone], "pattern": {"shape": _PATTERNS.get(tone, "")}},
            text=["not known" if bar.value is None else "" for bar in own],
            customdata=[[bar.group, bar.condition, escaped(bar.said), _bounds(bar, is_share)] for bar in own],
            hovertemplate=f"%{{x}}: %{{y{form}}} %{{customdata[3]}}, %{{customdata[2]}}<extra>%{{fullData.name}}</extra>",
        )
    axis = {"range": [0, 1], "tickformat": ".0%"} if is_share else {"zeroline": True}
    figure.update_layout(
        height=330,
        **FRAME,
        barmode="group",
        xaxis={"title": "", "type": "category"},
        yaxis={"title": y_title, **axis},
        legend=_LEGEND,
        hovermode="closest",
    )
    return figure


def outcome_boxes(outcomes: Sequence[OutcomeValues], *, thresholds: Mapping[str, float], y_title: str) -> go.Figure:
    """The activation of one latent before right and before wrong answers by type, every answer a dot; dashed the threshold of each type."""
    figure = go.Figure()
    for tone, name in ((Tone.RIGHT, "right"), (Tone.WRONG, "wrong")):
        own = [outcome for outcome in outcomes if outcome.tone is tone]
        figure.add_box(
            x=[escaped(outcome.group) for outcome in own for _ in outcome.values],
            y=[value for outcome in own for value in outcome.values],
            name=f"before {name} answers",
            marker={"color": TONES[tone], "size": 4, "opacity": 0.7},
            line={"width": 1.5},
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            hovertemplate="%{x}: %{y:.4f}<extra>%{fullData.name}</extra>",
        )
    groups = list(dict.fromkeys(escaped(outcome.group) for outcome in outcomes))
    for group, threshold in thresholds.items():
        if escaped(group) in groups:
            place = groups.index(escaped(group))
            line = {"color": TONES[Tone.PLAIN], "dash": "dash", "width": 1.5}
            figure.add_shape(type="line", x0=place - 0.45, x1=place + 0.45, y0=threshold, y1=threshold, line=line)
    figure.update_layout(
        height=330,
        **FRAME,
        boxmode="group",
        xaxis={"title": "", "type": "category", "categoryorder": "array", "categoryarray": groups},
        yaxis={"title": y_title, "rangemode": _range_mode([value for outcome in outcomes for value in outcome.values])},
        legend=_LEGEND,
    )
    return figure


def detector_dots(scores: Sequence[DetectorScore]) -> go.Figure:
    """AUROC for "wrong" of latents and of their baseline, the best above; half is guessing. customdata[0] is the key."""
    ordered = sorted(scores, key=lambda score: score.auroc)
    figure = go.Figure()
    figure.add_scatter(
        x=[score.auroc for score in ordered],
        y=[escaped(score.label, 48) for score in ordered],
        mode="markers+text",
        text=[f"{score.auroc:.2f}" for score in ordered],
        textposition="middle right",
        marker={"size": 10, "color": [TONES[Tone.WRONG if score.key else Tone.PLAIN] for score in ordered]},
        customdata=[[score.key, score.n_right, score.n_wrong, escaped(score.note, 200)] for score in ordered],
        hovertemplate="%{y}: %{x:.4f}, n %{customdata[1]} right, %{customdata[2]} wrong<br>%{customdata[3]}<extra></extra>",
        cliponaxis=False,
        unselected={"marker": {"opacity": 1}},
    )
    figure.add_vline(x=0.5, line={"color": TONES[Tone.ASIDE], "dash": "dot", "width": 1})
    figure.update_layout(
        height=90 + 34 * len(ordered),
        **FRAME,
        xaxis={"title": "AUROC for a wrong answer", "range": [-0.03, 1.03], "dtick": 0.25},
        yaxis={"title": "", "type": "category", "automargin": True},
        showlegend=False,
        clickmode="event+select",
    )
    return figure


def _range_mode(values: Sequence[float]) -> str:
    """From 0 on, unless that would press all values against the upper edge."""
    return "normal" if values and min(values) > 0.6 * max(values) else "tozero"


def _bounds(bar: RateBar, is_share: bool) -> str:
    if bar.low is None or bar.high is None:
        return ""
    return f"[{bar.low:.0%}, {bar.high:.0%}]" if is_share else f"[{bar.low:.3g}, {bar.high:.3g}]"
