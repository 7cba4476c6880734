"""Jobs behind the pages: what becomes of them, and that they neither stop the pages nor outlive a cancel."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import AssembleAsk, NeighbourAsk, PromotedAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Priority
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk, Cancelled, QueueFull
from dashboard.analysis.methods.steering.dose_response import Curve, SweepAsk, sweep
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.studies.jobs import MAX_KEPT, Job, Jobs, JobState
from dashboard.analysis.tokens import Prompt
from tests.conftest import TEXT

LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)
CURVE = Curve("seven", (Intervention(LATENT, Op.ADD, 4.0),))
LONG = SweepAsk(Prompt("The dog"), (CURVE,), tuple(float(i) for i in range(20)), 20, Sampling(200, 1.0))


@dataclass(frozen=True)
class Step:
    done: int


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.close()


def wait(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def ended(jobs: Jobs, id: str) -> Job:
    wait(lambda: jobs.get(id).state.ended)
    return jobs.get(id)


class Gated:
    """An iterator that gives an item when it is let, and notes what is done to it."""

    def __init__(self, n: int = 10) -> None:
        self._n, self.started, self.given, self.closed = n, 0, 0, False
        self._let = threading.Semaphore(0)

    def let(self, n: int = 1) -> None:
        self._let.release(n)

    def __call__(self) -> Iterator[Step]:
        try:
            for i in range(self._n):
                self.started += 1
                self._let.acquire()
                self.given += 1
                yield Step(i + 1)
        finally:
            self.closed = True


def test_a_job_shows_its_newest_item_and_is_done_at_its_end(jobs: Jobs) -> None:
    steps = Gated(3)
    id = jobs.submit("three", 3, steps)
    wait(lambda: steps.started == 1)
    job = jobs.get(id)
    assert (job.title, job.state, job.done, job.total, job.latest, job.error) == ("three", JobState.RUNNING, 0, 3, None, None)
    steps.let()
    wait(lambda: steps.started == 2)
    wait(lambda: jobs.get(id).latest == Step(1))
    steps.let(2)
    job = ended(jobs, id)
    assert (job.state, job.done, job.latest) == (JobState.DONE, 3, Step(3)) and steps.closed
    assert job.created.endswith("+00:00") and str(job.state) == "done"


def test_a_refusal_fails_the_job_in_its_own_words_and_the_next_job_runs(jobs: Jobs) -> None:
    def refused() -> Iterator[Step]:
        yield Step(1)
        raise BadAsk("7 is too many; 5 are possible.")

    job = ended(jobs, jobs.submit("refused", 2, refused))
    assert (job.state, job.error, job.done, job.latest) == (JobState.FAILED, "7 is too many; 5 are possible.", 1, Step(1))
    assert ended(jobs, jobs.submit("next", 1, lambda: iter([Step(1)]))).state is JobState.DONE


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), SystemExit(3)])
def test_a_fault_is_logged_and_called_ours_and_the_next_job_runs(
    jobs: Jobs, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Iterator[Step]:
        raise error

    with caplog.at_level(logging.ERROR):
        job = ended(jobs, jobs.submit("broken", 1, broken))
    assert job.state is JobState.FAILED and job.error is not None
    assert type(error).__name__ in job.error and "Internal error" in job.error and "secret" not in job.error
    assert job.id in caplog.text and type(error).__name__ in caplog.text
    assert ended(jobs, jobs.submit("next", 1, lambda: iter([Step(1)]))).state is JobState.DONE


def test_a_cancel_stops_before_the_next_item_and_closes_the_iterator(jobs: Jobs) -> None:
    steps = Gated()
    id = jobs.submit("cancelled", 10, steps)
    steps.let()
    wait(lambda: steps.started == 2)
    jobs.cancel(id)
    assert jobs.get(id).state is JobState.CANCELLED
    steps.let()
    wait(lambda: steps.closed)
    job = jobs.get(id)
    assert (job.state, job.done, job.latest, job.error) == (JobState.CANCELLED, 1, Step(1), None)
    assert steps.given == 2 and steps.started == 2
    jobs.cancel(id)
    assert jobs.get(id) == job


def test_an_iterator_is_closed_however_its_job_ends(jobs: Jobs) -> None:
    class Steps:
        def __init__(self, error: Exception) -> None:
            self.error, self.closed = error, 0

        def __iter__(self) -> Iterator[Step]:
            return self

        def __next__(self) -> Step:
            raise self.error

        def close(self) -> None:
            self.closed += 1

    for error in (StopIteration(), BadAsk("no"), ZeroDivisionError(), Cancelled()):
        steps = Steps(error)
        ended(jobs, jobs.submit("closed", 1, lambda steps=steps: steps))
        assert steps.closed == 1


def test_a_fault_after_a_cancel_leaves_the_job_cancelled(jobs: Jobs) -> None:
    gate = threading.Event()

    def broken() -> Iterator[Step]:
        yield Step(1)
        gate.wait()
        raise ZeroDivisionError

    id = jobs.submit("broken", 2, broken)
    wait(lambda: jobs.get(id).done == 1)
    jobs.cancel(id)
    gate.set()
    assert ended(jobs, jobs.submit("next", 1, lambda: iter([Step(1)]))).state is JobState.DONE
    assert jobs.get(id).state is JobState.CANCELLED and jobs.get(id).error is None


def test_a_job_that_is_cancelled_while_it_waits_never_starts(jobs: Jobs) -> None:
    first, second = Gated(1), Gated(1)
    running, waiting = jobs.submit("first", 1, first), jobs.submit("second", 1, second)
    wait(lambda: first.started == 1)
    assert jobs.get(waiting).state is JobState.QUEUED
    jobs.cancel(waiting)
    assert jobs.get(waiting).state is JobState.CANCELLED
    first.let()
    assert ended(jobs, running).state is JobState.DONE
    assert ended(jobs, jobs.submit("third", 1, lambda: iter([Step(1)]))).state is JobState.DONE
    assert second.started == 0


def test_jobs_run_one_after_another_and_two_workers_run_two(jobs: Jobs) -> None:
    first, second = Gated(1), Gated(1)
    ids = [jobs.submit("first", 1, first), jobs.submit("second", 1, second)]
    wait(lambda: first.started == 1)
    time.sleep(0.03)
    assert second.started == 0
    assert [job.id for job in jobs.list()] == ids[::-1]
    first.let()
    wait(lambda: second.started == 1)
    assert jobs.get(ids[0]).state is JobState.DONE
    second.let()
    assert ended(jobs, ids[1]).state is JobState.DONE

    two, a, b = Jobs(2), Gated(1), Gated(1)
    two.submit("a", 1, a), two.submit("b", 1, b)
    wait(lambda: a.started == b.started == 1)
    a.let(), b.let()
    two.close()


def test_the_last_fifty_are_remembered_and_more_than_fifty_may_not_wait(jobs: Jobs) -> None:
    ids = [jobs.submit(str(i), 1, lambda: iter([Step(1)])) for i in range(30)]
    ended(jobs, ids[-1])
    gate = Gated(1)
    running = jobs.submit("running", 1, gate)
    waiting = [jobs.submit(str(i), 1, lambda: iter([Step(1)])) for i in range(MAX_KEPT - 1)]
    assert [job.id for job in jobs.list()] == [*waiting[::-1], running]
    with pytest.raises(QueueFull, match="50 jobs"):
        jobs.submit("one more", 1, lambda: iter([Step(1)]))
    with pytest.raises(BadAsk, match=f"No job '{ids[0]}'.*last 50"):
        jobs.get(ids[0])
    with pytest.raises(BadAsk):
        jobs.cancel("unknown")
    gate.let()
    assert ended(jobs, waiting[-1]).state is JobState.DONE
    assert len(jobs.list()) == MAX_KEPT


def test_a_job_that_still_runs_is_never_forgotten() -> None:
    jobs, gate = Jobs(2), Gated(1)
    old = jobs.submit("old", 1, gate)
    for i in range(MAX_KEPT + 5):
        ended(jobs, jobs.submit(str(i), 1, lambda: iter([Step(1)])))
    assert len(jobs.list()) == MAX_KEPT and jobs.list()[-1] == jobs.get(old)
    gate.let()
    assert ended(jobs, old).state is JobState.DONE
    jobs.close()


def test_closing_ends_the_running_and_the_waiting(engine: Engine) -> None:
    jobs, study = Jobs(), StudyRunner(engine)
    running = jobs.submit("sweep", LONG.n_texts, lambda: sweep(study, LONG), study.stop)
    waiting = jobs.submit("waits", 1, lambda: iter([Step(1)]))
    wait(lambda: jobs.get(running).state is JobState.RUNNING)
    jobs.close()
    assert {jobs.get(running).state, jobs.get(waiting).state} == {JobState.CANCELLED}


def test_a_study_gives_the_engines_answers(engine: Engine, runner: LocalRunner) -> None:
    study = StudyRunner(engine)
    assert isinstance(study, Runner)
    assert study.describe() == engine.describe()
    capture = CaptureAsk(Prompt(TEXT), (LATENT.sae,))
    interactive = engine.ask(capture)
    assert study.ask(capture) is interactive
    assert study.ask(NeighbourAsk(LATENT, (LATENT.sae,))) == engine.ask(NeighbourAsk(LATENT, (LATENT.sae,)))
    assert study.ask(PromotedAsk(LATENT)) == engine.ask(PromotedAsk(LATENT))
    assemble = AssembleAsk("two", ((LATENT, 2.0),))
    assert study.ask(assemble) == engine.ask(assemble)
    ask = SweepAsk(Prompt("The dog"), (CURVE,), (0.0, 1.0), 2, Sampling(6, 1.0), "fox")
    assert list(sweep(study, ask, 3)) == list(sweep(engine, ask, 3)) == list(sweep(runner, ask, 3))


def test_everything_a_study_asks_waits_behind_what_is_interactive(engine: Engine) -> None:
    study = StudyRunner(engine)
    seen: list[Priority] = []
    submit = engine.submit

    def noting(start, priority=Priority.INTERACTIVE):
        seen.append(priority)
        return submit(start, priority)

    engine.submit = noting
    list(sweep(study, SweepAsk(Prompt("The dog"), (CURVE,), (1.0,), 1, Sampling(2), "fox")))
    study.describe(), study.ask(CaptureAsk(Prompt(TEXT), (LATENT.sae,)))
    study.ask(NeighbourAsk(LATENT, (LATENT.sae,))), study.ask(PromotedAsk(LATENT))
    study.ask(AssembleAsk("two", ((LATENT, 2.0),)))
    assert seen == [Priority.STUDY] * 8


def count_steps(engine: Engine, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one at each token step of the engine."""
    steps: list[int] = []
    turns = LocalRunner.turns

    def counting(self, ask, lane=0):
        inner = turns(self, ask, lane)
        try:
            for step in inner:
                steps.append(step[0].step)
                yield step
        finally:
            inner.close()

    monkeypatch.setattr(LocalRunner, "turns", counting)
    return steps


