"""Which SAEs a search looks in, by release, layer and site <-> session and address bar, and the inputs for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import streamlit as st

from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell.glossary import TERMS

_MOST = 500
"""Of one kind in an address."""


class SourceKeys(NamedTuple):
    """Where a search keeps what is chosen."""

    releases: str
    layers: str
    points: str


@dataclass(frozen=True)
class Sources:
    """What is chosen; empty for all."""

    releases: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    points: tuple[str, ...] = ()

    @classmethod
    def read(cls, keys: SourceKeys) -> "Sources":
        """What this tab has."""
        kept = st.session_state
        return cls(tuple(kept[keys.releases]), tuple(sorted(kept[keys.layers])), tuple(kept[keys.points]))

    def keep(self, keys: SourceKeys) -> None:
        """This tab has it from now on."""
        for key, values in zip(keys, (self.releases, self.layers, self.points), strict=True):
            st.session_state[key] = list(values)

    def saes(self, catalog: Catalog) -> tuple[SaeId, ...]:
        """The SAEs that are chosen."""
        return tuple(
            spec.id
            for spec in catalog.specs
            if (not self.releases or spec.id.release in self.releases)
            and (not self.layers or spec.site.layer in self.layers)
            and (not self.points or spec.site.point.value in self.points)
        )

    def in_url(self) -> dict[str, list[str]]:
        """As the address bar has it."""
        lists = {"release": self.releases, "layer": self.layers, "site": self.points}
        return {name: [str(value) for value in values] for name, values in lists.items() if values}


def from_url(url: Mapping[str, list[str]], catalog: Catalog) -> tuple[Sources, list[str]]:
    """What an address chooses, and what of it is not there, for people."""
    problems: list[str] = []

    def several(name: str, choices: Sequence[str]) -> tuple[str, ...]:
        asked = dict.fromkeys(url.get(name, [])[:_MOST])
        if wrong := [text[:20] for text in asked if text not in choices]:
            problems.append(f"{name}={wrong[0]!r} is none of {', '.join(choices)}.")
        return tuple(text for text in asked if text in choices)

    layers = several("layer", [str(layer) for layer in layers_of(catalog)])
    return Sources(several("release", releases_of(catalog)), tuple(map(int, layers)), several("site", points_of(catalog))), problems


def inputs(catalog: Catalog, keys: SourceKeys, on_change: Callable[[], None]) -> None:
    """Pills for what there is more than one of; layers always."""
    shared: dict[str, Any] = {"selection_mode": "multi", "on_change": on_change, "persist_state": "session"}
    if len(releases := releases_of(catalog)) > 1:
        st.pills("Releases (none chosen: all)", releases, key=keys.releases, **shared)
    st.pills("Layers (none chosen: all)", layers_of(catalog), key=keys.layers, help=TERMS["site"], **shared)
    if len(points := points_of(catalog)) > 1:
        st.pills("Sites (none chosen: all)", points, key=keys.points, **shared)


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
