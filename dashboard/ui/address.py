"""The address bar: what a page says in it, and, once a tab has had another model than the first, which model it is."""

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

MODEL = "model"
_NAMED = "model_named"

Query = Mapping[str, str | Sequence[str]]


def read() -> dict[str, list[str]]:
    """What the page says of itself."""
    return {key: st.query_params.get_all(key) for key in st.query_params if key != MODEL}


def write(url: Mapping[str, list[str]]) -> None:
    """Have the page say this of itself."""
    st.query_params.from_dict({**named(), **url})


def named() -> dict[str, list[str]]:
    """The part that names the tab's model; nothing while it need not be said."""
    # Presenters make links outside a page too: in a job's thread no tab is there.
    name = st.session_state.get(_NAMED) if get_script_run_ctx(suppress_warning=True) else None
    return {MODEL: [name]} if name else {}


def name_model(name: str) -> None:
    """Name the tab's model in every address from now on."""
    st.session_state[_NAMED] = name


def to(query: Query) -> dict[str, str | Sequence[str]]:
    """The query of a page that this tab goes to."""
    return {**named(), **query}
