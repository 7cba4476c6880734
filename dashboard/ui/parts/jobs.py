"""Work that this page starts: joined where equal work is under way, watched wherever it was started, ended by whoever is sure.

A job belongs to the window that started it: there its result is shown, and one click cancels it. Other windows see how far
it is; they can cancel it too, after a warning, and stay on what they look at.
"""

from collections.abc import Callable, Iterator
from typing import Any

import streamlit as st

from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.known.results import TOTAL
from dashboard.analysis.studies.jobs import Job, JobState
from dashboard.analysis.studies.record import RunRecord
from dashboard.ui.parts import notices
from dashboard.ui.shell import failures
from dashboard.ui.shell.resources import get_engine, get_jobs

TITLE = "known or unknown"
"""Jobs of this page begin with it."""
CANCEL = "known_cancel"
STUDY = "study"
CAUSALITY, UNCERTAINTY = "causality", "uncertainty"
_OTHERS, _JOB = "others", "known:job"
_POLL_S = 0.7


def start(name: str, title: str, steps: Callable[[StudyRunner], Iterator[Any]], key: str = "") -> None:
    """Begin a job and remember it; equal work that is under way, by its `key`, is watched instead."""
    queue = get_jobs()
    under_way = queue.find(key)
    if under_way is not None and not under_way.state.ended:
        whose = "This" if under_way.id in own_jobs() else "Another"
        notices.say(f"{whose} window started the very same at {_clock(under_way.created)}: you see how far that is.")
        return
    runner = StudyRunner(get_engine())
    keep_job(name, queue.submit(f"{TITLE}: {title}", TOTAL, lambda: steps(runner), runner.stop, key))


def watch(name: str, on_done: Callable[[Any, Job], None]) -> None:
    """How far this window's job is, with a cancel; when it has ended the page is drawn anew and `on_done` gets its result."""
    if (id := own_job(name)) is None:
        return
    try:
        job = get_jobs().get(id)
    except AnalysisError:  # the dashboard has done much else since
        forget_job(name)
        return
    if not job.state.ended:
        _drawn_while_it_runs(name, (job.id,))
        return
    forget_job(name)
    result = getattr(job.latest, "study", None) or getattr(job.latest, "result", None)
    if job.error:
        st.error(failures.plain(job.error), icon=":material/error:")
    elif result is not None:
        on_done(result, job)
    else:
        said = f"Cancelled at {job.done / TOTAL:.0%}. Every part that was finished is kept: run it again to go on from the last one."
        st.info(failures.plain(said), icon=":material/pause:")


def watch_others() -> None:
    """How far the jobs of other windows are."""
    mine = own_jobs()
    others = [job.id for job in get_jobs().list() if _is_ours(job) and not job.state.ended and job.id not in mine]
    if others:
        _drawn_while_it_runs(_OTHERS, tuple(reversed(others)))


def how_to_get_it() -> str:
    """What to do for a first study, or that one is being made."""
    if any(_is_ours(job) and not job.state.ended for job in get_jobs().list()):
        return "A study is being made: it stands here when it is done."
    return "Run the preview above: it takes about a minute."


def stored(record: RunRecord, job: Job) -> None:
    """Say so if a job found its result made before it began."""
    if record.created < job.created:
        say_stored(record)


def say_stored(record: RunRecord) -> None:
    """The line about a result that was found and not made."""
    notices.say(f"The very same was made on {day_and_clock(record.created)}: the stored result is shown, and the model was asked nothing.")


def day_and_clock(created: str) -> str:
    """A moment as the store keeps it, for people."""
    return f"{created[:10]} at {_clock(created)}"


def _clock(created: str) -> str:
    return f"{created[11:16]} UTC"


def _is_ours(job: Job) -> bool:
    return job.title.startswith(f"{TITLE}: ")


def _drawn_while_it_runs(name: str, ids: tuple[str, ...]) -> None:
    @st.fragment(run_every=_POLL_S)
    def draw() -> None:
        jobs = {job.id: job for job in get_jobs().list()}
        for id in ids:
            job = jobs.get(id)
            if job is None or job.state.ended:
                if job is not None and name == _OTHERS:
                    notices.say(f"{job.title}, started in another window: {job.state.value}.")
                st.rerun()
            _one(name, job, ahead=sum(not one.state.ended for one in jobs.values() if one.created < job.created))

    draw()


def _one(name: str, job: Job, ahead: int) -> None:
    """A bar with what is being done, and a cancel; for another window's with a question."""
    bar, cancel = st.columns([6, 1], vertical_alignment="center")
    waits = f"{ahead} ahead of you" if name != _OTHERS else "waiting for its turn"
    words = waits if job.state is JobState.QUEUED and ahead else getattr(job.latest, "words", "beginning")
    said = f"{job.state.value}: {words}, {job.done / TOTAL:.0%}"
    if name != _OTHERS:
        bar.progress(job.done / TOTAL, text=failures.plain(said))
        cancel.button("Cancel", key=f"{CANCEL}_{name}", on_click=get_jobs().cancel, args=(job.id,), icon=":material/close:")
        return
    bar.progress(job.done / TOTAL, text=failures.plain(f"{job.title}, started in another window at {_clock(job.created)}. {said}"))
    with cancel.popover("Cancel", icon=":material/close:"):
        st.markdown("Somebody may be waiting for it. What is finished of it is kept.")
        st.button("Cancel it for everybody", key=f"{CANCEL}_{job.id}", on_click=get_jobs().cancel, args=(job.id,))


def keep_job(name: str, id: str) -> None:
    """Remember the job of this tab: the study's, or that of one of its parts."""
    st.session_state[_JOB] = {**st.session_state.get(_JOB, {}), name: id}


def own_job(name: str) -> str | None:
    """The job that this tab started last under a name."""
    return st.session_state.get(_JOB, {}).get(name)


def own_jobs() -> frozenset[str]:
    """The jobs of this tab."""
    return frozenset(st.session_state.get(_JOB, {}).values())


def forget_job(name: str) -> None:
    """Nothing more is said of it."""
    st.session_state[_JOB] = {key: id for key, id in st.session_state.get(_JOB, {}).items() if key != name}
