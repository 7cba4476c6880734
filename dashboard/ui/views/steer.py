"""Typed state of the steer page <-> session and address bar. With `state.py`, the only place where keys are spelt."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dashboard.analysis.asks.edits import Intervention, NamedVector, Unit, Where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.file import read_index
from dashboard.analysis.methods.steering.comparison import SteeringAsk, Written, ask_of
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt, TokenSpan
from dashboard.ui.shell.tab import note_change
from dashboard.ui.views.steer_presets import Preset

PROMPT, CHAT, WHERE, START, END = "steer_prompt", "steer_chat", "steer_where", "steer_start", "steer_end"
TOKENS, TEMPERATURE, TOP_P, SEED, SHADE = "steer_tokens", "steer_temperature", "steer_top_p", "steer_seed", "steer_shade"
PAIR, ACTIVE, ADD_NAME, ADD_SAE, UPLOAD, UPLOAD_SITE = (
    "pair",
    "steer_active",
    "steer_add_name",
    "steer_add_sae",
    "steer_upload",
    "steer_upload_site",
)
TAB, SWEEP_FORM, SWEEP_RANGE, SWEEP_STEPS, SWEEP_SEEDS, SWEEP_HOW = (
    "steer_tab", "sweep_form", "sweep_range", "sweep_steps", "sweep_seeds", "sweep_how",
)  # fmt: skip
SWEEP_RULE, SWEEP_TEXT, SWEEP_WORD, SWEEP_CANCEL, SWEEP_FIGURE = "sweep_rule", "sweep_text", "sweep_word", "sweep_cancel", "sweep_figure"
OPEN_RUN, DOWNLOAD, SUM_NAME = "open_run", "download", "steer_sum_name"
PROMPT_STRIP, ADD_FORM = "prompt_strip", "steer_add_form"
SPAN, FROM = "span", "from"
WHERES = {
    Where.EVERYWHERE.value: "everywhere",
    Where.PROMPT.value: "prompt",
    Where.GENERATED.value: "new tokens",
    FROM: "from a token on",
    SPAN: "a span",
}
MAX_EDITS = 8
ROWS, PICKED, _STOPPED, _PARTIAL, _SUBSETS, _JOB = (
    "steer_rows", "steer_picked", "steer_stopped", "steer_partial", "steer_subsets", "steer_job",
)  # fmt: skip
_numbers = itertools.count()


@dataclass(frozen=True)
class Row:
    """One edit in the list; its widgets are keyed by its number, which no other row ever gets."""

    number: int
    direction: str

    def key(self, field: str) -> str:
        """The key of one of its widgets: op, unit, amount, slider."""
        return f"steer_{field}_{self.number}"


@dataclass(frozen=True)
class SteerState:
    """Everything that the steer page shows."""

    ask: SteeringAsk
    picked: tuple[str, int] | None
    """The token that was clicked: `plain` or `steered`, and its index among the new ones."""
    shade: LatentId | None
    """The latent that shades both texts."""
    rows: tuple[Row, ...]
    """Those of the ask's interventions, in their order."""
    place: Where | TokenSpan
    """Which tokens are edited."""
    problems: tuple[str, ...]
    """What cannot be used, and is left out."""


def rows() -> tuple[Row, ...]:
    """The edits of this tab, in order."""
    return st.session_state[ROWS]


def steer_state(catalog: Catalog, vectors: dict[str, NamedVector]) -> SteerState:
    """The state of this tab.

    Raises:
        AnalysisError: if the sampling is not possible.
    """
    kept = st.session_state
    where = _where()
    usable: dict[Row, Intervention] = {}
    problems: list[str] = []
    for row in rows():
        try:
            edit = Intervention.parse(f"{row.direction}:{kept[row.key('op')]}:0:{kept[row.key('unit')]}", where, vectors)
            usable[row] = replace(edit, amount=float(kept[row.key("amount")]))
        except AnalysisError as error:
            problems.append(str(error))
    sampling = Sampling(int(kept[TOKENS]), float(kept[TEMPERATURE]), float(kept[TOP_P]), int(kept[SEED]))
    shade = None
    try:
        shade = catalog.latent(LatentId.parse(kept[SHADE])) if kept[SHADE] else None
    except AnalysisError as error:
        problems.append(str(error))
    ask = SteeringAsk(Prompt(kept[PROMPT], kept[CHAT]), tuple(usable.values()), sampling)
    return SteerState(ask, kept[PICKED], shade, tuple(usable), where, tuple(problems))


