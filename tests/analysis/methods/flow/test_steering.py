"""Laws of steering along a flow: the card's decays, the proxies, the study by the tiny model, a judge on the loopback."""

import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op, Unit
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, JudgeFailed
from dashboard.analysis.methods.flow.results import FlowAsk, FlowGraph, FlowNode
from dashboard.analysis.methods.flow.schedule import (
    FLOW,
    INITIAL,
    SINGLE,
    Decay,
    Goal,
    Layers,
    PlacedLatent,
    Schedule,
    Setting,
    decayed,
    path_latents,
    settings_of,
)
from dashboard.analysis.methods.flow.steering import Behaviour, FlowSteering, FlowSteeringAsk, best_layers, flow_steering, table
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.stats.judge import Judge
from dashboard.analysis.stats.text_proxies import Classifier, Fluency, Lexicon, read_back
from dashboard.analysis.tokens import Prompt


def placed(layer: int, index: int) -> PlacedLatent:
    return PlacedLatent(LatentId(SaeId("tiny", f"{layer}.resid_post"), index), layer)


FLOW_SET = (placed(1, 3), placed(1, 9), placed(2, 5))
WORDS = Behaviour("animals", Lexicon(("dog", "fox", "lazy")))


def test_linear_and_exponential_decay_give_the_cards_numbers() -> None:
    assert [decayed(Decay.LINEAR, 8.0, layer, 2, 9) for layer in (2, 5, 9)] == [8, 5, 1]
    assert decayed(Decay.EXPONENTIAL, 8.0, 12, 2, 20) == pytest.approx(4.3905, abs=5e-5)
    assert decayed(Decay.EXPONENTIAL, 8.0, 0, 0, 9) == 8
    assert decayed(Decay.LINEAR, 8.0, 4, 4, 4) == 8 and decayed(Decay.CONSTANT, 8.0, 7, 2, 9) == 8


def test_single_edits_one_layer_and_cumulative_all_up_to_it() -> None:
    def layers(schedule: Schedule, layer: int | None) -> list[str]:
        return [edit.direction.sae.name for edit in schedule.edits(FLOW_SET, 4.0, layer) if isinstance(edit.direction, LatentId)]

    single, cumulative = (Schedule(Goal.ACTIVATE, which) for which in (Layers.SINGLE, Layers.CUMULATIVE))
    assert layers(single, 2) == ["2.resid_post"] and layers(single, 1) == ["1.resid_post"] * 2
    assert (
        layers(cumulative, 1) == ["1.resid_post"] * 2
        and layers(cumulative, 2) == layers(cumulative, None)
        and len(layers(cumulative, 2)) == 3
    )
    with pytest.raises(BadAsk, match="0 of 3 latents are steered at layer 0"):
        single.edits(FLOW_SET, 4.0, 0)


def test_the_edits_of_a_recipe_are_the_formulas_at_each_layer() -> None:
    schedule = Schedule(Goal.ACTIVATE, Layers.CUMULATIVE, Decay.LINEAR, Unit.MAX)
    edits = schedule.edits(FLOW_SET, 5.0)
    assert [(edit.op, edit.unit, edit.amount) for edit in edits] == [
        (Op.ADD, Unit.MAX, 5.0),
        (Op.ADD, Unit.MAX, 5.0),
        (Op.ADD, Unit.MAX, 1.0),
    ]
    falling = replace(schedule, decay=Decay.EXPONENTIAL, alpha=-0.5).edits(FLOW_SET, 5.0)
    assert [edit.amount for edit in falling] == pytest.approx([5 * math.exp(-0.5), 5 * math.exp(-0.5), 5 * math.exp(-1)])
    away = Schedule(Goal.DEACTIVATE).edits(FLOW_SET, -2.0)
    assert away == tuple(Intervention(one.latent, Op.SCALE, -2.0) for one in FLOW_SET)
    with pytest.raises(BadAsk, match="decay is linear"):
        Schedule(Goal.DEACTIVATE, decay=Decay.LINEAR)


