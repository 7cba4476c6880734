"""How a result was made: the command that makes it again, its record, and the result as files."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard.analysis.studies.bundle import command_of, csv_of, record_text
from dashboard.analysis.studies.study import Made, Study
from dashboard.ui.shell.report import report
from dashboard.ui.shell.resources import choice, get_engine

Figures = Callable[[Any], Mapping[str, go.Figure]]
"""Figures of a result, by title, for its report."""


def shell() -> str:
    """What precedes a command so that it has this tab's model, in the same arithmetic."""
    own = choice()
    model = f"LATENTS_MODEL={shlex.quote(own.given)} " if own.given else ""
    bos = "" if own.bos else "LATENTS_BOS=0 "
    return f"{model}{bos}LATENTS_DTYPE={get_engine().describe().dtype} "


def how(study: Study[Any, Any], made: Made[Any, Any], name: str, figures: Figures | None = None) -> None:
    """A box with the command, the record and the downloads of a result; `name` begins the keys."""
    with st.expander(f"How this was made: {study.kind}", key=f"{name}_made", on_change="rerun") as box:
        if not box.open:
            return
        command = command_of(study, made.ask)
        reads = "".join(f"# {file}: {len(text.splitlines())} lines, below\n" for file, text in command.files.items())
        st.code(f"{reads}{shell()}{command}", language="bash", wrap_lines=True)
        st.json(made.record.__dict__, expanded=False)
        with st.container(horizontal=True):
            _files(study, made, name, command.files, figures)


def _files(study: Study[Any, Any], made: Made[Any, Any], name: str, reads: Mapping[str, str], figures: Figures | None) -> None:
    stem = study.kind.replace(" ", "-")

    def page() -> str:
        return report(study, made, figures(made.result) if figures else None)

    _download("Report", f"{stem}.html", "text/html", f"{name}_report", page)
    for table, rows in study.tables(made).items():
        _download(f"{table}.csv", f"{stem}-{table}.csv", "text/csv", f"{name}_csv_{table}", lambda rows=rows: csv_of(rows))
    _download("Record", f"{stem}.json", "application/json", f"{name}_record", lambda: record_text(study, made))
    for file, text in reads.items():
        _download(file, file, "text/plain", f"{name}_file_{file}", lambda text=text: text)


def _download(label: str, file: str, mime: str, key: str, make: Callable[[], str]) -> None:
    st.download_button(label, lambda: make().encode("utf-8"), file, mime, key=key, icon=":material/download:", on_click="ignore")
