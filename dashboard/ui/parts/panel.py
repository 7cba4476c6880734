"""The panel of a study: start, join, watch and cancel it; point out stale inputs; draw its result and how it was made.

Equal work is done once: a result that is kept, or a job that is done or under way, is found by its key, also from another
tab and after a restart. A job belongs to the tab that started it: one click cancels it there; other tabs must confirm.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.studies.jobs import Job, JobState
from dashboard.analysis.studies.study import Made, Study, submit
from dashboard.ui.parts import made as how_made
from dashboard.ui.parts import notices
from dashboard.ui.parts.made import Figures
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_bench, get_engine, get_jobs, get_result

A = TypeVar("A")
R = TypeVar("R")
_POLL_S = 1.5


@dataclass(frozen=True)
class Shown:
    """What a panel of this tab shows."""

    ask: Any
    key: str
    job: str | None
    """None: found in the store."""
    own: bool
    """True if this tab started the job."""


def panel(
    study: Study[A, R],
    name: str,
    ask: Callable[[], A],
    started: bool,
    draw: Callable[[R], None],
    secrets: Mapping[str, str] | None = None,
    figures: Figures | None = None,
) -> None:
    """One study of a page. `name` begins every key; `started` is the button of the form whose inputs `ask` reads.

    Args:
        draw: Draws the results so far; called again as more arrive.
        secrets: See `Bench.secrets`.
        figures: Of the report.

    Raises:
        AnalysisError: if it is started and its inputs are wrong.
    """
    if started:
        _start(study, name, ask(), secrets)
    elif shown(name) is None:
        with suppress(AnalysisError):  # inputs that nobody has sent
            _settle(study, name, ask())
    _others(study, name)
    if (now := shown(name)) is None:
        return
    with suppress(AnalysisError):  # inputs that nobody has sent
        wanted = ask()
        if wanted != now.ask:
            _stale(study, name, wanted, secrets)
    if said := st.session_state.pop(f"{name}_said", ""):
        st.caption(failures.plain(said))
    _watch(study, name, now, draw, figures)


def follow(study: Study[A, R], name: str, take: Callable[[Made[A, R]], None], ask: A | None = None) -> None:
    """One study of a page that shows results by their key: it is started with `ask`, watched, and what it has found is given to
    `take`, once. `name` begins every key.

    Raises:
        AnalysisError: if it is started and cannot be asked.
    """
    if ask is not None:
        _start(study, name, ask, None)
    _others(study, name)
    if (now := shown(name)) is None:
        return
    if said := st.session_state.pop(f"{name}_said", ""):
        notices.say(said)
    job = _job(now.job)
    if job is not None and not job.state.ended:
        _until_it_ends(study, name, job.id, now.own)
        return
    _show(name, None)
    made = get_result(study, now.key, now.ask) if job is None else getattr(job.latest, "made", None)
    if made is not None:
        take(made)
    elif job is not None and job.error:
        st.error(failures.plain(job.error), icon=":material/error:")
    elif job is not None:
        said = f"Cancelled at {job.done / max(1, job.total):.0%}. Finished parts are kept; run it again to resume."
        st.info(failures.plain(said), icon=":material/pause:")


def _until_it_ends(study: Study[Any, Any], name: str, id: str, own: bool) -> None:
    @st.fragment(run_every=_POLL_S)
    def show() -> None:
        job = _job(id)
        if job is None or job.state.ended:
            st.rerun()
        _bar(study, name, job, own)

    show()


def start(study: Study[A, R], name: str, ask: A) -> None:
    """Start a study from elsewhere on the page than its panel.

    Raises:
        AnalysisError: if it cannot be asked.
    """
    _start(study, name, ask, None)


def is_going(study: Study[Any, Any]) -> bool:
    """True while one of its kind waits or runs, in any tab."""
    return any(job.title.startswith(f"{study.kind}: ") and not job.state.ended for job in get_jobs().list())


def shown(name: str) -> Shown | None:
    """What a panel shows."""
    return st.session_state.get(f"{name}_job")


def _show(name: str, wanted: Shown | None) -> None:
    st.session_state[f"{name}_job"] = wanted


def _start(study: Study[Any, Any], name: str, ask: Any, secrets: Mapping[str, str] | None) -> None:
    bench, jobs, earlier = get_bench(secrets), get_jobs(), shown(name)
    key = study.key(bench, ask)
    if earlier and earlier.own and earlier.job and earlier.key != key:
        with suppress(AnalysisError):  # forgotten already
            jobs.cancel(earlier.job)
    if (kept := get_result(study, key, ask)) is not None:
        st.session_state[f"{name}_said"] = f"Already computed on {_moment(kept.record.created)}; showing the stored result."
        _show(name, Shown(ask, key, None, False))
        return
    under_way = jobs.find(key)
    if under_way is not None and not under_way.state.ended:
        st.session_state[f"{name}_said"] = f"Already running since {_clock(under_way.created)}; progress below."
    runner = StudyRunner(get_engine())
    id = submit(study, bench, jobs, ask, runner, runner.stop)
    joined = under_way is not None and under_way.id == id
    _show(name, Shown(ask, key, id, not joined or (earlier is not None and earlier.own and earlier.job == id)))


def _settle(study: Study[Any, Any], name: str, ask: Any) -> None:
    """Show the result or the job of equal inputs, if there is one."""
    key = study.key(get_bench(), ask)
    found = get_jobs().find(key)
    if get_result(study, key, ask) is not None:
        _show(name, Shown(ask, key, None, False))
    elif found is not None:
        _show(name, Shown(ask, key, found.id, False))


def _stale(study: Study[Any, Any], name: str, wanted: Any, secrets: Mapping[str, str] | None) -> None:
    line, button = st.columns([4, 1], vertical_alignment="center")
    line.caption("Inputs changed; the results below were made with the earlier ones.")
    if button.button("Update", key=f"{name}_update", icon=":material/refresh:"):
        _start(study, name, wanted, secrets)
        st.rerun()


def _watch(study: Study[Any, Any], name: str, now: Shown, draw: Callable[[Any], None], figures: Figures | None) -> None:
    job = _job(now.job)
    if job is None:
        kept = get_result(study, now.key, now.ask)
        if kept is None:  # the job was forgotten before it ended well
            _show(name, None)
            return
        _title(study, now)
        _draw(kept.result, draw)
        how_made.how(study, kept, name, figures)
        return
    going = not job.state.ended

    @st.fragment(run_every=_POLL_S if going else None)
    def show() -> None:
        job = get_jobs().get(str(now.job))
        _title(study, now)
        if not job.state.ended:
            _bar(study, name, job, now.own)
        elif going:
            st.rerun()
        elif job.error:
            st.error(failures.plain(job.error), icon=":material/error:")
        elif job.state is JobState.CANCELLED:
            said = f"Cancelled at {job.done} of {job.total} {study.unit}. Finished parts are kept; run it again to resume."
            st.caption(failures.plain(said))
        result = getattr(job.latest, "result", None)
        made: Made[Any, Any] | None = getattr(job.latest, "made", None)
        if result is not None:
            _draw(result, draw)
        if made is not None:
            how_made.how(study, made, name, figures)

    show()


def _draw(result: Any, draw: Callable[[Any], None]) -> None:
    with failures.shown():
        draw(result)


def _title(study: Study[Any, Any], now: Shown) -> None:
    st.markdown(f"**{failures.plain(study.title(now.ask))}**")


def _job(id: str | None) -> Job | None:
    with suppress(AnalysisError):  # the dashboard has done much else since
        return get_jobs().get(id) if id else None
    return None


def _bar(study: Study[Any, Any], name: str, job: Job, own: bool) -> None:
    """How far a job is, and a way to stop it."""
    bar, cancel = st.columns([5, 1], vertical_alignment="center")
    words = getattr(job.latest, "words", "") or f"{job.done} of {job.total} {study.unit}"
    if job.state is JobState.QUEUED:
        ahead = [one for one in get_jobs().list() if one.lane == job.lane and not one.state.ended and one.created < job.created]
        words = f"{len(ahead)} ahead in the queue" if ahead else "starting"
    bar.progress(min(1.0, job.done / max(1, job.total)), text=failures.plain(f"{job.state.value}: {words}"))
    with cancel:
        _cancel(name, job, own)


def _cancel(name: str, job: Job, own: bool) -> None:
    stop = get_jobs().cancel
    if own:
        st.button("Cancel", key=f"{name}_cancel", on_click=stop, args=(job.id,), icon=":material/close:")
        return
    with st.popover("Cancel", icon=":material/close:"):
        st.markdown("Another window may be waiting for it. Finished parts are kept.")
        st.button("Cancel for everyone", key=f"{name}_cancel_{job.id}", on_click=stop, args=(job.id,))


def _others(study: Study[Any, Any], name: str) -> None:
    """Studies of this kind that other windows have started."""
    now = shown(name)

    def theirs() -> list[Job]:
        whole = [job for job in get_jobs().list() if job.title.startswith(f"{study.kind}: ") and not job.state.ended]
        return [job for job in reversed(whole) if now is None or job.id != now.job]

    if not theirs():
        return

    @st.fragment(run_every=_POLL_S)
    def show() -> None:
        going = theirs()
        for job in going:
            st.caption(failures.plain(f"{job.title}, started in another window at {_clock(job.created)}"))
            _bar(study, f"{name}_other", job, own=False)
        if not going:
            st.rerun()

    show()


def _moment(created: str) -> str:
    return f"{created[:10]} at {_clock(created)}"


def _clock(created: str) -> str:
    return f"{created[11:16]} UTC"
