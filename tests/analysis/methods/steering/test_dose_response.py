"""Dose and response: what a sweep must keep to, and what its rules and intervals mean."""

import itertools
import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, TokenDelta, Variant
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownLatent
from dashboard.analysis.methods.steering.dose_response import Curve, Point, Rule, RuleKind, SweepAsk, SweepProgress, sweep, table
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.stats.estimates import mean_estimate, share_estimate
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.stats.refusal import is_refusal
from dashboard.analysis.tokens import Prompt

SAE = SaeId("tiny", "2.resid_post")
SEVEN = Curve("seven", (Intervention(LatentId(SAE, 7), Op.ADD, 4.0),))
TWO = Curve("two", (Intervention(LatentId(SAE, 3), Op.CLAMP, 5.0), Intervention(LatentId(SAE, 9), Op.ADD, -3.0, where=Where.PROMPT)))
SAMPLING = Sampling(8, 1.0, seed=5)
ASK = SweepAsk(Prompt("The quick brown fox"), (SEVEN, TWO), (-1.0, 0.0, 1.0, 2.0), 3, SAMPLING, "dog", Rule(RuleKind.REGEX, "[aeiou]"))


def last(runner: LocalRunner, ask: SweepAsk, n_rows_at_once: int = 16) -> SweepProgress:
    return list(sweep(runner, ask, n_rows_at_once))[-1]


def alone(runner: LocalRunner, ask: SweepAsk, curve: Curve, factor: float, seed: int) -> list[TokenDelta]:
    edits = tuple(replace(edit, amount=edit.amount * factor) for edit in curve.interventions) if factor else ()
    return list(runner.stream(GenerationAsk(ask.prompt, (Variant("alone", edits, seed),), ask.sampling)))


def at(points: tuple[Point, ...], curve: str, factor: float) -> Point:
    return next(point for point in points if (point.curve, point.factor) == (curve, factor))


class Recorder(LocalRunner):
    """Notes what it is asked to write."""

    def __init__(self, runner: LocalRunner) -> None:
        self.__dict__ = runner.__dict__
        self.asked: list[GenerationAsk] = []

    def stream(self, ask):
        if isinstance(ask, GenerationAsk):
            self.asked.append(ask)
        return super().stream(ask)


def test_every_text_and_figure_is_what_the_runner_gives_for_that_variant_alone(runner: LocalRunner) -> None:
    points = last(runner, ASK).points
    assert [(p.curve, p.factor) for p in points] == [(curve.label, factor) for curve in ASK.curves for factor in ASK.factors]
    for curve in ASK.curves:
        for factor in ASK.factors:
            point = at(points, curve.label, factor)
            assert [text.seed for text in point.texts] == [5, 6, 7]
            for text in point.texts:
                deltas = alone(runner, ASK, curve, factor, text.seed)
                ids = tuple(delta.token_id for delta in deltas)
                assert text.text == "".join(delta.text for delta in deltas)
                score = runner.ask(ScoreAsk(replace(ASK.prompt, continuation=ids), curve.at(factor)))
                assert text.kl == pytest.approx(sum(token.kl for token in score.tokens) / len(ids), abs=1e-5)
                assert text.perplexity == pytest.approx(score.perplexity, rel=1e-4)
                assert text.repeated == repeated_ngrams(ids)
                assert text.matched == any(letter in text.text for letter in "aeiou")
                assert [dose.amount for dose in point.doses] == [dose.amount for dose in score.doses]
    assert at(points, "seven", 2.0).texts != at(points, "seven", 1.0).texts != at(points, "seven", 0.0).texts


def test_the_word_is_scored_as_the_first_new_token_whatever_the_seeds_wrote(runner: LocalRunner) -> None:
    dog = runner.model.tokenizer(" dog", add_special_tokens=False)["input_ids"][0]
    for point in last(runner, ASK).points:
        curve = next(curve for curve in ASK.curves if curve.label == point.curve)
        first = runner.ask(ScoreAsk(replace(ASK.prompt, continuation=(dog,)), curve.at(point.factor))).tokens[0]
        assert point.word_logprob == pytest.approx(first.logprob, abs=1e-4)


