"""One thread, many askers: order, cancelling, errors, and equal answers."""

import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, TokenDelta, Variant
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import DosesAsk, NeighbourAsk, PromotedAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.tickets import Place, Priority
from dashboard.analysis.errors import AnalysisError, BadAsk, Cancelled, EmptyPrompt, ModelUnavailable, OutOfMemory, QueueFull, UnknownSae
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.tokens import Prompt, TokenSpan
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
    ours, local = engine.ask(ask), runner.ask(ask)
    assert ours.tokens == local.tokens and ours.fidelity == local.fidelity
    for sae in site_saes:
        for name in ("position", "latent", "value"):
            np.testing.assert_array_equal(getattr(ours.activations[sae], name), getattr(local.activations[sae], name))
    neighbours = NeighbourAsk(LatentId(site_saes[0], 3), site_saes, 2)
    assert engine.ask(neighbours) == runner.ask(neighbours)
    assert list(engine.stream(GENERATION)) == list(runner.stream(GENERATION))
    assert engine.describe() == runner.describe()


def test_an_error_reaches_who_asked_and_the_next_ask_is_answered(engine: Engine, site_saes) -> None:
    for ask, error in (
        (CaptureAsk(Prompt(""), site_saes), EmptyPrompt),
        (CaptureAsk(ASK_TEXT, (SaeId("no", "such"),)), UnknownSae),
    ):
        with pytest.raises(error):
            engine.ask(ask)
    with pytest.raises(ZeroDivisionError), engine.submit(lambda _: iter([1 / 0])) as ticket:
        ticket.result()
    with pytest.raises(SystemExit), engine.submit(lambda _: iter(exec("raise SystemExit(3)") or ())) as ticket:
        ticket.result()
    assert engine.ask(CaptureAsk(ASK_TEXT, site_saes)).tokens.text == TEXT


def test_the_same_ask_is_answered_from_memory(engine: Engine, site_saes) -> None:
    ask = CaptureAsk(ASK_TEXT, site_saes)
    assert engine.ask(ask) is engine.ask(CaptureAsk(Prompt(TEXT), site_saes))


def test_what_is_remembered_waits_for_no_turn(engine: Engine, site_saes) -> None:
    latent = LatentId(site_saes[0], 3)
    asks = (CaptureAsk(ASK_TEXT, site_saes), PromotedAsk(latent), DosesAsk((Intervention(latent, Op.ADD, 1.0),)))
    first = [*map(engine.ask, asks), list(engine.stream(GENERATION)), engine.describe()]
    with engine.submit(lambda _: forever([], "busy")) as busy:
        next(iter(busy))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(engine, "submit", lambda *_: pytest.fail("a ticket was queued"))
            again = [*map(engine.ask, asks), list(engine.stream(GENERATION)), engine.describe()]
    assert all(one is other for one, other in zip(first[:3], again, strict=False)) and again[3:] == first[3:]


def test_what_was_answered_for_the_saes_of_before_is_forgotten_with_them(engine: Engine, runner: LocalRunner, site_saes) -> None:
    ask = CaptureAsk(ASK_TEXT, site_saes)
    before = engine.ask(ask)
    engine.renew(runner.catalog)
    assert engine.ask(ask) is not before


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
    stream = engine.stream(GenerationAsk(Prompt("The dog"), (Variant("plain"),), Sampling(200)))
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
    monkeypatch.setattr("dashboard.analysis.engine.engine.MAX_WAITING", 2)
    gate = threading.Event()
    engine.describe()
    engine.submit(lambda _: iter([gate.wait(5)]))
    time.sleep(0.05)
    engine.submit(lambda _: iter([1])), engine.submit(lambda _: iter([2]))
    with pytest.raises(QueueFull, match="2 jobs"):
        engine.submit(lambda _: iter([3]))
    gate.set()
    time.sleep(0.2)
    assert engine.submit(lambda runner: iter([runner.describe()])).result().n_layers == 4


def test_one_session_that_steers_or_crashes_never_changes_anothers_numbers(engine: Engine, site_saes) -> None:
    ask = lambda n: CaptureAsk(Prompt(f"{TEXT} {n}"), site_saes)  # noqa: E731
    edit = Intervention(LatentId(site_saes[0], 7), Op.ADD, 40.0)
    expected = {n: engine.ask(ask(n)) for n in range(6)}
    engine._memories.clear()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            for _ in engine.stream(GenerationAsk(Prompt("The dog"), (Variant("steered", (edit,)),), Sampling(8))):
                pass
            with pytest.raises(AnalysisError):
                engine.ask(CaptureAsk(ASK_TEXT, (SaeId("no", "such"),)))
            with pytest.raises(ZeroDivisionError), engine.submit(lambda _: iter([1 / 0])) as ticket:
                ticket.result()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for n in range(6):
            got = engine.ask(ask(n))
            for sae in site_saes:
                np.testing.assert_array_equal(got.activations[sae].value, expected[n].activations[sae].value)
    finally:
        stop.set()
        disturber.join()


