"""What an address can hold."""

from collections.abc import Mapping
from urllib.parse import quote

import streamlit as st

from dashboard.analysis.tokens import Prompt

MAX_PROMPT_IN_URL = 8000
"""Characters of the percent-encoded prompt; servers refuse much longer addresses."""


def text_of(url: Mapping[str, list[str]], name: str, key: str, otherwise: str = "") -> str:
    """The text that an address names. One that is too long for a link is not named: then the tab keeps its own, if that is such a one."""
    if name in url:
        return url[name][-1]
    own = Prompt(str(st.session_state.get(key) or ""))
    return otherwise if fits_url(own) else own.text


def fits_url(prompt: Prompt) -> bool:
    """Whether a link can carry the prompt."""
    return len(quote(prompt.text, errors="replace")) <= MAX_PROMPT_IN_URL