def test_factor_zero_is_the_plain_model_for_every_curve_and_is_written_once(runner: LocalRunner) -> None:
    recorder = Recorder(runner)
    points = last(recorder, ASK).points
    zero = [at(points, curve.label, 0.0) for curve in ASK.curves]
    assert zero[0].texts == zero[1].texts and zero[0].doses == ()
    for text in zero[0].texts:
        assert text.text == "".join(delta.text for delta in alone(runner, ASK, SEVEN, 0.0, text.seed))
        assert abs(text.kl) < 1e-6
    rows = [variant for ask in recorder.asked for variant in ask.variants]
    assert len(rows) == ASK.n_texts == 3 * (2 * 3 + 1)
    assert sum(not variant.interventions for variant in rows) == 3


def test_a_chunk_is_one_ask_and_its_size_changes_nothing(runner: LocalRunner) -> None:
    recorder = Recorder(runner)
    whole = last(runner, ASK).points
    steps = list(sweep(recorder, ASK, 4))
    assert [len(ask.variants) for ask in recorder.asked] == [4, 4, 4, 4, 4, 1]
    assert [(step.done, step.total) for step in steps] == [(n, 21) for n in (4, 8, 12, 16, 20, 21)]
    for ours, theirs in zip(steps[-1].points, whole, strict=True):
        assert [text.text for text in ours.texts] == [text.text for text in theirs.texts]
        assert [text.kl for text in ours.texts] == pytest.approx([text.kl for text in theirs.texts], abs=1e-5)
        assert ours.matched == theirs.matched
    for before, after in itertools.pairwise(steps):
        assert {*before.points} <= {*after.points}
    assert [len(step.points) for step in steps] == [1, 2, 5, 6, 7, 8]


def test_seeds_write_different_texts_at_temperature_one(runner: LocalRunner) -> None:
    for point in last(runner, ASK).points:
        assert len({text.text for text in point.texts}) == 3


def test_points_do_not_depend_on_the_order_of_the_curves(runner: LocalRunner) -> None:
    ours = last(runner, ASK).points
    theirs = last(runner, replace(ASK, curves=(TWO, SEVEN))).points
    for point in ours:
        other = at(theirs, point.curve, point.factor)
        assert [text.text for text in point.texts] == [text.text for text in other.texts]
        assert point.kl.mean == pytest.approx(other.kl.mean, abs=1e-5)


def test_one_seed_has_figures_but_no_interval(runner: LocalRunner) -> None:
    for point in last(runner, replace(ASK, n_seeds=1, sampling=Sampling(8))).points:
        for estimate in (point.kl, point.perplexity, point.repeated, point.matched):
            assert estimate is not None and estimate.interval is None and estimate.n == 1


def test_a_text_of_under_four_tokens_has_no_repeated_share(runner: LocalRunner) -> None:
    point = last(runner, replace(ASK, sampling=Sampling(3, 1.0), rule=None, word=None)).points[0]
    assert point.repeated is None and point.matched is None and point.word_logprob is None
    assert all(text.repeated is None and text.matched is None for text in point.texts)


VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=12)


@given(values=VALUES, data=st.data())
def test_an_interval_contains_the_mean_and_does_not_depend_on_the_order_of_seeds(values: list[float], data: st.DataObject) -> None:
    found = mean_estimate(values)
    assert found.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert found == mean_estimate(data.draw(st.permutations(values)))
    if len({*values}) == 1:
        assert found.interval is None
    else:
        assert found.interval is not None
        assert min(values) - 1e-9 <= found.interval[0] <= found.mean <= found.interval[1] <= max(values) + 1e-9
        assert found.interval[0] < found.interval[1]


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(400):
        low, high = mean_estimate(rng.normal(3.0, 1.0, 30).tolist()).interval or (0.0, 0.0)
        hits += low <= 3.0 <= high
    assert 360 <= hits <= 392  # 94 % at 30 values, give or take chance