def _where() -> Where | TokenSpan:
    kept = st.session_state
    if kept[WHERE] == FROM:
        return TokenSpan(int(kept[START]))
    if kept[WHERE] == SPAN:
        return TokenSpan(int(kept[START]), max(int(kept[START]) + 1, int(kept[END])))
    return Where(kept[WHERE])


def use_preset(preset: Preset) -> None:
    """Callback: go to a preset."""
    note_change()
    take(preset.ask)


def take(ask: SteeringAsk) -> None:
    """Show an ask that comes from elsewhere: a preset, a saved run."""
    kept = st.session_state
    clear()
    kept[PROMPT], kept[CHAT] = ask.prompt.text, ask.prompt.chat
    kept[TOKENS], kept[TEMPERATURE] = ask.sampling.max_new_tokens, ask.sampling.temperature
    kept[TOP_P], kept[SEED] = ask.sampling.top_p, ask.sampling.seed
    for edit in ask.interventions:
        append(edit)
    show_where(ask.interventions[0].where if ask.interventions else Where.EVERYWHERE)


def add_named(catalog: Catalog, vectors: dict[str, NamedVector]) -> str | None:
    """Callback-free adding from the name box; returns what was wrong with it."""
    text = str(st.session_state[ADD_NAME]).strip()
    return try_add(text, catalog, vectors) if text else None


def add_active(catalog: Catalog) -> None:
    """Callback of the list of active latents."""
    note_change()
    component = st.session_state[ACTIVE]
    if name := component.get("shown") or component.get("pinned"):
        try_add(str(name), catalog, {})


def remove(row: Row) -> None:
    """Callback: take an edit away."""
    note_change()
    st.session_state[ROWS] = tuple(other for other in rows() if other != row)


def slid(row: Row) -> None:
    """Callback of a slider: the number box follows."""
    changed()
    st.session_state[row.key("amount")] = float(st.session_state[row.key("slider")])


def typed(row: Row, limit: float) -> None:
    """Callback of a number box: the slider follows as far as it goes."""
    changed()
    st.session_state[row.key("slider")] = max(-limit, min(limit, float(st.session_state[row.key("amount")])))


def other_unit(row: Row) -> None:
    """Callback: an amount means something else in another unit, so it starts anew."""
    changed()
    amount = first_amount(Unit(st.session_state[row.key("unit")]))
    st.session_state[row.key("amount")] = st.session_state[row.key("slider")] = amount


def changed() -> None:
    """Callback of every other input: what was picked or stopped belongs to the text before."""
    note_change()
    st.session_state[PICKED] = st.session_state[_STOPPED] = None


def pick() -> None:
    """Callback of the two texts: choose a token."""
    note_change()
    if picked := st.session_state[PAIR].get("picked"):
        st.session_state[PICKED] = (str(picked["side"]), int(picked["index"]))


def edit_from(position: int) -> None:
    """Callback: edit from a token on, counted from 0 with the begin token."""
    changed()
    st.session_state[WHERE], st.session_state[START] = FROM, position


def pick_place() -> None:
    """Callback of the prompt's tokens: edit from here on; or a span, whose start is the first click and whose end the second."""
    picked = st.session_state[PROMPT_STRIP].get("picked")
    if picked is None:
        return
    position, kept = int(picked), st.session_state
    changed()
    is_fresh = kept[END] == kept[START] + 1
    if kept[WHERE] == SPAN and is_fresh and position > kept[START]:
        kept[END] = position + 1
    else:
        kept[START], kept[END] = position, position + 1


def stop() -> None:
    """Callback: keep what has been written."""
    note_change()
    st.session_state[_STOPPED] = st.session_state.get(_PARTIAL)


def keep_partial(ask: SteeringAsk, texts: dict[str, Written]) -> None:
    """Remember how far both texts are, for the case that they are stopped."""
    st.session_state[_PARTIAL] = (ask, texts)


