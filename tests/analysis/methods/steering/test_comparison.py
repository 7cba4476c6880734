"""The comparison of a plain and a steered text: its laws, and its ways out as data, as a command and for Neuronpedia."""

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
import typer

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where, parse_where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.steering.comparison import (
    MAX_SUBSET,
    Comparison,
    SteeringAsk,
    ask_of,
    command,
    compare,
    first_difference,
    neuronpedia,
    report,
    subset_table,
    subsets,
)
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.studies.record import RunRecord, make_record
from dashboard.analysis.tokens import Prompt, TokenSpan
from dashboard.cli import app
from tests.conftest import D_MODEL

SAE = SaeId("tiny", "2.resid_post")
PROMPT = Prompt("The quick brown fox")
NORTH = NamedVector("two words", Site.parse("1.mlp_out"), tuple(0.1 * (i + 1) for i in range(D_MODEL)))
EDITS = (
    Intervention(LatentId(SAE, 7), Op.ADD, 0.30000000000000004),
    Intervention(LatentId(SaeId("tiny", "1.mlp_out"), 3), Op.SCALE, 1234567.0, where=Where.GENERATED),
    Intervention(LatentId(SAE, 8), Op.CLAMP, 0.5, Unit.NORM, TokenSpan(2, 5)),
    Intervention(NORTH, Op.PROJECT_OUT, where=TokenSpan(3)),
    Intervention(NORTH, Op.ADD, -1.5e-7, Unit.NORM, Where.PROMPT),
)
"""Each way to say an edit, with amounts that six digits cannot hold."""
PUSH = (Intervention(LatentId(SAE, 7), Op.ADD, 8.0), Intervention(LatentId(SAE, 9), Op.ADD, -6.0, where=Where.GENERATED))


def record_of(runner: LocalRunner, ask: SteeringAsk) -> RunRecord:
    return make_record("steer", ask.plain_data(), runner.describe(), runner.catalog, ask.saes, 0.5)


@pytest.fixture
def ask() -> SteeringAsk:
    return SteeringAsk(PROMPT, PUSH, Sampling(10))


@pytest.fixture
def found(runner: LocalRunner, ask: SteeringAsk) -> Comparison:
    return compare(runner, ask)


@pytest.mark.parametrize("sampling", [Sampling(10), Sampling(10, 1.0, 0.9, seed=3)])
def test_without_edits_both_texts_are_one(runner: LocalRunner, sampling: Sampling) -> None:
    ask = SteeringAsk(PROMPT, (), sampling)
    found = compare(runner, ask)
    assert found.plain == found.steered and found.plain.ended and len(found.plain.ids) == 10
    answer = report(ask, found, record_of(runner, ask))
    assert answer["first_difference"] is None
    assert answer["kl"] == answer["logprob_differences"] == [0.0] * 10
    assert answer["interventions"] == [] and answer["plain"] == answer["steered"]


def test_a_report_holds_what_the_command_promises_and_is_json(runner: LocalRunner, ask: SteeringAsk, found: Comparison) -> None:
    record = record_of(runner, ask)
    answer = report(ask, found, record)
    assert {"plain", "steered", "kl", "first_difference", "interventions", "record"} <= {*answer}
    for name, written in (("plain", found.plain), ("steered", found.steered)):
        side = answer[name]
        assert {"text", "ids", "logprobs"} <= {*side}
        assert len(side["ids"]) == len(side["logprobs"]) == 10
        assert side["text"] == written.text == runner.model.tokenizer.decode(side["ids"], skip_special_tokens=True)
        assert all(logprob <= 0 for logprob in side["logprobs"])
    assert len(answer["kl"]) == len(answer["logprob_differences"]) == 10 and max(answer["kl"]) > 0 == min(0, *answer["kl"])
    place = answer["first_difference"]
    assert answer["plain"]["ids"][:place] == answer["steered"]["ids"][:place]
    assert answer["plain"]["ids"][place] != answer["steered"]["ids"][place]
    for told, edit in zip(answer["interventions"], PUSH, strict=True):
        assert Intervention.parse(told["edit"], parse_where(told["where"])) == edit
        assert told["raw_amount"] == edit.amount
        assert told["share_of_norm"] == pytest.approx(edit.amount / runner.mean_norm(Site.parse("2.resid_post")), rel=1e-5)
    assert json.loads(json.dumps(answer, allow_nan=False)) == json.loads(json.dumps(answer))
    assert ask_of(json.loads(json.dumps(answer))["record"]["ask"]) == ask and RunRecord(**answer["record"]) == record