def test_the_interval_of_a_share_is_wilsons_and_has_a_width_even_at_the_ends() -> None:
    for n in range(2, 51):
        for k in range(n + 1):
            found = share_estimate([True] * k + [False] * (n - k))
            assert found.interval is not None and found.mean == k / n
            assert 0 <= found.interval[0] <= found.mean <= found.interval[1] <= 1
            assert found.interval[1] - found.interval[0] > 0.05
    z = 1.959963984540054
    assert share_estimate([True] * 10).interval == pytest.approx((10 / (10 + z * z), 1.0))
    assert share_estimate([True]).interval is None


def test_repeated_ngrams_by_hand() -> None:
    assert repeated_ngrams([1, 2, 3]) is None and repeated_ngrams([]) is None
    assert repeated_ngrams([1, 2, 3, 4]) == 0
    assert repeated_ngrams([1] * 8) == pytest.approx(4 / 5)
    assert repeated_ngrams([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repeated_ngrams([1, 2, 1, 2], 2) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("words", "text", "matches"),
    [
        ("cat, dog", "The Dog.", True),
        ("cat, dog", "The dogs and cats", False),
        ("cat, dog", "hotdog category", False),
        ("dog", "a_dog", False),
        ("dog", "(dog)", True),
        ("new york", "in New\n York!", True),
        ("c++, .net", "I write C++ now", True),
        ("a.c", "abc", False),
        ("Straße,", "DIE STRAßE", True),
        ("개", "개, 고양이", True),
        ("개", "개구리", False),
    ],
)
def test_words_match_whole_and_in_any_case(words: str, text: str, matches: bool) -> None:
    assert Rule(RuleKind.WORDS, words).matches(text) is matches


def test_a_regular_expression_is_searched_as_it_stands() -> None:
    assert Rule(RuleKind.REGEX, r"^\s*No\b").matches(" No, thanks") and not Rule(RuleKind.REGEX, r"^\s*No\b").matches("no way")


def test_a_regular_expression_that_never_ends_is_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(BadAsk, match=r"of 3,001 characters for more than 0\.5 s"):
        Rule(RuleKind.REGEX, "(x+x+)+y|(a|aa)+$").matches("a" * 3000 + "b")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I’m not familiar with a player of that name.", True),
        ("Well, I’m unable, sadly, to say.", True),
        ("I am NOT AWARE, to be honest, whether he played.", True),  # fused with "not familiar" in the published list
        ("Could you provide me with more about the film?", True),  # fused with the next phrase there
        ("Hm. I cannot say.", False),
        ("  I cannot say.", True),  # "i cannnot" there; counts at the start only
        ("There is no player called Wilson Brown.", True),  # listed with a capital there
        ("Unfortunately I have nothing on it.", True),
        ("The premise of the question is incorrect.", True),
        ("Wilson Brown was born in Leeds in 1987.", False),
        ("Titanic was directed by James Cameron.", False),
        ("", False),
    ],
)
def test_refusals_are_told_by_their_wording(text: str, refuses: bool) -> None:
    assert is_refusal(text) is refuses
    assert Rule(RuleKind.REFUSAL).matches(text) is refuses


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (RuleKind.REGEX, "ab(c", r"'ab\(c' cannot be read: missing \) at position 4"),
        (RuleKind.REGEX, "a[z-a]", "bad character range at position 5"),
        (RuleKind.REGEX, "a" * 201, "201 characters; 200 are possible. Shorten it by 1"),
        (RuleKind.REGEX, "", "empty"),
        (RuleKind.WORDS, " , ", "0 words"),
        (RuleKind.REFUSAL, "sorry", "its own list"),
    ],
)
def test_a_bad_rule_says_what_is_wrong_and_where(kind: RuleKind, text: str, says: str) -> None:
    with pytest.raises(BadAsk, match=says):
        Rule(kind, text)


