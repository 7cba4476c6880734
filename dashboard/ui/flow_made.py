"""What the panels of the flow on text start: the job, the record of what makes it, and the command that makes it again.

Equal work is done once: a job that is done or under way is found by its key, also from another tab.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.record import RunRecord, key_of, make_record
from dashboard.ui.parts import clicks as kept
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import choice, get_catalog, get_engine, get_jobs

_POLL_S = 1.5


@dataclass(frozen=True)
class Plan:
    """One study of a panel, as its inputs stand."""

    kind: str
    """Of its record: flow origins ..."""
    about: str
    """What it is of, in a few words for people."""
    ask: Mapping[str, Any]
    """Plain data: everything that the result depends on, but the model and the dictionaries."""
    saes: tuple[SaeId, ...]
    command: str
    """Makes it again in a shell."""
    total: int
    """How much there is to do, in the panel's own unit."""
    steps: Callable[[StudyRunner], Iterator[Any]]

    def record(self) -> RunRecord:
        """What it is made with."""
        return make_record(self.kind, dict(self.ask), get_engine().describe(), get_catalog(), self.saes, None)


def command(words: Sequence[str], options: Mapping[str, object], before: str = "") -> str:
    """A command of the shell; an option that is None or empty is left out, True stands for itself, a list is repeated."""
    said = ["latents", *words]
    for name, value in options.items():
        if value is True:
            said.append(name)
        elif value is not None and value is not False and value != "" and value != []:
            # An equals sign: a value may begin with a dash.
            said += [f"{name}={shlex.quote(str(one))}" for one in (value if isinstance(value, list) else [value])]
    return before + " ".join(said)


def shell() -> str:
    """What stands before a command so that it has this tab's model, in the same arithmetic."""
    own = choice()
    model = f"LATENTS_MODEL={shlex.quote(own.given)} " if own.given else ""
    bos = "" if own.bos else "LATENTS_BOS=0 "
    return f"{model}{bos}LATENTS_DTYPE={get_engine().describe().dtype} "


def commas(values: Sequence[object]) -> str:
    """Values as an option takes them."""
    return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)


def settle(panel: str, plan: Callable[[], Plan], started: bool) -> None:
    """Give the panel its job: a new one when it is started, and in a tab that has none the one of equal settings, if there is one.

    Raises:
        AnalysisError: if it is started and its inputs are wrong.
    """
    if started:
        _start(panel, plan())
    elif kept.job(panel) is None:
        with suppress(AnalysisError):  # inputs that nobody has sent
            wanted = plan()
            if found := get_jobs().find(key_of(wanted.record())):
                kept.keep_job(panel, found.id, wanted)


def _start(panel: str, plan: Plan) -> None:
    jobs, engine, key = get_jobs(), get_engine(), key_of(plan.record())
    assert isinstance(engine, Engine)
    found = jobs.find(key)
    earlier = kept.own_job(panel)
    if earlier and (found is None or found.id != earlier):
        with suppress(AnalysisError):  # forgotten already
            jobs.cancel(earlier)
    if found is None:
        study = StudyRunner(engine)
        id = jobs.submit(f"{plan.kind}: {plan.about}", plan.total, partial(plan.steps, study), study.stop, key)
    else:
        id = found.id
    kept.keep_job(panel, id, plan, own=found is None or found.id == earlier)


def watch(panel: str, counted: str, draw: Callable[[Any], None]) -> None:
    """The panel's job as it comes: what it is of, how far it is, a way to stop it, what there is, and how it was made."""
    id, plan = kept.job(panel), kept.plan(panel)
    if id is None:
        return
    try:
        going = not get_jobs().get(id).state.ended
    except AnalysisError:  # the dashboard has done much else since
        kept.forget_job(panel)
        return

    @st.fragment(run_every=_POLL_S if going else None)
    def show() -> None:
        job = get_jobs().get(id)
        if plan is not None:
            st.markdown(f"**{failures.plain(plan.about)}**")
        if not job.state.ended:
            bar, cancel = st.columns([5, 1], vertical_alignment="center")
            bar.progress(min(1.0, job.done / max(1, job.total)), text=f"{job.state.value}: {job.done} of {job.total} {counted}")
            cancel.button("Cancel", key=kept.key(panel, "cancel"), on_click=get_jobs().cancel, args=(id,), icon=":material/close:")
        elif going:
            st.rerun()
        elif job.error:
            st.error(failures.plain(job.error), icon=":material/error:")
        elif job.latest is None or job.done < job.total:
            st.caption(f"{job.state.value}: {job.done} of {job.total} {counted}.")
        if job.latest is not None:
            with failures.shown():
                draw(job.latest)
        if plan is not None and job.state.ended:
            _made(panel, plan, job.created)

    show()


def _made(panel: str, plan: Plan, created: str) -> None:
    with st.expander(f"How this was made: {plan.kind}", key=kept.key(panel, "made"), on_change="rerun") as made:
        if made.open:
            st.code(plan.command, language="bash", wrap_lines=True)
            st.json(replace(plan.record(), created=created).__dict__, expanded=False)