def test_kl_is_of_the_steered_text_and_0_until_the_first_edited_token(runner: LocalRunner) -> None:
    ask = SteeringAsk(PROMPT, (replace(PUSH[0], where=Where.GENERATED, amount=60.0),), Sampling(8))
    found = compare(runner, ask)
    kl = report(ask, found, record_of(runner, ask))["kl"]
    assert kl == [token.kl for token in found.steered_score.tokens] != [token.kl for token in found.plain_score.tokens]
    assert kl[0] == pytest.approx(0, abs=1e-6) and min(kl[1:]) > 1e-3


def test_a_text_of_one_token_has_a_report_too(runner: LocalRunner) -> None:
    ask = SteeringAsk(PROMPT, PUSH, Sampling(1))
    answer = report(ask, compare(runner, ask), record_of(runner, ask))
    assert len(answer["kl"]) == 1 and answer["plain"]["repeated_4grams"] is None
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize(
    ("plain", "steered", "place"),
    [((), (), None), ((1, 2), (1, 2), None), ((1, 2), (1, 2, 3), 2), ((1, 2, 3), (1, 2), 2), ((), (1,), 0), ((1, 2), (3, 2), 0),
     ((1, 2, 3), (1, 4, 3), 1), ((0,), (), 0)],
)  # fmt: skip
def test_the_first_difference_is_the_first_place_where_the_texts_part(
    plain: tuple[int, ...], steered: tuple[int, ...], place: int | None
) -> None:
    assert first_difference(plain, steered) == first_difference(steered, plain) == place


@pytest.mark.parametrize("n", range(1, MAX_SUBSET + 1))
def test_every_subset_is_there_once_plain_first(n: int) -> None:
    found = subsets(EDITS[:n])
    labels = [*found]
    assert labels[0] == "plain" and found["plain"] == () and len({*found.values()}) == len(found) == 2**n
    for label in labels[1:]:
        numbers = [int(number) for number in label.split("+")]
        assert numbers == sorted({*numbers}) and found[label] == tuple(EDITS[number - 1] for number in numbers)
    sizes = [len(edits) for edits in found.values()]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("n", [0, 5])
def test_more_edits_than_subsets_can_be_tried_of_are_refused_with_both_numbers(n: int) -> None:
    with pytest.raises(BadAsk, match=f"1 to 4 edits; there are {n}"):
        subsets(EDITS[:n])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_of_the_subset_table_is_the_comparison_with_these_edits(runner: LocalRunner, temperature: float) -> None:
    ask = SteeringAsk(PROMPT, PUSH, Sampling(10, temperature, seed=5))
    rows = {row["edits"]: row for row in subset_table(runner, ask)}
    assert [*rows] == ["plain", "1", "2", "1+2"]
    for label, edits in (("plain", ()), ("1", PUSH[:1]), ("2", PUSH[1:]), ("1+2", PUSH)):
        one = replace(ask, interventions=edits)
        alone = report(one, compare(runner, one), record_of(runner, one))
        assert rows[label]["text"] == alone["steered"]["text"]
        assert rows[label]["kl"] == pytest.approx(sum(alone["kl"]) / len(alone["kl"]), rel=1e-4, abs=1e-7)
        assert rows[label]["perplexity"] == pytest.approx(alone["steered"]["perplexity"], rel=1e-4)
        assert rows[label]["repeated 4-grams"] == alone["steered"]["repeated_4grams"]
    assert len({row["text"] for row in rows.values()}) == 4


@pytest.mark.parametrize("chat", [False, True])
def test_an_ask_is_read_as_it_was_written_down(chat: bool) -> None:
    ask = SteeringAsk(Prompt('한국어 "$HOME"\n\ttab \ud800', chat), EDITS, Sampling(33, 0.30000000000000004, 0.1234567891, seed=2**31))
    assert ask_of(ask.plain_data()) == ask
    assert ask_of(json.loads(json.dumps(ask.plain_data(), allow_nan=False))) == ask
    assert ask_of(SteeringAsk(PROMPT).plain_data()) == SteeringAsk(PROMPT)


