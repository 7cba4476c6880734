"""A notice shown once."""

import streamlit as st

_NOTICE = "known:notice"


def say(line: str) -> None:
    """Show a line at the top of the page, once."""
    st.session_state[_NOTICE] = line


def notice() -> str:
    """The pending line; reading clears it."""
    return st.session_state.pop(_NOTICE, "")