def test_the_strength_that_changes_nothing_has_no_edits() -> None:
    assert Setting("x", FLOW_SET, Schedule(Goal.DEACTIVATE)).edits(1.0) == () == Setting("x", FLOW_SET, Schedule(Goal.ACTIVATE)).edits(0.0)
    assert Setting("x", FLOW_SET, Schedule(Goal.DEACTIVATE)).edits(0.0) != ()


def test_a_graph_gives_the_path_of_its_span_and_with_modules_what_feeds_it() -> None:
    def node(name: str, index: int, on_path: bool, in_span: bool) -> FlowNode:
        return FlowNode(LatentId(SaeId("r", name), index), Site.parse(name), on_path, in_span)

    nodes = (node("1.resid_post", 1, True, False), node("2.mlp_out", 2, False, True), node("2.resid_post", 3, True, True))
    graph = FlowGraph(FlowAsk(nodes[2].latent), nodes, (), (2, 2))
    assert [(one.latent.index, one.layer) for one in path_latents(graph)] == [(3, 2)]
    assert [one.latent.index for one in path_latents(graph, modules=True)] == [2, 3]


def test_the_comparison_has_every_single_layer_the_initial_set_and_the_whole_flow() -> None:
    settings = settings_of(FLOW_SET[2:], FLOW_SET, Schedule(Goal.ACTIVATE, decay=Decay.EXPONENTIAL))
    assert [(setting.label, setting.layer) for setting in settings] == [(SINGLE, 1), (SINGLE, 2), (INITIAL, None), (FLOW, None)]
    assert [edit.amount for edit in settings[0].edits(4.0)] == [4.0, 4.0] and len(settings[3].edits(4.0)) == 3


def test_the_lexicon_counts_whole_words_and_reaches_1_at_the_95th_percentile_of_the_reference() -> None:
    reference = tuple("dog " * n + "x " * (20 - n) for n in range(1, 11))
    lexicon = Lexicon(("dog", "hot dog"), reference)
    assert lexicon.rate("A dog, a DOG; dogs") == 0.4
    full = float(np.percentile([n / 20 for n in range(1, 11)], 95))
    assert lexicon.full_rate == pytest.approx(full) and lexicon.score("dog dog dog dog x") == 1.0
    assert lexicon.score("dog " + "x " * 9) == pytest.approx(0.1 / full) and lexicon.score("") == 0
    with pytest.raises(BadAsk, match="0 %"):
        Lexicon(("cat",), reference).score("cat")


def test_the_classifier_tells_the_theme_from_other_texts() -> None:
    theme = ("the fox and the dog run", "a lazy dog sleeps", "foxes and dogs in the field")
    other = ("bread with butter and salt", "boil the water, add salt", "cut the bread")
    classifier = Classifier(theme, other)
    assert classifier.score("a dog in the field") > 0.5 > classifier.score("salt the water") >= 0
    with pytest.raises(BadAsk, match="1 texts of the theme"):
        Classifier(theme[:1], other)


def test_coherence_is_1_for_a_usual_text_and_falls_with_loss_and_repeats() -> None:
    fluency = Fluency.of([2.0, 2.5, 3.0, 3.5, 4.0])
    assert (fluency.nll, fluency.tau) == (3.0, 1.0)
    assert fluency.coherence(3.0, 0.0) == fluency.coherence(0.1, None) == 1.0
    assert fluency.coherence(4.0, 0.0) == pytest.approx(math.exp(-1)) and fluency.coherence(1.0, 0.9) == pytest.approx(0.1)
    assert Fluency.of([2.0]).tau == 0.05 and read_back(3.0, 2.0) == 1.0 and read_back(1.0, 4.0) == 0.25


