"""What a tab remembers across pages."""

import streamlit as st

from dashboard.ui.shell import address

_MODEL, _ACTED = "model", "acted"


def model() -> str | None:
    """The model that this tab looks at; None before it has settled on one."""
    return st.session_state.get(_MODEL)


def set_model(name: str) -> None:
    """This tab looks at a model."""
    st.session_state[_MODEL] = name


def start_anew(name: str) -> None:
    """Another model: nothing that the tab holds is about it, so all of that goes."""
    kept = st.session_state
    for key in list(kept):
        del kept[key]
    set_model(name)


def has_acted() -> bool:
    """Whether this run comes from a user action on the page; reading clears it."""
    return st.session_state.pop(_ACTED, False)


def is_acting() -> bool:
    """Whether this run comes from a user action on the page; reading does not clear it."""
    return st.session_state.get(_ACTED, False)


def note_change() -> None:
    """Callback: the user's last action takes precedence over the address bar."""
    st.session_state[_ACTED] = True
    address.stay()
