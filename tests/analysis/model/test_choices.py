"""How likely choices are, where heads attend, and weights without a direction, against plain transformers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.edits import Op, Unit
from dashboard.analysis.asks.many_texts import AttentionAsk, ChoiceAsk, ChoiceScores, MarkedText, Part, PartEdit
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model import attention
from dashboard.analysis.model.orthogonal import without_direction
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt
from tests.analysis.model.test_reading import NAMES, filled, last_of_name

PROMPTS = tuple(filled(name, "The {} sleeps in") for name in NAMES)
CHOICES = tuple((f"the {name}", "Egypt", "a", "the quick brown fox jumps over", name) for name in reversed(NAMES))
LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)


def expected(model, runner: LocalRunner, prompt: MarkedText, choice: str) -> tuple[float, int]:
    ids = runner.tokens(Prompt(prompt.text)).ids
    new = runner.model.tokenizer(" " + choice, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([[*ids, *new]])).logits[0], -1)
    return sum(float(logprobs[len(ids) - 1 + i, token]) for i, token in enumerate(new)), len(new)


@pytest.mark.parametrize("part", [None, Part.EVERYWHERE, Part.GENERATED, Part.PROMPT])
def test_scores_of_choices_equal_one_plain_pass_a_choice(runner: LocalRunner, tiny_path, part: Part | None) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    row = 4.0 * runner.sae(LATENT.sae).W_dec[7]
    edits = () if part is None else (PartEdit(LATENT, Op.ADD, 4.0, Unit.RAW, part),)
    n_prompt = 0

    def edit(_m, _i, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        out[:, n_prompt if part is Part.GENERATED else 0 : n_prompt if part is Part.PROMPT else None] += row
        return out

    if part is not None:
        model.model.layers[2].register_forward_hook(edit)
    scores = {score.prompt: score for score in runner.stream(ChoiceAsk(PROMPTS, CHOICES, edits))}
    assert sorted(scores) == list(range(len(PROMPTS)))
    for place, (prompt, group) in enumerate(zip(PROMPTS, CHOICES, strict=True)):
        n_prompt = len(runner.tokens(Prompt(prompt.text)))
        for number, choice in enumerate(group):
            total, n = expected(model, runner, prompt, choice)
            assert scores[place].n_tokens[number] == n
            assert scores[place].logprobs[number] == pytest.approx(total, rel=1e-4, abs=1e-3)


def test_means_and_the_best_choice() -> None:
    scores = ChoiceScores(0, (-6.0, -2.5, -2.5), (6, 2, 1))
    assert scores.means == (-1.0, -1.25, -2.5)
    assert scores.best() == 0 and scores.best(per_token=False) == 1


def test_the_yes_no_difference_is_that_of_two_choices(runner: LocalRunner, tiny_path) -> None:
    text = MarkedText("Are you sure?", chat=True, prefill="Answer:")
    (scores,) = runner.stream(ChoiceAsk((text,), (("a", "b"),)))
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    rendered = runner.tokens(Prompt(text.text, chat=True)).text + "Answer:"
    tokenizer = runner.model.tokenizer
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    if ids[0] != tokenizer.bos_token_id:
        ids = [tokenizer.bos_token_id, *ids]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1]
    a, b = (tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in "ab")
    if len(a) == len(b) == 1:
        assert scores.logprobs[0] - scores.logprobs[1] == pytest.approx(float(logits[a[0]] - logits[b[0]]), abs=1e-3)
    else:
        first = torch.log_softmax(logits, -1)[a[0]]
        assert scores.n_tokens == (len(a), len(b)) and scores.logprobs[0] <= float(first) + 1e-3


def test_an_assistants_turn_opens_without_a_space(runner: LocalRunner) -> None:
    text = MarkedText("Which animal?", chat=True)
    (scores,) = runner.stream(ChoiceAsk((text,), (("dog",),)))
    assert scores.n_tokens == (len(runner.model.tokenizer("dog", add_special_tokens=False)["input_ids"]),)


def test_attention_equals_plain_transformers_plain_and_steered(runner: LocalRunner, tiny_path) -> None:
    row = 6.0 * runner.sae(LATENT.sae).W_dec[7]
    for edits in ((), (PartEdit(LATENT, Op.ADD, 6.0, Unit.RAW, Part.MARKED_LAST),)):
        found = np.full((len(PROMPTS), 4, 4), np.nan, dtype=np.float32)
        for chunk in runner.stream(AttentionAsk(PROMPTS, edits)):
            found[chunk.texts] = chunk.weights
        model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32, attn_implementation="eager")
        at = 0

        def edit(_m, _i, out: torch.Tensor) -> torch.Tensor:
            out = out.clone()
            out[:, at] += row  # noqa: B023 - `at` is each text's own while its pass runs
            return out

        if edits:
            model.model.layers[2].register_forward_hook(edit)
        for place, prompt in enumerate(PROMPTS):
            at = last_of_name(runner, prompt)
            with torch.inference_mode():
                layers = model(torch.tensor([runner.tokens(Prompt(prompt.text)).ids]), output_attentions=True).attentions
            np.testing.assert_allclose(found[place], torch.stack(layers)[:, 0, :, -1, at].numpy(), rtol=1e-3, atol=1e-5)


def test_texts_that_are_the_same_are_attended_to_once(runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    plain = attention._weights
    monkeypatch.setattr(attention, "_weights", lambda model, texts, edits: rows.append(len(texts)) or plain(model, texts, edits))
    chunks = list(runner.stream(AttentionAsk((*PROMPTS, *PROMPTS[:3]))))
    assert sum(rows) == len(PROMPTS) and sum(len(chunk.texts) for chunk in chunks) == len(PROMPTS) + 3


def test_engine_study_and_local_runner_agree_and_a_closed_stream_frees_the_engine(engine: Engine, runner: LocalRunner) -> None:
    choice, attend = ChoiceAsk(PROMPTS, CHOICES), AttentionAsk(PROMPTS)
    local, weights = list(runner.stream(choice)), list(runner.stream(attend))
    for other in (engine, StudyRunner(engine)):
        assert list(other.stream(choice)) == local
        for ours, theirs in zip(list(other.stream(attend)), weights, strict=True):
            np.testing.assert_array_equal(ours.weights, theirs.weights)
    stream = engine.stream(choice)
    next(stream)
    stream.close()
    for _ in range(2):  # a turn that is under way goes back into the queue once
        engine.submit(lambda _: iter([None])).result()
    assert not engine._waiting


def test_orthogonalised_weights_leave_no_component_in_any_writers_output(runner: LocalRunner) -> None:
    model = runner.model
    before = {name: value.clone() for name, value in model.bare.state_dict().items()}
    direction = 3.0 * runner.sae(LATENT.sae).W_dec[7]
    unit = torch.nn.functional.normalize(direction, dim=0)
    copied = without_direction(model, direction)
    leaks: list[float] = []
    writers = [copied.bare.model.embed_tokens]
    writers += [part for layer in copied.bare.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    for writer in (*writers, *copied.bare.model.layers):
        writer.register_forward_hook(lambda _m, _i, out: leaks.append(float((out @ unit).abs().max())))
    ids = model.batch(runner.tokens(Prompt("The quick brown fox")).ids)
    with torch.inference_mode():
        changed, plain = copied.bare(ids).logits, model.bare(ids).logits
    assert len(leaks) == 13 and max(leaks) < 1e-5
    assert (changed - plain).abs().max() > 1e-3
    after = model.bare.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in model.bare.modules())
    # What does not write is shared, not copied.
    assert copied.bare.model.layers[1].mlp.up_proj.weight is model.bare.model.layers[1].mlp.up_proj.weight


def test_orthogonalising_twice_is_orthogonalising_once(runner: LocalRunner) -> None:
    direction = runner.sae(LATENT.sae).W_dec[7]
    unit = torch.nn.functional.normalize(direction, dim=0)
    once = without_direction(runner.model, direction)
    twice = without_direction(once, direction)
    for name, value in once.bare.state_dict().items():
        torch.testing.assert_close(twice.bare.state_dict()[name], value, rtol=0, atol=1e-6)
    writers = [part.weight.T for layer in once.bare.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    assert all(float((rows @ unit).abs().max()) < 1e-6 for rows in (once.bare.model.embed_tokens.weight, *writers))


def test_a_tied_unembedding_keeps_its_weights(runner: LocalRunner) -> None:
    bare = runner.model.bare
    own = bare.lm_head.weight
    try:
        bare.lm_head.weight = bare.model.embed_tokens.weight
        copied = without_direction(runner.model, runner.sae(LATENT.sae).W_dec[7]).bare
        assert copied.lm_head.weight is bare.model.embed_tokens.weight
        assert not torch.equal(copied.model.embed_tokens.weight, copied.lm_head.weight)
    finally:
        bare.lm_head.weight = own


def test_choices_that_do_not_fit_their_prompts_are_refused() -> None:
    for choices in ((("a",),), ((),) * len(PROMPTS), (("a", " "),) * len(PROMPTS)):
        with pytest.raises(BadAsk):
            ChoiceAsk(PROMPTS, choices)
