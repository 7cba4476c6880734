"""Any study as one HTML file that opens without a network: what was asked and found, its figures and tables, what made it."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from components.pages.report import Section, page
from dashboard.analysis.studies.bundle import command_of, record_text
from dashboard.analysis.studies.study import Made, Study


def report(study: Study[Any, Any], made: Made[Any, Any], figures: Mapping[str, go.Figure] | None = None) -> str:
    """The page. Nothing is loaded; only what is written here may run."""
    head = Section(study.title(made.ask), "\n".join([study.about, *study.notes(made)]))
    drawn = [Section(name, figure=figure) for name, figure in (figures or {}).items()]
    tables = [Section(name, tables=(("", rows),)) for name, rows in study.tables(made).items()]
    records = {"command": str(command_of(study, made.ask)), study.kind: record_text(study, made)}
    return page(study.kind, [head, *drawn, *tables], records)