def test_cancelling_a_sweep_stops_the_engine_within_one_step(
    jobs: Jobs, engine: Engine, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(engine, runner, monkeypatch)
    study = StudyRunner(engine)
    id = jobs.submit("sweep", LONG.n_texts, lambda: sweep(study, LONG), study.stop)
    wait(lambda: len(steps) > 5)
    jobs.cancel(id)
    at_cancel = len(steps)
    engine.describe(), study_is_out(engine)
    assert len(steps) <= at_cancel + 1 < 100
    assert not engine._waiting and all(decoder.n_rows == 0 for decoder in runner._workspace.decoders.values())
    assert jobs.get(id).state is JobState.CANCELLED
    assert ended(jobs, jobs.submit("next", 1, lambda: iter([Step(1)]))).state is JobState.DONE
    with pytest.raises(Cancelled):
        study.describe()


def study_is_out(engine: Engine) -> None:
    """Returns when every study that waited has had a turn."""
    with engine.submit(lambda _: iter([1]), Priority.TRAINING) as ticket:
        ticket.result()


def test_a_sweep_that_waits_for_its_turn_can_be_cancelled(jobs: Jobs, engine: Engine) -> None:
    gate = threading.Event()
    with engine.submit(lambda _: iter([gate.wait(10)])):
        study = StudyRunner(engine)
        id = jobs.submit("sweep", LONG.n_texts, lambda: sweep(study, LONG), study.stop)
        wait(lambda: len(engine._waiting) == 1)
        jobs.cancel(id)
        assert ended(jobs, jobs.submit("next", 1, lambda: iter([Step(1)]))).state is JobState.DONE
        gate.set()


def test_closing_a_studys_generation_stops_the_engine(engine: Engine, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(engine, runner, monkeypatch)
    stream = StudyRunner(engine).stream(GenerationAsk(Prompt("The dog"), (Variant("plain"),), Sampling(200)))
    next(stream)
    stream.close()
    at_close = len(steps)
    study_is_out(engine)
    assert len(steps) <= at_close + 1 and not engine._waiting


def test_an_interactive_capture_overtakes_a_running_sweep(
    jobs: Jobs, engine: Engine, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(engine, runner, monkeypatch)
    study = StudyRunner(engine)
    id = jobs.submit("sweep", LONG.n_texts, lambda: sweep(study, LONG), study.stop)
    wait(lambda: len(steps) > 3)
    before = len(steps)
    with engine.ticket(CaptureAsk(Prompt(TEXT), (LATENT.sae,))) as ticket:
        assert ticket.result().tokens.text == TEXT
        during = len(steps)
    assert during - before <= 3
    assert jobs.get(id).state is JobState.RUNNING
    wait(lambda: len(steps) > during)
    jobs.cancel(id)


def test_equal_work_is_found_by_its_key_while_it_goes_and_when_it_is_done_but_not_once_it_was_cancelled(jobs: Jobs) -> None:
    steps = Gated(1)
    one = jobs.submit("one", 1, steps, key="a")
    other = jobs.submit("other", 1, lambda: iter([Step(1)]))
    found = jobs.find("a")
    assert found is not None and found.id == one and jobs.find("b") is None and jobs.find("") is None
    steps.let(2)
    assert ended(jobs, one).state is JobState.DONE and ended(jobs, other).key == ""
    found = jobs.find("a")
    assert found is not None and found.id == one
    again = Gated(1)
    newer = jobs.submit("newer", 1, lambda: again, key="a")
    jobs.cancel(newer)
    again.let(2)
    found = jobs.find("a")
    assert found is not None and found.id == one