def ask(goal: Goal = Goal.ACTIVATE, strengths: tuple[float, ...] = (0.0, 3.0), behaviour: Behaviour = WORDS) -> FlowSteeringAsk:
    settings = settings_of(FLOW_SET[2:], FLOW_SET, Schedule(goal))
    return FlowSteeringAsk(Prompt("The quick brown"), settings, strengths, 2, Sampling(8, 1.0, seed=4), behaviour)


def last(runner: LocalRunner, wanted: FlowSteeringAsk, judge=None) -> FlowSteering:
    steps = list(flow_steering(runner, wanted, judge))
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == wanted.n_total
    return steps[-1]


def test_every_text_is_what_the_runner_writes_with_those_edits_and_its_loss_the_unsteered_models(runner: LocalRunner) -> None:
    wanted = ask()
    found = last(runner, wanted)
    assert len(found.points) == 8 and len(found.plain) == 8
    for point in found.points:
        for text in point.texts:
            variants = (Variant("alone", point.setting.edits(point.strength), text.seed),)
            deltas = list(runner.stream(GenerationAsk(wanted.prompt, variants, wanted.sampling)))
            assert text.text == "".join(delta.text for delta in deltas)
            ids = tuple(delta.token_id for delta in deltas)
            score = runner.ask(ScoreAsk(replace(wanted.prompt, continuation=ids), top=0))
            assert text.nll == pytest.approx(-np.mean([token.plain_logprob for token in score.tokens]), abs=1e-5)
            assert text.coherence == pytest.approx(found.fluency.coherence(text.nll, text.repeated))
            assert text.behaviour == {"lexicon": WORDS.lexicon.score(text.text) if WORDS.lexicon else None}
        if point.strength == 0:
            assert [text.text for text in point.texts] == [text.text for text in found.plain[:2]]


@pytest.mark.parametrize("goal", list(Goal))
def test_the_total_is_the_product_of_the_means_and_both_stand_beside_it(runner: LocalRunner, goal: Goal) -> None:
    found = last(runner, ask(goal, (-4.0, 1.0, 2.0)))
    rows = table(found.points)
    for point, row in zip(found.points, rows, strict=True):
        b = float(np.mean([text.behaviour["lexicon"] for text in point.texts]))
        c = float(np.mean([text.coherence for text in point.texts]))
        assert point.total("lexicon") == pytest.approx((b if goal is Goal.ACTIVATE else 1 - b) * c)
        assert row["behaviour"] == pytest.approx(b) and row["coherence"] == pytest.approx(c)
    best = best_layers(found.points, "lexicon")
    singles = [point for point in found.points if point.setting.label == SINGLE and point.strength == 2.0]
    assert best[SINGLE, 2.0].total("lexicon") == max(point.total("lexicon") for point in singles)


def test_the_read_back_hears_held_out_latents_of_another_layer_in_the_unsteered_model(runner: LocalRunner) -> None:
    held_out = (LatentId(SaeId("tiny", "1.mlp_out"), 7), LatentId(SaeId("tiny", "1.mlp_out"), 20))
    reference = ("The quick brown fox", "The lazy dog sleeps.", "jumps over")
    only_two = (Setting("flow", FLOW_SET[2:], Schedule(Goal.ACTIVATE)),)
    wanted = replace(ask(behaviour=Behaviour("animals", None, None, held_out, reference)), settings=only_two)
    found = last(runner, wanted)

    def activity(text: str) -> float:
        capture = runner.ask(CaptureAsk(Prompt(text), (held_out[0].sae,)))
        ordinary = list(capture.tokens.ordinary)
        return float(np.mean([capture.activations[held_out[0].sae].of_latent(latent.index)[ordinary].mean() for latent in held_out]))

    full = np.percentile([activity(text) for text in reference], 95)
    assert full > 0
    for text in (*found.plain, *found.points[-1].texts):
        assert text.behaviour["read-back"] == pytest.approx(read_back(activity(text.text) if text.text.strip() else 0.0, full), abs=1e-5)
    with pytest.raises(BadAsk, match="is steered"):
        replace(wanted, behaviour=replace(wanted.behaviour, held_out=(LatentId(FLOW_SET[2].latent.sae, 1),)))


