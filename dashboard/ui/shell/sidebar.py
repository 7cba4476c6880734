"""The sidebar: which SAE, which model, on what; and the width of every page."""

from collections.abc import Mapping

import streamlit as st

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.resources import get_downloads, get_jobs

_STYLE = """
.stMainBlockContainer { max-width: 1440px; padding-top: 3.2rem; padding-inline: clamp(1.5rem, 3.5vw, 5rem); }
h1 { font-size: 1.6rem !important; }
[data-testid=stMetricValue] { font-size: 1.5rem; }
[data-testid^=stBaseButton-primary] { color: light-dark(#fffdf9, #14161a) !important; }
"""


def style() -> None:
    """Cap the width of the content, so that nothing floats in a void on a wide screen; one size for figures; buttons
    whose words can be read on the bright colour of the dark theme."""
    st.html(f"<style>{_STYLE}</style>")


def model_card(card: ModelCard) -> None:
    """What computes, and how."""
    with st.sidebar:
        st.caption(f"{card.n_layers} layers, width {card.d_model}")
        st.caption(f"device **{card.device}**, dtype **{card.dtype}**", help=TERMS["dtype"])


def keys(further: Mapping[str, str] | None = None) -> None:
    """Help on the keyboard; `further` keys are those of one page."""
    lines = [
        "`Ctrl Enter` runs the text",
        "`←` `→` move along tokens or cells, `↑` `↓` by ten or along the list",
        "`Enter` selects, `p` pins a latent in the list",
        "`Tab` moves to the next part",
        *(f"`{key}` {does}" for key, does in (further or {}).items()),
    ]
    with st.sidebar, st.expander("Keys"):
        st.markdown("  \n".join(lines))


def jobs(but: str = "") -> None:
    """What runs in the background, and how far it is; without the jobs that the page itself draws, whose titles begin with `but`."""
    running = [
        job
        for jobs in (get_jobs(), get_downloads())
        for job in jobs.list()
        if not job.state.ended and not (but and job.title.startswith(but))
    ]
    if running:
        with st.sidebar:
            st.caption("Jobs")
            for job in running:
                st.progress(job.done / max(1, job.total), text=f"{job.title}: {job.state.value}, {job.done} of {job.total}")
