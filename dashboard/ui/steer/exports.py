"""Save and export a comparison."""

import json
from typing import Any

import streamlit as st

from components.data import Scale, WrittenText
from components.generation_pair import pair_data
from components.pages import one_component as standalone
from dashboard.analysis.methods.steering import comparison as steering
from dashboard.analysis.methods.steering.comparison import Comparison, SteeringAsk
from dashboard.analysis.studies.record import RunRecord, key_of, make_record
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_catalog, get_engine, get_store
from dashboard.ui.views.steer import PAGE


def downloads(ask: SteeringAsk, found: Comparison, drawn: tuple[WrittenText, WrittenText, Scale | None]) -> None:
    """Save the run, or download it as HTML or JSON."""
    card = get_engine().describe()
    record = make_record("steer", ask.plain_data(), card, get_catalog(), ask.saes, None)
    name = f"steer-{key_of(record)}"
    with st.container(horizontal=True):
        if st.button(
            "Save this run",
            key=PAGE.key("save"),
            icon=":material/bookmark:",
            help="Save it on this machine with a record of how it was made.",
        ):
            key = get_store().save(record, steering.report(ask, found, record))
            st.toast(failures.plain(f"Saved as steer/{key}"))
        for label, make, ending, mime, tip in (
            ("HTML", lambda: _html(ask, found, drawn, record), "html", "text/html", "One file that opens offline."),
            ("JSON", lambda: _json(steering.report(ask, found, record)), "json", "application/json", "The output of latents steer --json."),
            (
                "Neuronpedia JSON",
                lambda: _json(steering.neuronpedia(ask, found, record.model)),
                "neuronpedia.json",
                "application/json",
                "Request and response as in Neuronpedia's steering API.",
            ),
        ):
            key = PAGE.key(f"download {ending}")
            st.download_button(label, make, f"{name}.{ending}", mime, key=key, help=tip, icon=":material/download:", on_click="ignore")
    with st.expander("How this was made"):
        st.code(steering.command(ask, record.dtype), language="bash", wrap_lines=True)
        st.json(record.__dict__, expanded=False)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)


def _html(ask: SteeringAsk, found: Comparison, drawn: tuple[WrittenText, WrittenText, Scale | None], record: RunRecord) -> str:
    data = pair_data(ask.prompt.text, *drawn, first_difference=steering.first_difference(found.plain.ids, found.steered.ids))
    edits = "\n".join(f"{entry['edit']} on {entry['where']}" for entry in record.ask["edits"]) or "none"
    drawing = ask.sampling
    sampling = f"{drawing.max_new_tokens} tokens, temperature {drawing.temperature:g}, top-p {drawing.top_p:g}, seed {drawing.seed}"
    lines = [
        ("Edits", edits),
        ("Sampling", sampling),
        ("Model", f"{record.model}, {record.dtype} on {record.device}"),
        ("SAEs", "\n".join(f"{sae}  {digest}" for sae, digest in record.saes.items()) or "none"),
        (
            "Made",
            f"{record.created}, version {record.code}, " + ", ".join(f"{name} {version}" for name, version in record.libraries.items()),
        ),
        ("Again", steering.command(ask, record.dtype)),
    ]
    return standalone.page("generation_pair", data, "Plain and steered", lines)