def many(n: int) -> tuple[Curve, ...]:
    return tuple(replace(SEVEN, label=str(i)) for i in range(n))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"curves": ()}, "0 curves.*1 to 5"),
        ({"curves": many(6)}, "6 curves.*1 to 5"),
        ({"curves": (SEVEN, SEVEN)}, "seven, seven"),
        ({"factors": ()}, "0 factors.*1 to 21"),
        ({"factors": tuple(map(float, range(22)))}, "22 factors.*1 to 21"),
        ({"factors": (1.0, 0.5)}, "1, 0.5"),
        ({"factors": (1.0, 1.0)}, "1, 1;"),
        ({"factors": (-0.0, 0.0)}, "all different"),
        ({"factors": (1.0, math.inf)}, "1, inf"),
        ({"factors": (1e308,)}, "inf; it must be a finite number"),
        ({"n_seeds": 0}, "0 seeds.*1 to 50"),
        ({"n_seeds": 51}, "51 seeds.*1 to 50"),
        ({"sampling": Sampling(8)}, "all 3 seeds"),
        ({"word": " "}, "0 letters"),
        ({"prompt": Prompt("The", continuation=(1, 2))}, "2 written tokens"),
    ],
)
def test_an_impossible_sweep_is_refused_with_its_numbers(change: dict, says: str) -> None:
    with pytest.raises(BadAsk, match=says):
        replace(ASK, **change)


@pytest.mark.parametrize("op", [Op.ABLATE, Op.PROJECT_OUT])
def test_an_operation_without_an_amount_cannot_be_swept(op: Op) -> None:
    with pytest.raises(BadAsk, match=f"2.resid_post/7 .*{op.value}, which takes no amount"):
        Curve("c", (Intervention(LatentId(SAE, 7), op, 1.0),))


def test_a_curve_needs_an_edit_with_an_amount() -> None:
    with pytest.raises(BadAsk, match="0 edits"):
        Curve("c", ())
    with pytest.raises(BadAsk, match="is 0"):
        Curve("c", (Intervention(LatentId(SAE, 7), Op.ADD, 0.0),))


def test_a_runners_refusal_comes_through(runner: LocalRunner) -> None:
    wrong = Curve("wrong", (Intervention(LatentId(SAE, 900), Op.ADD, 1.0),))
    with pytest.raises(UnknownLatent, match="64 latents"):
        last(runner, replace(ASK, curves=(wrong,)))
    with pytest.raises(BadAsk, match="0 texts at once"):
        last(runner, ASK, 0)


def test_tables_are_plain_data_with_the_same_columns_in_every_row(runner: LocalRunner) -> None:
    points = last(runner, ASK).points
    rows = table(points)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert len({tuple(row) for row in rows}) == 1 and len(rows) == 8
    row = rows[3]
    assert (row["curve"], row["factor"], row["n_seeds"]) == ("seven", 2.0, 3)
    assert row["kl_low"] <= row["kl"] <= row["kl_high"] and row["share_of_norm_2"] is None
    assert row["share_of_norm_1"] == pytest.approx(8.0 / runner.mean_norm(Site.parse("2.resid_post")), rel=1e-5)
    assert table(()) == []


def test_the_ask_as_plain_data_says_all_that_it_depends_on() -> None:
    vector = NamedVector("mine", Site.parse("1.resid_post"), (1.0, 2.0))
    curve = Curve("v", (Intervention(vector, Op.ADD, 0.5, Unit.NORM, Where.GENERATED),))
    data = replace(ASK, curves=(SEVEN, curve)).plain_data()
    assert json.loads(json.dumps(data)) == data
    assert data["curves"][0] == {"label": "seven", "edits": [{"edit": "tiny/2.resid_post/7:add:4:raw", "where": "everywhere"}]}
    assert data["curves"][1]["edits"] == [{"edit": "vector/mine:add:0.5:norm", "where": "generated"}]
    assert data["vectors"] == {"mine": {"site": "1.resid_post", "values": [1.0, 2.0]}}
    assert data["rule"] == {"kind": "regex", "text": "[aeiou]"} and data["factors"] == [-1.0, 0.0, 1.0, 2.0]
    changes = ({"n_seeds": 2}, {"word": None}, {"rule": None}, {"sampling": Sampling(8, 1.0, seed=6)}, {"factors": (1.0,)})
    assert len({json.dumps(replace(ASK, **change).plain_data()) for change in ({}, *changes)}) == 6
    assert replace(ASK, curves=(SEVEN, curve)).saes == (SAE,)
