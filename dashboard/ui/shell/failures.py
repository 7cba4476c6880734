"""Waiting for the engine, and showing errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import streamlit as st

from dashboard.analysis.engine.tickets import Place, Ticket
from dashboard.analysis.errors import AnalysisError
from dashboard.ui.shell.resources import get_notice

T = TypeVar("T")
log = logging.getLogger(__name__)


@contextmanager
def shown() -> Iterator[None]:
    """Draw an error in its place; the rest of the page lives on. Streamlit's own stop passes through."""
    try:
        yield
    except AnalysisError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except Exception as error:
        log.exception("a page failed")
        st.error(plain(f"Internal error: {type(error).__name__}. Details are in the log; the rest of the page still works."))


def answer(ticket: Ticket[T], doing: str) -> T:
    """The one answer of a ticket; until it comes, what is being done or the place in the queue, over a skeleton.

    Leaving early, also by a click elsewhere, cancels the job.
    """
    place, said = st.empty(), ""
    with ticket:
        for item in ticket:
            if not isinstance(item, Place):
                place.empty()
                return item
            line = f"{item.ahead} ahead of you" if item.ahead else get_notice().line or doing
            if line != said:
                said = line
                with place.container():
                    st.caption(plain(line))
                    st.skeleton(height=120)
    raise AssertionError("a ticket ends with an answer or an error")


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:" else c for c in text)
