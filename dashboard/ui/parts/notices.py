"""Say something once."""

import streamlit as st

_NOTICE = "known:notice"


def say(line: str) -> None:
    """A line for people at the head of the page, once."""
    st.session_state[_NOTICE] = line


def notice() -> str:
    """The line that is to be said; asking forgets it."""
    return st.session_state.pop(_NOTICE, "")
