"""Every kind of ask, as one type: `to_plain(ask, EveryAsk)` says which kind it is, `from_plain(EveryAsk, value)` reads any."""

from dashboard.analysis.asks.capture import CaptureAsk, TraceAsk
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, RescaleAsk
from dashboard.analysis.asks.generation import GenerationAsk, ScoreAsk
from dashboard.analysis.asks.lens import DirectionLensAsk, JacobiansAsk, KeepLensAsk, LensAsk, LensCheckAsk, LensRecordAsk
from dashboard.analysis.asks.many_texts import AnsweringAsk, AttentionAsk, ChoiceAsk, ReadingAsk
from dashboard.analysis.asks.matching import MatchAsk
from dashboard.analysis.asks.measuring import AbsorptionAsk, EvaluationAsk
from dashboard.analysis.asks.weights import AssembleAsk, DosesAsk, NeighbourAsk, PromotedAsk, VocabularyAsk

EveryAsk = (
    CaptureAsk
    | TraceAsk
    | ActivityAsk
    | RescaleAsk
    | VocabularyAsk
    | NeighbourAsk
    | MatchAsk
    | DosesAsk
    | PromotedAsk
    | AssembleAsk
    | GenerationAsk
    | ScoreAsk
    | ReadingAsk
    | AnsweringAsk
    | ChoiceAsk
    | AttentionAsk
    | LensAsk
    | DirectionLensAsk
    | LensCheckAsk
    | JacobiansAsk
    | KeepLensAsk
    | LensRecordAsk
    | EvaluationAsk
    | AbsorptionAsk
)
