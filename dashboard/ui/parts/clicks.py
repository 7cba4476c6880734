"""Clicks on figures, and the keys of their panels."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.analysis.errors import BadAsk
from dashboard.ui.parts import clicks as kept

ORIGINS, PAIRS, DEACTIVATION, STEERING = "flow_origins", "flow_pairs", "flow_deactivation", "flow_steering"
"""Panels; each has one job at a time."""


def key(panel: str, widget: str) -> str:
    """The key of a widget."""
    return f"{panel}_{widget}"


def clicked(event: object) -> str | None:
    """The key behind the mark of a figure that was clicked last; None for none."""
    data = _behind(event)
    return str(data[0]) if data else None


def clicked_dose(event: object) -> tuple[str, float] | None:
    """The curve and the dose of the point that was clicked last; None for none."""
    data = _behind(event)
    return (str(data[0]), float(data[1])) if len(data) > 1 else None


def latest(panel: str, clicks: Mapping[str, str | None]) -> str | None:
    """Of several figures with the key that is clicked in each, the key of the one that was clicked last: a figure keeps its mark."""
    before, last = st.session_state.get(key(panel, "clicks"), ({}, ""))
    last = next((name for name, clicked in clicks.items() if clicked != before.get(name)), last)
    st.session_state[key(panel, "clicks")] = dict(clicks), last
    return clicks.get(last)


def _behind(event: object) -> list[Any]:
    points = getattr(getattr(event, "selection", None), "points", None) or []
    data = points[-1].get("customdata") if points else None
    return list(data.values()) if isinstance(data, dict) else list(data or ())  # Streamlit gives some figures' lists as {"0": ...}


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        BadAsk: if one is none.
    """
    try:
        return tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise BadAsk(f"{text[:40]!r} is not a list of numbers. Write for example -1, 0, 1.") from error


def _chart(figure: Any, panel: str, name: str) -> str | None:
    """A figure that can be clicked: the key behind the mark."""
    event = st.plotly_chart(figure, key=kept.key(panel, name), on_select="rerun", selection_mode="points")
    return kept.clicked(event)


def dose_chart(figure: Any, panel: str, name: str) -> tuple[str, float] | None:
    """Curves that can be clicked: the curve and the dose of the point."""
    event = st.plotly_chart(figure, key=kept.key(panel, name), on_select="rerun", selection_mode="points")
    return kept.clicked_dose(event)


def _dark() -> bool:
    return st.context.theme.type == "dark"


def _row(data: Any) -> Any:
    """Custom data of a point as a list; Streamlit gives it as a list or as an object of its places."""
    if isinstance(data, dict):
        return [data[key] for key in sorted(data, key=int)]
    return data if isinstance(data, (list, tuple)) else [data] if data else []
