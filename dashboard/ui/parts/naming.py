"""What latents are called on this installation."""

from collections.abc import Callable
from functools import cache

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.file import read_index
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.resources import get_notebook

Named = Callable[[LatentId], str]
"""What a latent is called; empty for nothing."""


def names(catalog: Catalog) -> Named:
    """A latent's label given by a user; else the automatic one of the index, in short."""
    notes = get_notebook().notes()

    @cache
    def named(latent: LatentId) -> str:
        if latent in notes and notes[latent].label:
            return notes[latent].label
        try:
            return in_short(read_index(catalog.get(latent.sae)).labels[latent.index])
        except AnalysisError:
            return ""

    return named


def in_short(label: str) -> str:
    """An automatic label without the words that all of them begin with."""
    return label.removeprefix("fires on ").removeprefix("many different tokens, most strongly on ")
