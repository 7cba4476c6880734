"""How each kind of ask is answered, what that costs in bytes, and how many of its answers are remembered: one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboard.analysis.asks.ask import AnyAsk
from dashboard.analysis.asks.capture import CaptureAsk, TraceAsk
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, RescaleAsk
from dashboard.analysis.asks.generation import GenerationAsk, ScoreAsk
from dashboard.analysis.asks.lens import DirectionLensAsk, JacobiansAsk, KeepLensAsk, LensAsk, LensCheckAsk, LensRecordAsk
from dashboard.analysis.asks.many_texts import AnsweringAsk, AttentionAsk, ChoiceAsk, ReadingAsk
from dashboard.analysis.asks.matching import MatchAsk
from dashboard.analysis.asks.measuring import AbsorptionAsk, EvaluationAsk
from dashboard.analysis.asks.weights import AssembleAsk, DosesAsk, NeighbourAsk, PromotedAsk, VocabularyAsk
from dashboard.analysis.engine.answers import lens, many, measuring, tokens, weights, writing
from dashboard.analysis.engine.workspace import Workspace


def _nothing(at: Workspace, ask: Any) -> int:
    return 0


@dataclass(frozen=True)
class Handler:
    """How one kind of ask is answered, on the thread that owns the model."""

    answer: Callable[[Workspace, Any], Any]
    """The answer; of a StreamAsk an iterator of turns, each a tuple of items, between which others have theirs."""
    cost_bytes: Callable[[Workspace, Any], int] = _nothing
    """Upper estimate of what is allocated beside weights: more than the device has is refused before anything is."""
    n_kept: int = 0
    """Answers that the engine remembers for the same ask put again."""


HANDLERS: dict[type[AnyAsk], Handler] = {
    CaptureAsk: Handler(tokens.capture, tokens.capture_cost, n_kept=48),
    TraceAsk: Handler(tokens.trace, tokens.trace_cost, n_kept=48),
    ActivityAsk: Handler(tokens.activity, tokens.activity_cost),
    RescaleAsk: Handler(tokens.rescale, tokens.rescale_cost),
    VocabularyAsk: Handler(weights.vocabulary),
    NeighbourAsk: Handler(weights.neighbours, n_kept=48),
    MatchAsk: Handler(weights.matches),
    DosesAsk: Handler(weights.doses, n_kept=48),
    PromotedAsk: Handler(weights.promoted, n_kept=48),
    AssembleAsk: Handler(weights.assemble),
    GenerationAsk: Handler(writing.generate, writing.generation_cost, n_kept=256),
    ScoreAsk: Handler(writing.score, writing.score_cost, n_kept=48),
    ReadingAsk: Handler(many.read, many.reading_cost),
    AnsweringAsk: Handler(many.answer),
    ChoiceAsk: Handler(many.choose, many.choice_cost),
    AttentionAsk: Handler(many.attend, many.attention_cost),
    EvaluationAsk: Handler(measuring.evaluate),
    AbsorptionAsk: Handler(measuring.absorption),
    LensAsk: Handler(lens.read, lens.read_cost, n_kept=48),
    DirectionLensAsk: Handler(lens.direction, n_kept=48),
    LensCheckAsk: Handler(lens.check, lens.check_cost),
    JacobiansAsk: Handler(lens.jacobians, lens.jacobians_cost),
    KeepLensAsk: Handler(lens.keep),
    LensRecordAsk: Handler(lens.record),
}
