"""What all sessions share: the engine and the catalogue. The only file that caches a resource."""

from dataclasses import dataclass, field

import streamlit as st

from dashboard.analysis.engine import Engine
from dashboard.analysis.installation import open_engine
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import get_settings


@dataclass
class Notice:
    """The last thing that a long start said, for pages that wait for it."""

    line: str = field(default="Loading the model ...")

    def say(self, line: str) -> None:
        """Replace the line."""
        self.line = line


@st.cache_resource(show_spinner=False)
def get_notice() -> Notice:
    """What the engine is doing before its first answer."""
    return Notice()


@st.cache_resource(show_spinner=False)
def get_engine() -> Engine:
    """The one engine of this process."""
    return open_engine(get_settings(), get_notice().say)


@st.cache_resource(show_spinner=False)
def get_catalog() -> Catalog:
    """Every SAE of this installation."""
    return read_catalog(get_settings())
