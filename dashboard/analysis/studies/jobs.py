"""Jobs that outlive the page that started them: a queue a lane, a thread or more that works it off, and what has become of each.

A job is an iterator. Its newest item is kept for whoever looks; a cancel stops it before its next item and closes it.
Jobs live as long as the process.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

from dashboard.analysis.errors import AnalysisError, BadAsk, Cancelled, QueueFull

log = logging.getLogger(__name__)

MAX_KEPT = 50
"""Jobs that are remembered, the newest; as many may wait or run, one more is refused."""
_MAX_TITLE = 200


class JobState(StrEnum):
    """What has become of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True where nothing more will come."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Lane(StrEnum):
    """Which queue a job waits in. Each has workers of its own, so that a training of hours holds nothing else back."""

    QUICK = "quick"
    """Seconds: work that a user waits for, and downloads."""
    STUDY = "study"
    """Minutes."""
    TRAINING = "training"
    """Hours."""


@runtime_checkable
class Counted(Protocol):
    """An item of a job: says how far it has come. One that also has a `total` says of how much."""

    @property
    def done(self) -> int:
        """Of the job's `total`."""
        ...


@dataclass(frozen=True)
class Job:
    """A snapshot of a job."""

    id: str
    title: str
    state: JobState
    done: int
    """Of `total`; stays where it was when a job fails or is cancelled."""
    total: int
    latest: Any
    """Its newest item; None before the first."""
    error: str | None
    """Why it failed, as shown to users."""
    created: str
    """UTC, ISO 8601."""
    key: str = ""
    """Equal for equal work, where the submitter says so; empty for nothing."""
    lane: Lane = Lane.STUDY


@dataclass(eq=False)
class _Work:
    """What a worker needs, dropped when the job has ended."""

    steps: Callable[[], Iterator[Any]]
    stop: Callable[[], None] | None


class Jobs:
    """Takes jobs from any thread and does those of a lane in their order, on `workers` threads of the lane's own."""

    def __init__(self, workers: int = 1) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, _Work] = {}
        self._queues: dict[Lane, SimpleQueue[str | None]] = {lane: SimpleQueue() for lane in Lane}
        self._threads = [
            threading.Thread(target=self._work_off, args=(queue,), name=f"jobs-{lane}-{i}", daemon=True)
            for lane, queue in self._queues.items()
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        title: str,
        total: int,
        steps: Callable[[], Iterator[Counted]],
        stop: Callable[[], None] | None = None,
        key: str = "",
        lane: Lane = Lane.STUDY,
        join: bool = False,
    ) -> str:
        """Queue a job and return its id. `steps` is called, iterated and closed on a worker's thread. `find` finds it by its `key`.

        With `join`, equal work that waits or runs is joined: its id is returned, and nothing is queued.

        `stop` is called once from the canceller's thread when a running job is cancelled, so that the item in the making
        ends early, in Cancelled or whatever else: nothing that comes after a cancel is shown.

        Raises:
            QueueFull: if too many wait.
        """
        job = Job(uuid.uuid4().hex[:12], title[:_MAX_TITLE], JobState.QUEUED, 0, total, None, None, _now(), key, lane)
        with self._lock:
            if join and key:
                for known in self._jobs.values():
                    if known.key == key and not known.state.ended:
                        return known.id
            unfinished = sum(not known.state.ended for known in self._jobs.values())
            if unfinished >= MAX_KEPT:
                raise QueueFull(unfinished)
            while len(self._jobs) >= MAX_KEPT:
                del self._jobs[next(id for id, known in self._jobs.items() if known.state.ended)]
            self._jobs[job.id] = job
            self._work[job.id] = _Work(steps, stop)
        self._queues[lane].put(job.id)
        return job.id

    def get(self, id: str) -> Job:
        """The current state of a job.

        Raises:
            BadAsk: if there is none of that id.
        """
        with self._lock:
            return self._known(id)

    def find(self, key: str) -> Job | None:
        """The newest job of equal work that is done or still to come; None if there is none, or the key is empty."""
        good = [job for job in self.list() if key and job.key == key and job.state not in (JobState.FAILED, JobState.CANCELLED)]
        return good[0] if good else None

    def list(self) -> tuple[Job, ...]:
        """All jobs that are remembered, newest first."""
        with self._lock:
            return tuple(reversed(self._jobs.values()))

    def cancel(self, id: str) -> None:
        """End a job before its next item. Does nothing to one that has ended.

        Raises:
            BadAsk: if there is none of that id.
        """
        with self._lock:
            job = self._known(id)
            if job.state.ended:
                return
            self._jobs[id] = replace(job, state=JobState.CANCELLED)
            # A queued one holds nothing yet; its turn passes it by.
            work = self._work.pop(id)
        if job.state is JobState.RUNNING and work.stop is not None:
            work.stop()

    def close(self) -> None:
        """Cancel everything and wait for the threads to end."""
        for job in self.list():
            if not job.state.ended:
                self.cancel(job.id)
        for queue in self._queues.values():
            for _ in range(len(self._threads) // len(self._queues)):
                queue.put(None)
        for thread in self._threads:
            thread.join()

    def _known(self, id: str) -> Job:
        if id not in self._jobs:
            raise BadAsk(
                f"No job {id[:40]!r}. The last {MAX_KEPT} are remembered until the dashboard is started again; "
                f"there are {len(self._jobs)}. Start it again."
            )
        return self._jobs[id]

    def _work_off(self, queue: "SimpleQueue[str | None]") -> None:
        while (id := queue.get()) is not None:
            work = self._begin(id)
            if work is not None:
                self._run(id, work.steps)

    def _begin(self, id: str) -> _Work | None:
        """The work of a job, now marked as running; None if it was cancelled while it waited."""
        with self._lock:
            if id in self._work:
                self._jobs[id] = replace(self._jobs[id], state=JobState.RUNNING)
            return self._work.get(id)

    def _run(self, id: str, start: Callable[[], Iterator[Counted]]) -> None:
        state, message = JobState.DONE, None
        try:
            steps = start()
            try:
                for item in self._while_wanted(id, steps):
                    self._show(id, item)
            finally:
                close = getattr(steps, "close", None)
                if close is not None:
                    close()
        except Cancelled:
            state = JobState.CANCELLED
        except AnalysisError as error:
            state, message = JobState.FAILED, str(error)
        except BaseException as error:  # it is the job's; this thread must live on
            log.exception("Job %s failed", id)
            state, message = JobState.FAILED, f"Internal error: {type(error).__name__}. Details are in the log."
        with self._lock:
            self._work.pop(id, None)
            if self._is_running(id):
                self._jobs[id] = replace(self._jobs[id], state=state, error=message)

    def _while_wanted(self, id: str, steps: Iterator[Counted]) -> Iterator[Counted]:
        while True:
            with self._lock:
                if not self._is_running(id):
                    return
            try:
                item = next(steps)
            except StopIteration:
                return
            yield item

    def _show(self, id: str, item: Counted) -> None:
        with self._lock:
            if self._is_running(id):
                total = int(getattr(item, "total", self._jobs[id].total))
                self._jobs[id] = replace(self._jobs[id], done=item.done, total=total, latest=item)

    def _is_running(self, id: str) -> bool:
        """False also for a job that was cancelled and then forgotten."""
        return id in self._jobs and self._jobs[id].state is JobState.RUNNING


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
