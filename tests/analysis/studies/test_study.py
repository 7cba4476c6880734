"""Laws of every study: kept, found, resumed, joined, cancelled; and that a training holds nothing quick back."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.errors import RunMismatch
from dashboard.analysis.studies.bundle import csv_of, files_of
from dashboard.analysis.studies.jobs import Jobs, JobState, Lane
from dashboard.analysis.studies.study import Made, cancel, find, run, submit
from tests.analysis.studies import counting
from tests.analysis.studies.counting import STUDY, TRAINING, SumAsk, Sums, bench

QUICK = SumAsk(quick=True)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.close()


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    counting.made.clear()


def made_of(folder: Path, ask: SumAsk) -> Made[SumAsk, Sums]:
    *_, last = run(STUDY, bench(folder), ask)
    assert last.made is not None and last.result is not None
    return last.made


def same(a: Sums, b: Sums) -> bool:
    return a.rows.tobytes() == b.rows.tobytes() and a.seen == b.seen


def wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def test_a_study_that_is_killed_at_once_goes_on_from_its_blocks_to_the_very_numbers_of_a_straight_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.analysis.studies.counting", str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if line.strip() == "5")
        process.send_signal(signal.SIGKILL)
    ask = SumAsk(n=40)
    assert find(STUDY, bench(tmp_path / "killed"), ask) is None
    resumed = made_of(tmp_path / "killed", ask)
    n = len(counting.made)
    assert 1 <= n <= 35 and counting.made == list(range(40 - n, 40))
    straight = made_of(tmp_path / "straight", replace(ask, quick=True))
    assert same(resumed.result, straight.result)


def test_a_result_that_is_kept_is_found_and_nothing_is_made_again(tmp_path: Path) -> None:
    made = made_of(tmp_path, QUICK)
    assert made.record.seconds is not None and made.record.kind == "sums" and counting.made == list(range(6))
    found = find(STUDY, bench(tmp_path), QUICK)
    assert found is not None and same(found.result, made.result) and found.record == made.record and found.key == made.key
    (only,) = run(STUDY, bench(tmp_path), QUICK)
    assert only.made is not None and same(only.made.result, made.result) and counting.made == list(range(6))
    assert [file.name for file in (tmp_path / "sums" / made.key).iterdir()] == ["result.json"]


def test_whatever_changes_a_result_changes_its_key_and_what_is_only_shown_does_not(tmp_path: Path) -> None:
    own = bench(tmp_path)
    changes = ({}, {"n": 7}, {"scale": 0.2}, {"factors": ()}, {"colour": counting.Colour.DARK_RED}, {"texts": ("a",)})
    keys = [STUDY.key(own, replace(QUICK, **change)) for change in changes]
    assert len({*keys, replace(STUDY, schema=2).key(own, QUICK), replace(STUDY, kind="other").key(own, QUICK)}) == len(keys) + 2
    assert STUDY.key(own, replace(QUICK, by_part=True)) == keys[0]


def test_a_result_of_another_form_is_made_again(tmp_path: Path) -> None:
    made = made_of(tmp_path, QUICK)
    file = tmp_path / "sums" / made.key / "result.json"
    file.write_text(file.read_text().replace('"seen"', '"saw"'))
    assert find(STUDY, bench(tmp_path), QUICK) is None
    assert same(made_of(tmp_path, QUICK).result, made.result) and len(counting.made) == 12


def test_two_processes_do_not_make_the_same_study_at_one_time(tmp_path: Path) -> None:
    first = run(STUDY, bench(tmp_path), QUICK)
    next(first)
    with pytest.raises(RunMismatch, match="another process"):
        list(run(STUDY, bench(tmp_path), QUICK))
    assert same([*first][-1].result or Sums(np.zeros(0), ()), made_of(tmp_path / "b", QUICK).result)


def test_equal_asks_are_joined_and_others_wait_in_their_lane(tmp_path: Path, jobs: Jobs) -> None:
    own = bench(tmp_path)
    ids = [submit(STUDY, own, jobs, ask) for ask in (SumAsk(n=9), SumAsk(n=9), SumAsk(n=9, by_part=True), QUICK)]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert jobs.get(ids[3]).state is JobState.QUEUED
    wait(lambda: jobs.get(ids[3]).state is JobState.DONE)
    job = jobs.get(ids[0])
    assert (job.state, job.done, job.total) == (JobState.DONE, 9, 9) and counting.made == [*range(9), *range(6)]
    assert submit(STUDY, own, jobs, SumAsk(n=9)) != ids[0]
    wait(lambda: all(job.state.ended for job in jobs.list()))
    assert len(counting.made) == 15, "the result was in the store"


def test_a_training_in_its_lane_holds_no_study_back(tmp_path: Path, jobs: Jobs) -> None:
    own = bench(tmp_path)
    training = submit(TRAINING, own, jobs, SumAsk(n=50))
    quick = jobs.submit("quick", 1, lambda: iter([]), lane=Lane.QUICK)
    study = submit(STUDY, own, jobs, QUICK)
    wait(lambda: jobs.get(study).state is JobState.DONE and jobs.get(quick).state is JobState.DONE)
    assert jobs.get(training).state is JobState.RUNNING
    assert {job.lane for job in jobs.list()} == {*Lane}


def test_a_cancel_stops_and_what_is_finished_is_gone_on_from(tmp_path: Path, jobs: Jobs) -> None:
    own = bench(tmp_path)
    id = submit(STUDY, own, jobs, SumAsk(n=20))
    wait(lambda: jobs.get(id).done >= 2)
    cancel(jobs, id)
    done = jobs.get(id).done
    assert jobs.get(id).state is JobState.CANCELLED
    wait(lambda: not (tmp_path / "sums").joinpath("x").exists())
    time.sleep(0.15)
    assert len(counting.made) <= done + 1
    n = len(counting.made)
    assert made_of(tmp_path, SumAsk(n=20)).result.seen == tuple(range(20)) and len(counting.made) <= 20 + 1 and n < 20


def test_a_result_goes_into_files_with_the_command_that_makes_it_again(tmp_path: Path) -> None:
    made = made_of(tmp_path, replace(QUICK, texts=("a b", "c")))
    files = files_of(STUDY, made)
    assert [*files] == ["rows.csv", "record.json", "texts.txt"] and files["texts.txt"] == "a b\nc\n"
    assert "latents sums run tiny/2.resid_post/7 --texts=texts.txt --quick" in files["record.json"]
    assert files["rows.csv"].splitlines()[0] == "i,value" and len(files["rows.csv"].splitlines()) == 6
    assert csv_of([{"a": 1}, {"a": None, "b": (1, 2)}]) == 'a,b\n1,\n,"[1, 2]"\n'
