"""Keys of the panels of the flow on text, and the jobs that this tab looks at there."""

from typing import Any

import streamlit as st

ORIGINS, PAIRS, DEACTIVATION, STEERING = "flow_origins", "flow_pairs", "flow_deactivation", "flow_steering"
"""Panels; each has one job at a time."""


def key(panel: str, widget: str) -> str:
    """The key of a widget."""
    return f"{panel}_{widget}"


def keep_job(panel: str, id: str, plan: Any, own: bool = False) -> None:
    """Remember the job of a panel and what was asked of it, in place of the one before. `own`: this tab has started it."""
    st.session_state[key(panel, "job")] = id, plan
    st.session_state[key(panel, "own")] = id if own else None


def forget_job(panel: str) -> None:
    """The panel shows nothing."""
    st.session_state.pop(key(panel, "job"), None)


def job(panel: str) -> str | None:
    """The job that a panel shows."""
    return st.session_state.get(key(panel, "job"), (None, None))[0]


def own_job(panel: str) -> str | None:
    """The job that the panel shows, if this tab has started it."""
    return st.session_state.get(key(panel, "own"))


def plan(panel: str) -> Any:
    """What was asked of it; None without a job."""
    return st.session_state.get(key(panel, "job"), (None, None))[1]


def clicked(event: object) -> str | None:
    """The key behind the mark of a figure that was clicked last; None for none."""
    points = getattr(getattr(event, "selection", None), "points", None) or []
    data = points[-1].get("customdata") if points else None
    if isinstance(data, dict):  # Streamlit gives some figures' lists as {"0": ...}
        data = list(data.values())
    return str(data[0]) if isinstance(data, list | tuple) and data else None