def stopped(ask: SteeringAsk) -> dict[str, Written] | None:
    """The texts as they were when this very ask was stopped."""
    kept = st.session_state.get(_STOPPED)
    return kept[1] if kept is not None and kept[0] == ask else None


def open_run(data: dict[str, Any], vectors: VectorFolder, model: str) -> None:
    """Callback: go to a saved run. Its vectors come back with it, under another name where theirs means something else now."""
    note_change()
    ask = ask_of(data)
    edits: list[Intervention] = []
    for edit in ask.interventions:
        if isinstance(edit.direction, NamedVector):
            edit = replace(edit, direction=vectors.restore(edit.direction, model))
        edits.append(edit)
    take(replace(ask, interventions=tuple(edits)))


def keep_subsets(ask: SteeringAsk, table: list[dict[str, Any]]) -> None:
    """Remember the table of subsets of an ask."""
    st.session_state[_SUBSETS] = (ask, table)


def subsets_of(ask: SteeringAsk) -> list[dict[str, Any]]:
    """The table of subsets of this very ask, if it has been made."""
    kept = st.session_state.get(_SUBSETS)
    return kept[1] if kept and kept[0] == ask else []


def keep_job(job_id: str) -> None:
    """Remember the dose response that this tab started last."""
    st.session_state[_JOB] = job_id


def job() -> str | None:
    """The dose response that this tab started last."""
    return st.session_state.get(_JOB)


def limit_of(unit: Unit) -> float:
    """Where a slider ends; the number box goes further."""
    return {Unit.RAW: 400.0, Unit.MAX: 8.0, Unit.NORM: 2.0}[unit]


def first_amount(unit: Unit) -> float:
    """A strength that is usually seen in the text and does not yet break it."""
    return {Unit.RAW: 40.0, Unit.MAX: 2.0, Unit.NORM: 0.4}[unit]


def try_add(text: str, catalog: Catalog, vectors: dict[str, NamedVector]) -> str | None:
    try:
        edit = Intervention.parse(text if ":" in text else f"{text}:add:0.4:norm", vectors=vectors)
        if isinstance(edit.direction, LatentId):
            spec = catalog.get(catalog.latent(edit.direction).sae)
            if ":" not in text:
                edit = replace(edit, **_best_unit(spec, edit.direction))
        if len(rows()) >= MAX_EDITS:
            return f"{len(rows())} edits are on already; take one away first."
        append(edit)
    except AnalysisError as error:
        return str(error)
    return None


def _best_unit(spec: Any, latent: LatentId) -> dict[str, Any]:
    """The latent's own maximum where it is known."""
    try:
        read_index(spec).maximum_of(latent)
    except AnalysisError:
        return {"unit": Unit.NORM, "amount": first_amount(Unit.NORM)}
    return {"unit": Unit.MAX, "amount": first_amount(Unit.MAX)}


def append(edit: Intervention) -> None:
    row = Row(next(_numbers), str(edit.direction))
    kept = st.session_state
    kept[ROWS] = (*kept.get(ROWS, ()), row)
    kept[row.key("op")], kept[row.key("unit")] = edit.op.value, edit.unit.value
    limit = limit_of(edit.unit)
    kept[row.key("amount")], kept[row.key("slider")] = edit.amount, max(-limit, min(limit, edit.amount))
    kept[PICKED] = kept[_STOPPED] = None


def show_where(where: Where | TokenSpan) -> None:
    kept = st.session_state
    if isinstance(where, Where):
        kept[WHERE] = where.value
    else:
        kept[WHERE] = FROM if where.end is None else SPAN
        kept[START], kept[END] = where.start, where.end or where.start + 1


def clear() -> None:
    kept = st.session_state
    standard = Sampling()
    kept[ROWS], kept[PICKED], kept[_STOPPED], kept[SHADE] = (), None, None, ""
    kept[PROMPT], kept[CHAT], kept[WHERE], kept[START], kept[END] = "", False, Where.EVERYWHERE.value, 0, 1
    kept[TOKENS], kept[TEMPERATURE], kept[TOP_P], kept[SEED] = 48, standard.temperature, standard.top_p, standard.seed
