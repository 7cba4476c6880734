"""One thread, many askers: order, cancelling, errors, and equal answers."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from dashboard.analysis.asks import CaptureAsk, GenerationAsk, Intervention, NeighbourAsk, Op, Sampling, Variant
from dashboard.analysis.engine import Engine, Place, Priority
from dashboard.analysis.errors import AnalysisError, Cancelled, EmptyPrompt, ModelUnavailable, OutOfMemory, QueueFull, UnknownSae
from dashboard.analysis.local import LocalRunner
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.runner import Runner
from dashboard.analysis.tokens import Prompt
from tests.conftest import TEXT

ASK_TEXT = Prompt(TEXT)
GENERATION = GenerationAsk(Prompt("The dog"), (Variant("plain"),), Sampling(max_new_tokens=30))


def forever(log: list[str], name: str, steps: int = 10**9) -> Iterator[int]:
    for step in range(steps):
        log.append(name)
        time.sleep(0.001)
        yield step


def test_engine_and_local_runner_give_equal_arrays(engine: Engine, runner: LocalRunner, site_saes) -> None:
    assert isinstance(engine, Runner) and isinstance(runner, Runner)
    ask = CaptureAsk(ASK_TEXT, site_saes, fidelity=True)
    ours, local = engine.capture(ask), runner.capture(ask)
    assert ours.tokens == local.tokens and ours.fidelity == local.fidelity
    for sae in site_saes:
        for name in ("position", "latent", "value"):
            np.testing.assert_array_equal(getattr(ours.activations[sae], name), getattr(local.activations[sae], name))
    neighbours = NeighbourAsk(LatentId(site_saes[0], 3), site_saes, 2)
    assert engine.neighbours(neighbours) == runner.neighbours(neighbours)
    assert list(engine.generate(GENERATION)) == list(runner.generate(GENERATION))
    assert engine.describe() == runner.describe()


def test_an_error_reaches_who_asked_and_the_next_ask_is_answered(engine: Engine, site_saes) -> None:
    for ask, error in (
        (CaptureAsk(Prompt(""), site_saes), EmptyPrompt),
        (CaptureAsk(ASK_TEXT, (SaeId("no", "such"),)), UnknownSae),
    ):
        with pytest.raises(error):
            engine.capture(ask)
    with pytest.raises(ZeroDivisionError), engine.submit(lambda _: iter([1 / 0])) as ticket:
        ticket.result()
    with pytest.raises(SystemExit), engine.submit(lambda _: iter(exec("raise SystemExit(3)") or ())) as ticket:
        ticket.result()
    assert engine.capture(CaptureAsk(ASK_TEXT, site_saes)).tokens.text == TEXT


def test_the_same_ask_is_answered_from_memory(engine: Engine, site_saes) -> None:
    ask = CaptureAsk(ASK_TEXT, site_saes)
    assert engine.capture(ask) is engine.capture(CaptureAsk(Prompt(TEXT), site_saes))


def test_leaving_a_ticket_stops_the_work_before_its_next_step(engine: Engine) -> None:
    log: list[str] = []
    with engine.submit(lambda _: forever(log, "a")) as ticket:
        for item in ticket:
            if item == 3:
                break
    engine.describe()
    steps = len(log)
    time.sleep(0.05)
    assert len(log) == steps <= 8


def test_a_generation_stops_within_one_token_of_its_iterator_being_closed(engine: Engine, runner: LocalRunner) -> None:
    stream = engine.generate(GenerationAsk(Prompt("The dog"), (Variant("plain"),), Sampling(200)))
    next(stream)
    stream.close()
    engine.describe()
    assert not engine._waiting


def test_two_long_jobs_take_turns_step_by_step(engine: Engine) -> None:
    log: list[str] = []
    gate = threading.Event()
    with (
        engine.submit(lambda _: iter([gate.wait()])),
        engine.submit(lambda _: forever(log, "a", 20)) as a,
        engine.submit(lambda _: forever(log, "b", 20)) as b,
    ):
        gate.set()
        assert [i for i in a if not isinstance(i, Place)] == [i for i in b if not isinstance(i, Place)] == list(range(20))
    assert log == ["a", "b"] * 20


def test_interactive_work_overtakes_a_running_study_and_a_study_overtakes_training(engine: Engine) -> None:
    log: list[str] = []
    gate = threading.Event()
    with (
        engine.submit(lambda _: forever(log, "train", 3), Priority.TRAINING) as training,
        engine.submit(lambda _: iter([gate.wait()]), Priority.INTERACTIVE),
        engine.submit(lambda _: forever(log, "study", 3), Priority.STUDY) as study,
        engine.submit(lambda _: forever(log, "click", 3)) as click,
    ):
        gate.set()
        for ticket in (click, study, training):
            list(ticket)
    assert [name for name in log if name != "train"] == ["click"] * 3 + ["study"] * 3
    assert log.index("click") <= 3 and log[-1] == "train"


def test_a_waiting_ticket_tells_its_place(engine: Engine) -> None:
    gate = threading.Event()
    with (
        engine.submit(lambda _: iter([gate.wait(5)])) as running,
        engine.submit(lambda _: iter([1])),
        engine.submit(lambda _: iter([2])) as last,
    ):
        time.sleep(0.05)
        assert next(iter(last)) == Place(1)
        gate.set()
        assert running.result() is True and last.result() == 2


def test_a_full_queue_is_refused_and_empties_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.analysis.engine.MAX_WAITING", 2)
    gate = threading.Event()
    engine.describe()
    engine.submit(lambda _: iter([gate.wait(5)]))
    time.sleep(0.05)
    engine.submit(lambda _: iter([1])), engine.submit(lambda _: iter([2]))
    with pytest.raises(QueueFull, match="2 jobs"):
        engine.submit(lambda _: iter([3]))
    gate.set()
    time.sleep(0.2)
    assert engine.describe().n_layers == 4


def test_one_session_that_steers_or_crashes_never_changes_anothers_numbers(engine: Engine, site_saes) -> None:
    ask = lambda n: CaptureAsk(Prompt(f"{TEXT} {n}"), site_saes)  # noqa: E731
    edit = Intervention(LatentId(site_saes[0], 7), Op.ADD, 40.0)
    expected = {n: engine.capture(ask(n)) for n in range(6)}
    engine._answers.clear()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            for _ in engine.generate(GenerationAsk(Prompt("The dog"), (Variant("steered", (edit,)),), Sampling(8))):
                pass
            with pytest.raises(AnalysisError):
                engine.capture(CaptureAsk(ASK_TEXT, (SaeId("no", "such"),)))
            with pytest.raises(ZeroDivisionError), engine.submit(lambda _: iter([1 / 0])) as ticket:
                ticket.result()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for n in range(6):
            got = engine.capture(ask(n))
            for sae in site_saes:
                np.testing.assert_array_equal(got.activations[sae].value, expected[n].activations[sae].value)
    finally:
        stop.set()
        disturber.join()


def test_an_ask_that_needs_too_many_bytes_is_refused_with_both_numbers(engine: Engine, site_saes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.analysis.budget.free_bytes", lambda device: 1000)
    with pytest.raises(OutOfMemory, match="MiB are free") as refused:
        engine.capture(CaptureAsk(ASK_TEXT, site_saes))
    assert refused.value.free_bytes == 900 < refused.value.needed_bytes
    monkeypatch.undo()
    engine.capture(CaptureAsk(ASK_TEXT, site_saes))


def test_a_model_that_cannot_be_loaded_is_tried_again_at_the_next_ask(runner: LocalRunner) -> None:
    tries: list[int] = []

    def load() -> LocalRunner:
        tries.append(1)
        if len(tries) == 1:
            raise ModelUnavailable("not yet")
        return runner

    engine = Engine(load)
    with pytest.raises(ModelUnavailable):
        engine.describe()
    assert engine.describe().n_layers == 4
    engine.close()


def test_closing_tells_those_who_wait(runner: LocalRunner) -> None:
    engine = Engine(lambda: runner)
    gate = threading.Event()
    engine.submit(lambda _: iter([gate.wait(5)]))
    time.sleep(0.05)
    waiting = engine.submit(lambda _: iter([1]))
    threading.Timer(0.1, gate.set).start()
    engine.close()
    with pytest.raises(Cancelled):
        waiting.result()