def test_asks_that_differ_in_the_last_digit_are_written_down_differently() -> None:
    asks = [SteeringAsk(PROMPT, (replace(EDITS[0], amount=amount),)) for amount in (1.0, 1.0000001, 1.0000000000000002)]
    asks += [replace(asks[0], sampling=Sampling(40, temperature)) for temperature in (0.1, 0.1 + 1e-9)]
    assert len({json.dumps(ask.plain_data()) for ask in asks}) == len(asks)


def steer_arguments(line: str) -> dict[str, Any]:
    """What the command line's own parser makes of a shell line."""
    program, name, *words = shlex.split(line)
    assert (program, name) == ("latents", "steer")
    group = typer.main.get_command(app)
    return group.commands[name].make_context(name, words).params  # type: ignore[attr-defined]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("where", [*Where, TokenSpan(2, 5), TokenSpan(3)])
@pytest.mark.parametrize("text", ["The fox", "", "-- it's", "--help", '-2 `x` $HOME "q" \\\n\t한국어 👩‍👩‍👧; rm *'])
def test_the_command_asks_for_the_same_comparison(text: str, where: Where | TokenSpan, chat: bool) -> None:
    edits = tuple(replace(edit, where=where) for edit in EDITS)
    ask = SteeringAsk(Prompt(text, chat), edits, Sampling(33, 0.30000000000000004, 0.1234567891, seed=2**31))
    told = steer_arguments(command(ask, "bfloat16"))
    read = tuple(Intervention.parse(edit, parse_where(told["where"]), {NORTH.name: NORTH}) for edit in told["edits"])
    sampling = Sampling(told["max_new_tokens"], told["temperature"], told["top_p"], told["seed"])
    assert SteeringAsk(Prompt(told["prompt"], told["chat"]), read, sampling) == ask
    assert told["dtype"].value == "bfloat16" and not told["as_json"]


def test_the_command_of_no_edits_asks_for_none() -> None:
    assert not steer_arguments(command(SteeringAsk(PROMPT), "float32"))["edits"]


def test_neuronpedias_form_says_the_raw_amount_and_every_token(runner: LocalRunner) -> None:
    edits = (Intervention(LatentId(SAE, 7), Op.ADD, 0.4, Unit.NORM), Intervention(NORTH, Op.ADD, -2.0, where=Where.GENERATED))
    ask = SteeringAsk(PROMPT, edits, Sampling(10, 0.7, seed=4))
    found = compare(runner, ask)
    given = neuronpedia(ask, found, "tests/tiny")
    assert json.loads(json.dumps(given, allow_nan=False)) == given
    request, response = given["request"], given["response"]
    wanted = {
        "prompt",
        "chat",
        "modelId",
        "features",
        "temperature",
        "n_tokens",
        "freq_penalty",
        "seed",
        "strength_multiplier",
        "steer_method",
    }
    assert {*request} == wanted and request["steer_method"] == "SIMPLE_ADDITIVE"
    assert (request["prompt"], request["temperature"], request["n_tokens"], request["seed"]) == (PROMPT.text, 0.7, 10, 4)
    for feature in request["features"]:
        assert {"modelId", "layer", "index", "strength"} <= {*feature} and type(feature["index"]) is int
    assert [feature["index"] for feature in request["features"]] == [7, -1]
    by_norm, raw = (feature["strength"] for feature in request["features"])
    row = runner.sae(SAE).W_dec[7]
    assert by_norm * float(row.norm()) == pytest.approx(0.4 * runner.mean_norm(Site.parse("2.resid_post")), rel=1e-5) and raw == -2.0
    assert {"STEERED", "DEFAULT", "steeredLogProbs", "defaultLogProbs"} <= {*response}
    for text, name, written in ((response["STEERED"], "steered", found.steered), (response["DEFAULT"], "default", found.plain)):
        tokens = response[f"{name}LogProbs"]
        assert text == PROMPT.text + "".join(token["token"] for token in tokens) and len(tokens) == len(written.ids) == 10
        assert [token["logprob"] for token in tokens] == pytest.approx(written.logprobs, abs=1e-4)
        for token in tokens:
            assert {*token} == {"token", "logprob", "topLogprobs"} and all({*near} == {"token", "logprob"} for near in token["topLogprobs"])
            best = [near["logprob"] for near in token["topLogprobs"]]
            assert best == sorted(best, reverse=True) and token["logprob"] <= best[0] + 1e-6
