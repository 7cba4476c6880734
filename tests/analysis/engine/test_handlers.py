"""Laws of the table of handlers: every kind of ask has a line, costs are charged whoever answers, studies push nothing out."""

import importlib
import pkgutil

import pytest

from dashboard.analysis import asks
from dashboard.analysis.asks.ask import Ask, StreamAsk
from dashboard.analysis.asks.capture import CaptureAsk, TraceAsk
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, Rescale, RescaleAsk
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.many_texts import AttentionAsk, ChoiceAsk, MarkedText, ReadingAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.handlers import HANDLERS
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import OutOfMemory
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt

SAE = SaeId("tiny", "2.resid_post")
LATENT = LatentId(SAE, 3)
TEXTS = (MarkedText("A fox and a dog", (2, 5)),)
COSTLY = (
    CaptureAsk(Prompt("A fox"), (SAE,)),
    TraceAsk(((5, 6, 7),), (LATENT,)),
    ActivityAsk(((5, 6, 7),), ((1,),), (SAE,)),
    RescaleAsk((5, 6, 7), 1, (Rescale((LATENT,), 0.0),), (LATENT,)),
    GenerationAsk(Prompt("A fox"), (Variant("plain"),), Sampling(3)),
    ScoreAsk(Prompt("A fox", continuation=(5, 6))),
    ReadingAsk(TEXTS, (SAE,)),
    ChoiceAsk(TEXTS, (("yes", "no"),)),
    AttentionAsk(TEXTS),
)


def every_kind() -> set[type]:
    for module in pkgutil.iter_modules(asks.__path__, f"{asks.__name__}."):
        importlib.import_module(module.name)
    return {*Ask.__subclasses__(), *StreamAsk.__subclasses__()}


def test_every_kind_of_ask_has_a_handler() -> None:
    assert every_kind() == {*HANDLERS}


def answer(runner: Engine | LocalRunner | StudyRunner, ask: Ask | StreamAsk) -> object:
    return runner.ask(ask) if isinstance(ask, Ask) else list(runner.stream(ask))


@pytest.mark.parametrize("ask", COSTLY, ids=lambda ask: type(ask).__name__)
def test_what_does_not_fit_is_refused_with_both_numbers_whoever_answers(
    engine: Engine, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch, ask: Ask | StreamAsk
) -> None:
    needed = HANDLERS[type(ask)].cost_bytes(runner._workspace, ask)
    assert needed > 0
    monkeypatch.setattr("dashboard.analysis.system.room.free_bytes", lambda device: needed - 1)
    for one in (runner, engine, StudyRunner(engine)):
        with pytest.raises(OutOfMemory) as refused:
            answer(one, ask)
        assert refused.value.needed_bytes == needed > refused.value.free_bytes
    monkeypatch.undo()
    assert answer(runner, ask)


def test_what_a_study_asks_pushes_out_nothing_that_a_page_asked(engine: Engine) -> None:
    mine = CaptureAsk(Prompt("A fox"), (SAE,))
    kept = engine.ask(mine)
    study = StudyRunner(engine)
    for number in range(HANDLERS[CaptureAsk].n_kept + 2):
        study.ask(CaptureAsk(Prompt(f"A dog {number}"), (SAE,)))
    assert engine.ask(mine) is kept and study.ask(mine) is kept