def test_an_ask_that_needs_too_many_bytes_is_refused_with_both_numbers(engine: Engine, site_saes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.analysis.system.room.free_bytes", lambda device: 1000)
    with pytest.raises(OutOfMemory, match="MiB are free") as refused:
        engine.ask(CaptureAsk(ASK_TEXT, site_saes))
    assert refused.value.free_bytes == 900 < refused.value.needed_bytes
    monkeypatch.undo()
    engine.ask(CaptureAsk(ASK_TEXT, site_saes))


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
    assert engine.submit(lambda runner: iter([runner.describe()])).result().n_layers == 4
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


SAES = ("1.resid_post", "2.resid_post", "1.mlp_out")
NORTH = NamedVector("north", Site.parse("2.resid_post"), (0.5, -1.0) * 16)


def session(number: int, temperature: float) -> GenerationAsk:
    """What one of many users asks: another prompt, edit, seed and length than the next."""
    sae = SaeId("tiny", SAES[number % 3])
    edit = Intervention(
        NORTH if number % 5 == 4 else LatentId(sae, 3 * number),
        [*Op][number % len(Op)],
        number - 8.0,
        Unit.NORM if number % 4 == 1 else Unit.RAW,
        [*Where, TokenSpan(2, 4), TokenSpan(3)][number % 5],
    )
    prompt = Prompt(("The quick " if number % 2 else "") + "dog " * (1 + number % 7) + str(number))
    return GenerationAsk(prompt, (Variant("plain"), Variant("steered", (edit,))), Sampling(6 + number % 9, temperature, seed=number))


def solo(runner: LocalRunner, ask: GenerationAsk) -> dict[str, list[int]]:
    """What a runner of one's own writes."""
    return by_label(LocalRunner(runner.model, runner.catalog, runner._cache).stream(ask))


def by_label(deltas: Iterable[TokenDelta]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for delta in deltas:
        rows.setdefault(delta.variant, []).append(delta.token_id)
    return rows


def is_clean(runner: LocalRunner) -> bool:
    """No row in any decoder, no hook on the model."""
    return not any(decoder.n_rows for decoder in runner._workspace.decoders.values()) and not any(
        module._forward_hooks for module in runner.model.bare.modules()
    )


@pytest.fixture
def passes(runner: LocalRunner) -> Iterator[list[int]]:
    """How many rows each pass of the model had."""
    rows: list[int] = []
    handle = runner.model.bare.register_forward_pre_hook(
        lambda _module, args, kwargs: rows.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
    )
    yield rows
    handle.remove()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_20_sessions_at_once_each_get_their_own_text(engine: Engine, runner: LocalRunner, temperature: float, passes: list[int]) -> None:
    asks = [session(number, temperature) for number in range(20)]
    texts: dict[int, dict[str, list[int]]] = {}
    go = threading.Barrier(len(asks))

    def use(number: int) -> None:
        go.wait()
        texts[number] = by_label(engine.stream(asks[number]))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(passes) > 2  # they did share passes
    assert is_clean(runner)
    for number, ask in enumerate(asks):
        assert texts[number] == solo(runner, ask), ask


def test_edits_that_break_the_model_are_told_to_their_asker_and_change_no_other_text(engine: Engine, runner: LocalRunner) -> None:
    """The broken row stands in the middle of a batch, and breaks only after it has written some tokens."""
    huge = NamedVector("huge", NORTH.site, (1e14,) * 32)
    beyond = (Intervention(huge, Op.ADD, 1e9, where=TokenSpan(9)),) * 3 + (Intervention(huge, Op.SCALE, 1e9, where=TokenSpan(9)),) * 3
    asks = [session(number, 1.0) for number in (3, 4, 5)]
    with (
        engine.ticket(asks[0]) as first,
        engine.ticket(GenerationAsk(Prompt("The dog"), (Variant("x"), Variant("y", beyond)), Sampling(40, 1.0))) as broken,
        engine.ticket(asks[1]) as second,
    ):
        with pytest.raises(BadAsk, match=r"The edits of y .* smaller amounts"):
            list(broken)
        late = by_label(engine.stream(asks[2]))
        texts = [by_label(delta for step in ticket if not isinstance(step, Place) for delta in step) for ticket in (first, second)]
    assert [*texts, late] == [solo(runner, ask) for ask in asks]
    assert is_clean(runner)


def test_a_ticket_left_after_2_tokens_leaves_no_row_and_no_hook_after_one_more_step(
    engine: Engine, runner: LocalRunner, passes: list[int]
) -> None:
    ask = session(1, 0.0)
    ask = GenerationAsk(ask.prompt, ask.variants, Sampling(200))
    with engine.ticket(ask) as ticket:
        steps = (item for item in ticket if not isinstance(item, Place))
        next(steps), next(steps)
    seen = engine.submit(lambda runner: iter([(is_clean(runner), len(passes))]), Priority.STUDY).result()
    assert seen[0] and seen[1] < 100
    engine.describe()
    assert len(passes) == seen[1]


def test_an_ask_written_to_its_end_is_answered_from_memory(engine: Engine, passes: list[int]) -> None:
    ask = session(6, 1.0)
    first = list(engine.stream(ask))
    n_passes = len(passes)
    assert list(engine.stream(session(6, 1.0))) == first
    with engine.ticket(ask, Priority.STUDY) as ticket:
        assert [delta for step in ticket if not isinstance(step, Place) for delta in step] == first
    assert len(passes) == n_passes > 0


def test_another_ask_is_written_whole_with_all_its_rows_together(engine: Engine, runner: LocalRunner, passes: list[int]) -> None:
    ask = session(6, 1.0)
    first = by_label(engine.stream(ask))
    plain, steered = ask.variants
    others = [
        GenerationAsk(ask.prompt, (plain, Variant("new name", steered.interventions)), ask.sampling),
        GenerationAsk(ask.prompt, (plain, Variant("steered", session(7, 1.0).variants[1].interventions)), ask.sampling),
        GenerationAsk(ask.prompt, (steered, plain), ask.sampling),
        GenerationAsk(ask.prompt, ask.variants, Sampling(ask.sampling.max_new_tokens, 1.0, seed=99)),
        GenerationAsk(Prompt(ask.prompt.text, chat=True), ask.variants, ask.sampling),
    ]
    texts: list[dict[str, list[int]]] = []
    for other in others:
        passes.clear()
        texts.append(by_label(engine.stream(other)))
        assert passes[0] == 2 and texts[-1] == solo(runner, other)
    assert texts[0] == {"plain": first["plain"], "new name": first["steered"]} and texts[2] == first
    assert texts[1]["plain"] == first["plain"] and texts[1]["steered"] != first["steered"]
    assert texts[3] != first != texts[4]


def test_a_row_that_was_left_half_way_is_not_remembered_as_whole(engine: Engine, runner: LocalRunner) -> None:
    ask = GenerationAsk(Prompt("The dog"), (Variant("plain"),), Sampling(12))
    stream = engine.stream(ask)
    next(stream), next(stream)
    stream.close()
    assert by_label(engine.stream(ask)) == solo(runner, ask)


def test_a_study_and_a_user_share_no_pass_and_both_get_their_texts(engine: Engine, runner: LocalRunner, passes: list[int]) -> None:
    gate = threading.Event()
    asks = [session(number, 1.0) for number in (2, 3, 8)]
    with (
        engine.submit(lambda _: iter([gate.wait(5)])),
        engine.ticket(asks[0], Priority.STUDY) as study,
        engine.ticket(asks[1]) as user,
    ):
        gate.set()
        first = next(item for item in study if not isinstance(item, Place))  # its rows stand in the study's batch now
        with engine.ticket(asks[2]) as late:
            texts = {
                ticket: by_label(delta for step in ticket if not isinstance(step, Place) for delta in step)
                for ticket in (late, user, study)
            }
    for delta in reversed(first):
        texts[study][delta.variant].insert(0, delta.token_id)
    assert [texts[ticket] for ticket in (study, user, late)] == [solo(runner, ask) for ask in asks]
    assert {*passes} <= {1, 2, 3, 4} and is_clean(runner)
    assert {*runner._workspace.decoders} == {Priority.INTERACTIVE, Priority.STUDY}


def test_users_share_passes(engine: Engine, passes: list[int]) -> None:
    gate = threading.Event()
    asks = [session(number, 1.0) for number in (2, 3)]
    with engine.submit(lambda _: iter([gate.wait(5)])), engine.ticket(asks[0]) as one, engine.ticket(asks[1]) as other:
        gate.set()
        list(one), list(other)
    assert max(passes) == 4


def test_score_and_promoted_equal_the_local_runners(engine: Engine, runner: LocalRunner) -> None:
    ids = runner.tokens(Prompt("dog and the fox")).ids[-4:]
    for number in range(6):
        edits = session(number, 0.0).variants[1].interventions
        score = ScoreAsk(Prompt("The quick", continuation=ids), edits, 5, words=("dog",))
        assert engine.ask(score) == runner.ask(score)
        assert engine.ask(score) is engine.ask(score)
        promoted = PromotedAsk(edits[0].direction, 7)
        assert engine.ask(promoted) == runner.ask(promoted) and len(runner.ask(promoted)) == 7
    with pytest.raises(UnknownSae):
        engine.ask(PromotedAsk(LatentId(SaeId("no", "such"), 1)))
    assert is_clean(runner)
