"""Which SAEs a page looks in, by release, layer and site: fields of its view, and the inputs for them.

A page with such a choice has the fields `releases`, `layers` and `points` in its view, made by the functions of these names here.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.glossary import TERMS
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import several


@dataclass(frozen=True)
class Sources:
    """What is chosen; empty for all."""

    releases: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    points: tuple[str, ...] = ()

    def saes(self, catalog: Catalog) -> tuple[SaeId, ...]:
        """The SAEs that are chosen."""
        return tuple(
            spec.id
            for spec in catalog.specs
            if (not self.releases or spec.id.release in self.releases)
            and (not self.layers or spec.site.layer in self.layers)
            and (not self.points or spec.site.point.value in self.points)
        )


def releases() -> Any:
    """The field of the releases that are chosen."""
    return several("release", releases_of)


def layers() -> Any:
    """The field of the layers that are chosen."""
    return several("layer", layers_of, ascending=True)


def points() -> Any:
    """The field of the sites that are chosen."""
    return several("site", points_of)


def boxes(page: Page[Any], catalog: Catalog, **also: Any) -> None:
    """Pills where there is a choice; layers always. A change sets further fields `also`."""
    if len(chosen := releases_of(catalog)) > 1:
        st.pills("Releases (none selected: all)", chosen, selection_mode="multi", **page.bind("releases", **also))
    st.pills("Layers (none selected: all)", layers_of(catalog), selection_mode="multi", help=TERMS["site"], **page.bind("layers", **also))
    if len(chosen := points_of(catalog)) > 1:
        st.pills("Sites (none selected: all)", chosen, selection_mode="multi", **page.bind("points", **also))


def how_many(n_chosen: int, catalog: Catalog) -> str:
    """How many SAEs are searched, in words."""
    n = len(catalog.specs)
    return f"{'All' if n_chosen == n else n_chosen} of {n} SAEs"


def releases_of(catalog: Catalog) -> list[str]:
    """Releases that are there."""
    return sorted({spec.id.release for spec in catalog.specs})


def layers_of(catalog: Catalog) -> list[int]:
    """Layers that have an SAE."""
    return sorted({spec.site.layer for spec in catalog.specs})


def points_of(catalog: Catalog) -> list[str]:
    """Points that have an SAE."""
    return sorted({spec.site.point.value for spec in catalog.specs}, reverse=True)
