"""State of the page Models and SAEs <-> session. With `state.py`, one of the places where keys are spelt."""

from typing import Any

import streamlit as st

from dashboard.analysis.model.sizing import ModelSize
from dashboard.ui.shell.tab import note_change

GIVEN, FAMILY, LOOK, TAKE, BOS, DTYPE, DOWNLOAD_CANCEL = (
    "bring_given", "bring_family", "bring_look", "bring_take", "bring_bos", "bring_dtype", "bring_download_cancel",
)  # fmt: skip
QUERY, OWN, FOUND, GET, NAME, NAME_FORM, TOKENS, CANCEL, OPEN, HERE, AGAIN, DIRECTORY, OTHER_BOS = (
    "bring_query", "bring_own", "bring_found", "bring_get", "bring_name", "bring_name_form", "bring_tokens", "bring_cancel", "bring_open",
    "bring_here", "bring_again", "bring_directory", "bring_other_bos",
)  # fmt: skip
_LOOKED, _JOB, _DOWNLOAD, _BYTES = "bring_looked", "bring_job", "bring_download", "bring_bytes"


def looked() -> tuple[str, ModelSize] | None:
    """The model that was looked at: as it was given, and its size."""
    return st.session_state.get(_LOOKED)


def keep_looked(given: str, size: ModelSize | None) -> None:
    """Remember what was looked at; without a size, forget it."""
    st.session_state[_LOOKED] = None if size is None else (given, size)


def job() -> str | None:
    """The job that brings an SAE, which this tab started last."""
    return st.session_state.get(_JOB)


def keep_job(id: str | None) -> None:
    """Remember it."""
    st.session_state[_JOB] = id


def download() -> str | None:
    """The job that fetches a model, which this tab started last."""
    return st.session_state.get(_DOWNLOAD)


def keep_download(id: str | None) -> None:
    """Remember it."""
    st.session_state[_DOWNLOAD] = id


def known_bytes() -> dict[str, int | None]:
    """Bytes of SAEs on the hub that this tab has asked for."""
    return st.session_state.setdefault(_BYTES, {})


def row_of(key: str) -> int | None:
    """The row that is selected in a table."""
    event: Any = st.session_state.get(key)
    rows = event["selection"]["rows"] if event else []
    return rows[0] if rows else None


def take_family(model: str) -> None:
    """Callback: put the model of a family into the box."""
    note_change()
    if model:
        st.session_state[GIVEN] = model
    keep_looked("", None)
