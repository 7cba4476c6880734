"""Every kind of ask can be written as JSON and read back as the same question, by whoever may answer it."""

import json
from typing import get_args

import numpy as np
import pytest

from dashboard.analysis.asks.capture import CaptureAsk, TraceAsk
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, Rescale, RescaleAsk
from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where
from dashboard.analysis.asks.every import EveryAsk
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.lens import DirectionLensAsk, JacobiansAsk, KeepLensAsk, LensAsk, LensCheckAsk, LensKind, LensRecordAsk
from dashboard.analysis.asks.many_texts import AnsweringAsk, AttentionAsk, ChoiceAsk, MarkedText, Part, PartEdit, ReadingAsk, Spot
from dashboard.analysis.asks.matching import MatchAsk, MatchBy
from dashboard.analysis.asks.measuring import AbsorptionAsk, EvaluationAsk
from dashboard.analysis.asks.weights import AssembleAsk, DosesAsk, NeighbourAsk, PromotedAsk, VocabularyAsk
from dashboard.analysis.lenses.file import LensRecord, pack
from dashboard.analysis.names import LatentId, Point, SaeId, Site
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.tokens import Prompt, TokenSpan
from tests.analysis.engine.test_handlers import every_kind

SAE = SaeId("release", "3.resid_post/wide")
LATENT = LatentId(SAE, 7)
VECTOR = NamedVector("mine", Site(2, Point.MLP_OUT), (0.1, -1 / 3, 1e-12))
RECORD = LensRecord("tests/tiny", "a text", "ab", (4, 2), 63, 16, "float32", {"torch": "2"}, "2026-01-01T00:00:00Z")
TEXTS = (MarkedText("서울 and half a pair: \ud83d", (0, 2), True, "It is"), MarkedText("plain"))
MARKED = TEXTS[:1]
EDITS = (
    Intervention(LATENT, Op.CLAMP, 1 / 3, Unit.MAX, TokenSpan(2, None)),
    Intervention(VECTOR, Op.PROJECT_OUT, where=Where.GENERATED),
)
PARTS = (PartEdit(VECTOR, Op.ADD, 0.2, Unit.NORM, Part.MARKED_ON), PartEdit(LATENT, Op.ABLATE))
ASKS = (
    CaptureAsk(Prompt("A fox\n", True, (5, 6)), (SAE,), True),
    TraceAsk(((5, 6), ()), (LATENT,)),
    ActivityAsk(((5, 6), (7,)), ((1,), ()), (SAE,)),
    RescaleAsk((5, 6, 7), 1, (Rescale((LATENT,), 0.0), Rescale((), -1.5)), (LATENT,), 1),
    VocabularyAsk((1, 2)),
    NeighbourAsk(LATENT, (SAE,), 3),
    MatchAsk(SAE, SaeId("release", "4.resid_post"), (1, 2), by=MatchBy.RANDOM, folded=True, seed=4),
    MatchAsk(SAE, SAE),
    DosesAsk(EDITS),
    PromotedAsk(VECTOR, 9),
    PromotedAsk(LATENT),
    AssembleAsk("sum", ((LATENT, 0.1), (LATENT, -2.0))),
    GenerationAsk(Prompt("A fox"), (Variant("plain"), Variant("steered", EDITS, 3)), Sampling(5, 0.7, 0.9, 2)),
    ScoreAsk(Prompt("A fox", continuation=(5,)), EDITS, 3, ("Yes",)),
    ReadingAsk(TEXTS, (SAE,), Spot.LAST, (Site(1, Point.RESID_POST),), (Site(2, Point.MLP_OUT),)),
    AnsweringAsk(MARKED, n_samples=2, stop_at_line=True, edits=PARTS, without=VECTOR),
    ChoiceAsk(MARKED, (("yes", "no"),), PARTS, LATENT),
    AttentionAsk(MARKED, PARTS),
    LensAsk(Prompt("A fox"), LensKind.JACOBIAN, 3, 1, 5, "2026-11-30"),
    DirectionLensAsk(LATENT, LensKind.LOGIT, 4),
    DirectionLensAsk(VECTOR),
    LensCheckAsk((5, 6, 7), LensKind.JACOBIAN),
    JacobiansAsk((5, 6, 7), 2),
    LensRecordAsk(),
    EvaluationAsk((SAE,), ("a.txt", "hf:a/b"), 300, 20, True),
    AbsorptionAsk((SAE,), ("a.txt",), 9),
)


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: type(ask).__name__)
def test_an_ask_read_from_json_is_the_same_ask(ask: object) -> None:
    written = json.dumps(to_plain(ask, EveryAsk), allow_nan=False)
    read = from_plain(EveryAsk, json.loads(written))
    assert read == ask and type(read) is type(ask) and hash(read) == hash(ask)


def test_a_lens_that_is_to_be_kept_is_read_from_json_bit_for_bit() -> None:
    matrices = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    ask = KeepLensAsk(pack(RECORD, matrices))
    read = from_plain(EveryAsk, json.loads(json.dumps(to_plain(ask, EveryAsk), allow_nan=False)))
    assert isinstance(read, KeepLensAsk) and read.lens.record == RECORD
    np.testing.assert_array_equal(read.lens.packed, ask.lens.packed)
    np.testing.assert_array_equal(read.lens.scales, ask.lens.scales)


def test_every_kind_of_ask_is_among_them() -> None:
    assert {*get_args(EveryAsk)} == every_kind() == {type(ask) for ask in ASKS} | {KeepLensAsk}
