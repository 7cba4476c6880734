"""Cautions about an SAE on this model, shown on every page that uses it."""

from collections.abc import Iterable

import streamlit as st

from dashboard.analysis.names import ModelId, SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.ui.parts import figures
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import choice


def shown(catalog: Catalog, saes: Iterable[SaeId]) -> None:
    """One warning for all SAEs with the same caution."""
    for line in lines(catalog, saes, choice().id):
        st.warning(failures.plain(line), icon=":material/warning:")


def lines(catalog: Catalog, saes: Iterable[SaeId], model: ModelId) -> list[str]:
    """What is to be said, each with the measured FVU. SAEs that are not in the catalogue say nothing."""
    wanted = set(saes)
    found: dict[str, list[SaeSpec]] = {}
    for spec in catalog.specs:
        if spec.id in wanted and (said := spec.caution(model)):
            found.setdefault(said, []).append(spec)
    return [f"{_named(specs)}: {said} {_measured(specs)}" for said, specs in found.items()]


def _named(specs: list[SaeSpec]) -> str:
    return str(specs[0].id) if len(specs) == 1 else f"{len(specs)} SAEs of {', '.join(sorted({spec.id.release for spec in specs}))}"


def _measured(specs: list[SaeSpec]) -> str:
    known = sorted(value for spec in specs if (value := spec.measured("fvu")) is not None)
    if not known:
        return "Not measured yet: run `latents open` or use the page Models and SAEs."
    if len(specs) == 1:
        return f"Measured: FVU {figures.figure(known[0], 3)}."
    rest = f", not known of {len(specs) - len(known)}" if len(known) < len(specs) else ""
    return f"Measured: FVU {figures.figure(known[0], 3)} to {figures.figure(known[-1], 3)}{rest}."
