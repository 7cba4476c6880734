"""Many prompts answered together: against one generation a prompt, with edits, without a direction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.asks.many_texts import Answer, AnsweringAsk, MarkedText, Part, PartEdit
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk, Cancelled, PromptTooLong
from dashboard.analysis.model.answering import Answering, draw
from dashboard.analysis.model.edits import LoadedDirection
from dashboard.analysis.model.generation import PlacedEdit, site_edits
from dashboard.analysis.model.marking import MarkedIds, PartPlacedEdit
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.tokens import Prompt, TokenSpan
from tests.analysis.model.test_reading import NAMES, filled, last_of_name
from tests.conftest import D_MODEL

PROMPTS = tuple(filled(name, "Where does the {} sleep?") for name in NAMES)
LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)
SHORT = Sampling(8, 1.0, seed=3)


def by_key(answers) -> dict[tuple[int, int | None], Answer]:
    listed = list(answers)
    found = {(answer.prompt, answer.sample): answer for answer in listed}
    assert len(found) == len(listed)
    return found


def generated(runner: LocalRunner, text: MarkedText, edits: tuple[Intervention, ...] = ()) -> str:
    ask = GenerationAsk(Prompt(text.text, text.chat), (Variant("one", edits),), Sampling(8))
    return "".join(delta.text for delta in runner.stream(ask))


@pytest.mark.parametrize("chat", [False, True])
def test_greedy_answers_equal_one_generation_a_prompt(runner: LocalRunner, chat: bool) -> None:
    prompts = tuple(replace(prompt, chat=chat) for prompt in PROMPTS)
    found = by_key(runner.stream(AnsweringAsk(prompts, SHORT)))
    assert [found[place, None].text for place in range(len(prompts))] == [generated(runner, prompt) for prompt in prompts]
    assert len({answer.text for answer in found.values()}) > 3


@pytest.mark.parametrize("part", [Part.MARKED, Part.MARKED_LAST, Part.MARKED_ON, Part.MARKED_LAST_ON, Part.PROMPT, Part.EVERYWHERE])
def test_edited_answers_equal_one_generation_a_prompt_with_the_same_edit(runner: LocalRunner, part: Part) -> None:
    found = by_key(runner.stream(AnsweringAsk(PROMPTS, SHORT, edits=(PartEdit(LATENT, Op.ADD, 60.0, Unit.RAW, part),))))
    changed = 0
    for place, prompt in enumerate(PROMPTS):
        tokens, last = runner.tokens(Prompt(prompt.text)), last_of_name(runner, prompt)
        assert prompt.marked is not None
        first = min(i for i, (a, b) in enumerate(tokens.char_ranges) if a < prompt.marked[1] and b > prompt.marked[0])
        where = {
            Part.MARKED: TokenSpan(first, last + 1),
            Part.MARKED_LAST: TokenSpan(last, last + 1),
            Part.MARKED_ON: TokenSpan(first, len(tokens)),
            Part.MARKED_LAST_ON: TokenSpan(last, len(tokens)),
            Part.PROMPT: Where.PROMPT,
            Part.EVERYWHERE: Where.EVERYWHERE,
        }[part]
        expected = generated(runner, prompt, (Intervention(LATENT, Op.ADD, 60.0, Unit.RAW, where),))
        assert found[place, None].text == expected
        changed += expected != generated(runner, prompt)
    assert changed


def test_a_row_does_not_depend_on_its_neighbours_nor_on_the_size_of_the_pool(runner: LocalRunner) -> None:
    ask = AnsweringAsk(PROMPTS, SHORT, n_samples=3)
    together = by_key(runner.stream(ask))
    assert len(together) == 4 * len(PROMPTS)
    small = by_key(answer for step in Answering(runner.model, ask, (), pool=5).steps() for answer in step)
    assert small == together
    for place in (0, 5):
        alone = by_key(runner.stream(replace(ask, prompts=PROMPTS[place : place + 1])))
        assert {key[1]: answer.text for key, answer in alone.items()} == {
            key[1]: answer.text for key, answer in together.items() if key[0] == place
        }


def test_samples_are_the_seeds_and_touch_no_global_generator(runner: LocalRunner) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    ask = AnsweringAsk(PROMPTS[:2], SHORT, greedy=False, n_samples=4)
    first = by_key(runner.stream(ask))
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]
    assert by_key(runner.stream(ask)) == first
    assert len({first[0, sample].text for sample in range(4)}) > 1
    assert by_key(runner.stream(replace(ask, sampling=Sampling(8, 1.0, seed=4)))) != first
    more = by_key(runner.stream(replace(ask, n_samples=6)))
    assert {key: more[key] for key in first} == first


def test_prompts_that_are_the_same_are_read_once_and_answered_alike(runner: LocalRunner) -> None:
    ask = AnsweringAsk((PROMPTS[0], PROMPTS[1], PROMPTS[0], replace(PROMPTS[0], marked=None)), SHORT, n_samples=2)
    assert Answering(runner.model, ask, ()).n_prompts == 2
    found = by_key(runner.stream(ask))
    assert len(found) == 12
    for sample in (None, 0, 1):
        assert found[0, sample].text == found[2, sample].text == found[3, sample].text


def test_an_edit_of_zero_changes_nothing(runner: LocalRunner) -> None:
    ask = AnsweringAsk(PROMPTS, SHORT, n_samples=1)
    plain = by_key(runner.stream(ask))
    assert by_key(runner.stream(replace(ask, edits=(PartEdit(LATENT, Op.ADD, 0.0),)))) == plain
    assert by_key(runner.stream(replace(ask, edits=(PartEdit(LATENT, Op.SCALE, 1.0, Unit.RAW),)))) == plain


def test_the_third_worked_example_of_the_method() -> None:
    edit = PartEdit(LATENT, Op.ADD, 7.0, Unit.RAW, Part.MARKED_LAST_ON)
    unit = torch.nn.functional.normalize(torch.ones(D_MODEL), dim=0)
    placed = PartPlacedEdit(PlacedEdit(Site.parse("2.resid_post"), edit.at(Where.PROMPT), LoadedDirection(unit), 7.0), edit.part)
    own = placed.on(MarkedIds((0,) * 6, 2, 3))
    (prompt,) = site_edits([[own]], [torch.arange(6)], [6]).values()
    torch.testing.assert_close(prompt(torch.zeros(1, 6, D_MODEL)).norm(dim=-1), torch.tensor([[0.0, 0, 0, 7, 7, 7]]))
    (later,) = site_edits([[own]], [torch.tensor([6])], [6]).values()
    assert not later(torch.zeros(1, 1, D_MODEL)).any() and not placed.touches_new_tokens


def test_an_edit_of_the_prompt_leaves_new_tokens_alone(runner: LocalRunner) -> None:
    seen: list[int] = []
    layer = runner.model.bare.model.layers[2]
    edit = PartEdit(LATENT, Op.ADD, 5.0, Unit.RAW)
    handle = layer.register_forward_hook(lambda *_: seen.append(len(layer._forward_hooks)))
    try:
        list(runner.stream(AnsweringAsk(PROMPTS[:1], SHORT, edits=(edit,))))
        assert seen[0] == 2 and {*seen[1:]} == {1}
    finally:
        handle.remove()


def test_a_line_break_ends_an_answer_where_it_is_asked_to(runner: LocalRunner) -> None:
    long = Sampling(60, 1.5, seed=1)
    plain = by_key(runner.stream(AnsweringAsk(PROMPTS, long, n_samples=6)))
    lines = by_key(runner.stream(AnsweringAsk(PROMPTS, long, n_samples=6, stop_at_line=True)))
    cut = 0
    for key, answer in plain.items():
        begin = len(answer.text) - len(answer.text.lstrip())
        end = answer.text.find("\n", begin)
        if end >= 0:
            cut += 1
            assert lines[key].text == answer.text[:end] and lines[key].ended and lines[key].n_tokens < answer.n_tokens + 1
        else:
            assert lines[key].text == answer.text
    assert cut


def test_a_prefill_is_what_the_answer_goes_on_from(runner: LocalRunner) -> None:
    (answer,) = runner.stream(AnsweringAsk((MarkedText("The dog", prefill=" sleeps and"),), SHORT))
    assert answer.text == generated(runner, MarkedText("The dog sleeps and"))


@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_draws_follow_the_probabilities_and_keep_to_top_p(top_p: float) -> None:
    odds = torch.tensor([0.1, 0.5, 0.0, 0.3, 0.1], dtype=torch.float64)
    draws = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens = draw(odds.log().expand(20_000, -1), draws, Sampling(1, 1.0, top_p))
    kept = odds if top_p == 1 else odds * torch.tensor([0, 1, 0, 1, 0])
    expected = kept / kept.sum()
    np.testing.assert_allclose(torch.bincount(tokens, minlength=5) / 20_000, expected, atol=2e-4)
    wide = torch.rand(3, 1000, generator=torch.Generator().manual_seed(0)).log() * 3
    where = torch.tensor([0.0, 0.4, 0.999999], dtype=torch.float64)
    plain = torch.softmax(wide, -1).double().cumsum(-1)
    if top_p == 1:
        assert (
            draw(wide, where, Sampling(1, 1.0)).tolist()
            == torch.searchsorted(plain, where[:, None] * plain[:, -1:], right=True)[:, 0].tolist()
        )
    edges = draw(odds.log().expand(2, -1), torch.tensor([0.0, 1.0], dtype=torch.float64), Sampling(1, 1.0, top_p))
    assert all(kept[edges] > 0)


def test_without_a_direction_nothing_is_written_along_it_and_the_shared_weights_stay(runner: LocalRunner, tiny_path) -> None:
    before = {name: value.clone() for name, value in runner.model.bare.state_dict().items()}
    vector = NamedVector("v", Site.parse("2.resid_post"), tuple(float(i % 5) - 1.9 for i in range(runner.model.d_model)))
    found = by_key(runner.stream(AnsweringAsk(PROMPTS, SHORT, without=vector)))
    after = runner.model.bare.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    unit = torch.nn.functional.normalize(torch.tensor(vector.values), dim=0)
    writers = [part for layer in model.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    for module in (model.model.embed_tokens, *writers):
        module.register_forward_hook(lambda _m, _i, out: out - (out @ unit)[..., None] * unit)
    for place, prompt in enumerate(PROMPTS):
        ids = torch.tensor([runner.tokens(Prompt(prompt.text)).ids])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
        assert found[place, None].text == runner.model.tokenizer.decode(out, skip_special_tokens=True)
    assert by_key(runner.stream(AnsweringAsk(PROMPTS, SHORT))) != found


def test_engine_study_and_local_runner_give_equal_answers(engine: Engine, runner: LocalRunner) -> None:
    ask = AnsweringAsk(PROMPTS, SHORT, n_samples=2, edits=(PartEdit(LATENT, Op.ADD, 1.0),))
    local = list(runner.stream(ask))
    assert list(engine.stream(ask)) == local == list(StudyRunner(engine).stream(ask))


def test_a_closed_stream_and_a_stopped_study_free_the_engine(engine: Engine) -> None:
    ask = AnsweringAsk(PROMPTS, Sampling(100, 1.0), n_samples=1)
    stream = engine.stream(ask)
    next(stream)
    stream.close()
    for _ in range(2):  # a turn that is under way goes back into the queue once
        engine.submit(lambda _: iter([None])).result()
    assert not engine._waiting
    study = StudyRunner(engine)
    answers = study.stream(ask)
    next(answers)
    study.stop()
    with pytest.raises(Cancelled):
        list(answers)
    engine.submit(lambda _: iter([None])).result()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: AnsweringAsk(PROMPTS, greedy=False),
        lambda: AnsweringAsk(PROMPTS, Sampling(8), n_samples=2),
        lambda: AnsweringAsk(PROMPTS, SHORT, n_samples=65),
        lambda: AnsweringAsk((MarkedText("no mark"),), edits=(PartEdit(LATENT, amount=1.0),)),
    ],
)
def test_an_ask_that_has_no_answer_is_refused(ask) -> None:
    with pytest.raises(BadAsk):
        ask()


def test_a_prompt_without_room_for_its_answer_is_refused_and_no_prompts_have_no_answers(runner: LocalRunner) -> None:
    with pytest.raises(PromptTooLong):
        list(runner.stream(AnsweringAsk((MarkedText("x" * 250),), Sampling(32))))
    assert list(runner.stream(AnsweringAsk(()))) == []