def test_what_cannot_be_a_study_is_refused() -> None:
    with pytest.raises(BadAsk, match="0 proxies"):
        Behaviour("nothing")
    with pytest.raises(BadAsk, match="2 studies"):
        replace(ask(), settings=(*ask().settings, *ask(Goal.DEACTIVATE).settings))
    with pytest.raises(BadAsk, match="At temperature 0"):
        replace(ask(), sampling=Sampling(8, 0.0))
    assert json.dumps(ask().plain_data())


class Answers(BaseHTTPRequestHandler):
    """A server of chat completions: says what its class holds, and keeps what it was asked."""

    said = '{"behaviour": 4, "coherence": 2}'
    status = 200
    asked: list[dict] = []  # noqa: RUF012 - of the one server of a test

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Answers.asked.append({"path": self.path, "key": self.headers.get("Authorization"), "body": body})
        self.send_response(Answers.status)
        if Answers.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": {"role": "assistant", "content": Answers.said}}]}).encode())

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def address() -> Iterator[str]:
    Answers.said, Answers.status, Answers.asked = '{"behaviour": 4, "coherence": 2}', 200, []
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_judge_is_asked_once_a_text_and_its_0_to_5_become_0_to_1(address: str, runner: LocalRunner) -> None:
    judge = Judge(address, "grader", "secret-key")
    wanted = replace(ask(strengths=(3.0,)), settings=ask().settings[-1:])

    def verdict(theme: str, prompt: str, text: str) -> tuple[float, float]:
        found = judge.verdict(theme, prompt, text)
        return found.behaviour, found.coherence

    found = last(runner, wanted, verdict)
    (point,) = found.points
    assert point.behaviour["judge"].mean == 0.8 and point.judged_coherence is not None and point.judged_coherence.mean == 0.4
    assert point.total("judge") == pytest.approx(0.32) and point.total("lexicon") == pytest.approx(
        point.behaviour["lexicon"].mean * point.coherence.mean
    )
    assert len(Answers.asked) == wanted.n_total
    first = Answers.asked[0]
    assert first["path"] == "/v1/chat/completions" and first["key"] == "Bearer secret-key" and first["body"]["model"] == "grader"
    assert "animals" in first["body"]["messages"][0]["content"] and found.plain[0].text[:20] in first["body"]["messages"][1]["content"]
    assert "secret-key" not in repr(judge)


def test_a_judge_that_answers_otherwise_is_refused_with_what_it_said(address: str) -> None:
    judge = Judge(address, "grader", "secret-key")
    Answers.said = "Behaviour is great!"
    with pytest.raises(JudgeFailed, match="gave no behaviour"):
        judge.verdict("t", "p", "x")
    Answers.said = '{"behaviour": 12, "coherence": 3}'
    with pytest.raises(JudgeFailed, match="gave no behaviour"):
        judge.verdict("t", "p", "x")
    Answers.status = 401
    with pytest.raises(JudgeFailed, match="401"):
        judge.verdict("t", "p", "x")
    Answers.status, n = 302, len(Answers.asked)
    with pytest.raises(JudgeFailed, match="302"):
        judge.verdict("t", "p", "x")
    assert len(Answers.asked) == n + 1  # nobody is followed elsewhere with the key
    with pytest.raises(JudgeFailed, match="cannot be reached"):
        Judge("http://127.0.0.1:9/v1", "grader", timeout_s=2.0).verdict("t", "p", "x")
    for wrong in ("file:///etc/passwd", "grader", "http://user:word@host/v1"):
        with pytest.raises(BadAsk, match="not the address"):
            Judge(wrong, "grader")
