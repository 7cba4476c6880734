"""Save and export a study: one report, a bundle of tables, the command that makes it again."""

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from dashboard.analysis.methods.known import study as known_unknown
from dashboard.analysis.methods.known.causality import find_causality
from dashboard.analysis.methods.known.effects import Causality, Uncertainty
from dashboard.analysis.methods.known.results import EntityActivations, KnownUnknownStudy
from dashboard.analysis.methods.known.study_entities import STUDY, EntitiesAsk, ask_of
from dashboard.analysis.methods.known.wrong_answers import find_uncertainty
from dashboard.analysis.names import LatentId
from dashboard.analysis.studies.bundle import command_of, record_text
from dashboard.ui.known.report import report
from dashboard.ui.parts.made import shell
from dashboard.ui.shell.resources import get_store
from dashboard.ui.views import known
from dashboard.ui.views.known import PAGE


def downloads(study: KnownUnknownStudy, view: known.KnownView) -> None:
    """The report, the bundle and the record, made when they are asked for."""
    del view
    name = f"known-unknown-{study.key}"
    with st.container(horizontal=True):
        for label, make, ending, mime, tip in (
            ("Report, HTML", lambda: html_of(study), "html", "text/html", "Every figure in one file that opens offline."),
            ("Tables, ZIP", lambda: bundle_of(study), "zip", "application/zip", "CSV and Parquet: enough to redraw every figure."),
            ("Record, JSON", lambda: _record(study), "json", "application/json", "The settings the study was made with."),
        ):
            st.download_button(
                label, make, f"{name}.{ending}", mime, key=PAGE.key(ending), help=tip, icon=":material/download:", on_click="ignore"
            )
    parts = [name for name, found in zip(("causality", "uncertainty"), _parts(study), strict=True) if found is not None]
    st.caption(f"With the newest {' and '.join(parts)} of the study." if parts else "Causality and uncertainty have not been run yet.")
    st.markdown("**How this was made**")
    st.code(shell() + command(study), language="bash", wrap_lines=True)
    st.json(study.record.__dict__, expanded=1)


def html_of(study: KnownUnknownStudy) -> str:
    """The report, with the parts that were made."""
    store = get_store()

    def of(latent: LatentId) -> EntityActivations:
        return known_unknown.activations(store, study, (latent,))[0]

    return report(study, of, *_parts(study))


def bundle_of(study: KnownUnknownStudy) -> bytes:
    """Every table of the study and the report, packed."""
    packed = io.BytesIO()
    with TemporaryDirectory() as scratch, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        known_unknown.write_study(get_store(), study, Path(scratch))
        for file in sorted(Path(scratch).rglob("*")):
            if file.is_file():
                bundle.write(file, file.relative_to(scratch))
        bundle.writestr("report.html", html_of(study))
    return packed.getvalue()


def command(study: KnownUnknownStudy) -> str:
    """The shell command that makes the study again; thresholds without an option are in its record."""
    return f"{command_of(STUDY, asked(study))} --out=study-{study.key}"


def asked(study: KnownUnknownStudy) -> EntitiesAsk:
    """What was asked for."""
    return ask_of([one.name for one in study.ask.types], study.ask.saes, study.ask.settings)


def _parts(study: KnownUnknownStudy) -> tuple[Causality | None, Uncertainty | None]:
    return find_causality(get_store(), study.key), find_uncertainty(get_store(), study.key)


def _record(study: KnownUnknownStudy) -> str:
    made = STUDY.load(get_store(), study.key, asked(study))
    assert made is not None
    return record_text(STUDY, made)
