"""Edits and parts of a text: printed and read, and refused when they are wrong."""

import math

import pytest

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where, parse_where, print_where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.errors import BadAsk, BadName
from dashboard.analysis.names import LatentId, Site
from dashboard.analysis.tokens import Prompt, TokenSpan

LATENT = LatentId.parse("tiny/2.resid_post/7")
VECTOR = NamedVector("north", Site.parse("2.resid_post"), (0.0, 1.0))


@pytest.mark.parametrize("op", Op)
@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("amount", [0.0, -3.5, 1e-5, 400.0, 0.1 + 0.2, 1234567.0, -1e9])
def test_an_edit_is_read_as_it_was_printed(op: Op, unit: Unit, amount: float) -> None:
    edit = Intervention(LATENT, op, amount, unit)
    assert Intervention.parse(str(edit)) == edit
    if unit is not Unit.MAX:
        mixed = Intervention(VECTOR, op, amount, unit, Where.PROMPT)
        assert Intervention.parse(str(mixed), Where.PROMPT, {"north": VECTOR}) == mixed


def test_unit_and_unused_amount_may_be_left_out() -> None:
    assert Intervention.parse("tiny/2.resid_post/7:add:2") == Intervention(LATENT, Op.ADD, 2.0, Unit.RAW)
    assert Intervention.parse("tiny/2.resid_post/7:ablate") == Intervention(LATENT, Op.ABLATE)


@pytest.mark.parametrize(
    "text", ["", ":", "tiny/2.resid_post/7", "tiny/2.resid_post/7:add", "tiny/2.resid_post/7:shout:1", "tiny/2.resid_post/7:add:x:raw",
             "tiny/2.resid_post/7:add:1:feet", "tiny/2.resid_post/7:add:1:raw:more", "tiny/2.resid_post:add:1"]
)  # fmt: skip
def test_a_wrong_edit_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(BadName):
        Intervention.parse(text)


def test_what_cannot_be_done_is_refused_with_the_cure() -> None:
    with pytest.raises(BadAsk, match="finite"):
        Intervention.parse("tiny/2.resid_post/7:add:nan")
    with pytest.raises(BadAsk, match="finite"):
        Intervention(LATENT, Op.ADD, math.inf)
    with pytest.raises(BadAsk, match="raw or norm"):
        Intervention(VECTOR, Op.ADD, 1.0, Unit.MAX)
    with pytest.raises(BadAsk, match=r"There is no vector/south here\. Available vectors: north"):
        Intervention.parse("vector/south:add:1", vectors={"north": VECTOR})
    with pytest.raises(BadAsk, match="600 new tokens were asked for; 1 to 512"):
        Sampling(600)
    for wrong in (
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"temperature": 1e-40},
        {"temperature": math.inf},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ):
        with pytest.raises(BadAsk):
            Sampling(**wrong)
    with pytest.raises(BadAsk, match="different labels"):
        GenerationAsk(Prompt("a"), (Variant("x"), Variant("x")))
    with pytest.raises(BadAsk, match="zeros"):
        NamedVector("nothing", VECTOR.site, (0.0, 0.0))
    for values in ((1e20, 0.0), (1e308, 1e308), (1e-20, 1e-20)):
        with pytest.raises(BadAsk, match="1e-15 to 1e\\+15 can be used"):
            NamedVector("odd", VECTOR.site, values)
    with pytest.raises(BadAsk, match="between -1e\\+09 and 1e\\+09"):
        Intervention(LATENT, Op.ADD, -1.1e9)


@pytest.mark.parametrize("where", [*Where, TokenSpan(0, 1), TokenSpan(7, 12), TokenSpan(3)])
def test_a_part_of_the_text_is_read_as_it_was_printed(where: Where | TokenSpan) -> None:
    assert parse_where(print_where(where)) == where


@pytest.mark.parametrize("text", ["", "all", "7", "5:5", "5:2", "-1:4", ":4", "1:2:3"])
def test_a_wrong_part_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parse_where(text)


def test_an_open_span_holds_everything_from_its_start_on() -> None:
    assert [position in TokenSpan(2) for position in (0, 1, 2, 10**6)] == [False, False, True, True]
    assert [position in TokenSpan(2, 4) for position in range(6)] == [False, False, True, True, False, False]
