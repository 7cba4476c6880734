"""Text that the model writes: plain, steered, streamed."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks import CaptureAsk, GenerationAsk, Intervention, Op, Sampling, Variant, Where
from dashboard.analysis.local import LocalRunner
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenSpan
from tests.conftest import TEXT

PROMPT = Prompt("The quick brown fox")
LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)
PLAIN = Variant("plain")


def steered(where: Where | TokenSpan = Where.EVERYWHERE, amount: float = 8.0) -> Variant:
    return Variant("steered", (Intervention(LATENT, Op.ADD, amount, where=where),))


def ids_of(runner: LocalRunner, variants: tuple[Variant, ...], sampling: Sampling) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {variant.label: [] for variant in variants}
    for delta in runner.generate(GenerationAsk(PROMPT, variants, sampling)):
        rows[delta.variant].append(delta.token_id)
    return rows


def test_greedy_text_equals_plain_transformers(runner: LocalRunner, tiny_path) -> None:
    ours = ids_of(runner, (PLAIN,), Sampling(12))["plain"]
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    prompt = torch.tensor([runner.tokens(PROMPT).ids])
    theirs = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
    assert ours == theirs.tolist()


def test_steered_greedy_text_equals_a_plain_forward_hook(runner: LocalRunner, tiny_path) -> None:
    ours = ids_of(runner, (steered(),), Sampling(12))["steered"]
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    row = runner.sae(LATENT.sae).W_dec[7]
    model.model.layers[2].register_forward_hook(lambda _m, _i, out: out + 8.0 * row)
    prompt = torch.tensor([runner.tokens(PROMPT).ids])
    theirs = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
    assert ours == theirs.tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_row_does_not_depend_on_its_neighbours(runner: LocalRunner, temperature: float) -> None:
    sampling = Sampling(10, temperature, seed=4)
    together = ids_of(runner, (PLAIN, steered()), sampling)
    assert together["plain"] == ids_of(runner, (PLAIN,), sampling)["plain"]
    assert together["steered"] == ids_of(runner, (steered(),), sampling)["steered"]


def test_sampling_is_the_seeds_and_touches_no_global_generator(runner: LocalRunner) -> None:
    before = torch.get_rng_state()
    first = ids_of(runner, (PLAIN,), Sampling(10, 1.0, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert ids_of(runner, (PLAIN,), Sampling(10, 1.0, seed=1)) == first
    assert ids_of(runner, (PLAIN,), Sampling(10, 1.0, seed=2)) != first


def test_a_tiny_top_p_is_greedy(runner: LocalRunner) -> None:
    assert ids_of(runner, (PLAIN,), Sampling(10, 1.0, top_p=1e-6)) == ids_of(runner, (PLAIN,), Sampling(10))


def test_editing_generated_tokens_leaves_the_first_new_token_alone(runner: LocalRunner) -> None:
    plain = ids_of(runner, (PLAIN,), Sampling(6))["plain"]
    edited = ids_of(runner, (steered(Where.GENERATED, 60.0),), Sampling(6))["steered"]
    assert edited[0] == plain[0] and edited != plain


def test_a_span_of_the_whole_prompt_is_the_prompt(runner: LocalRunner) -> None:
    span = TokenSpan(0, len(runner.tokens(PROMPT)))
    assert ids_of(runner, (steered(span),), Sampling(8)) == ids_of(runner, (steered(Where.PROMPT),), Sampling(8))


def test_streamed_text_joins_to_the_decoded_ids(runner: LocalRunner) -> None:
    for seed in range(6):
        deltas = list(runner.generate(GenerationAsk(Prompt("한국어 👩‍👩‍👧"), (PLAIN,), Sampling(25, 1.5, seed=seed))))
        ids = [delta.token_id for delta in deltas]
        assert "".join(delta.text for delta in deltas) == runner.model.tokenizer.decode(ids, skip_special_tokens=True)
        assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]


def test_after_a_steered_text_is_dropped_the_model_is_as_it_was(runner: LocalRunner) -> None:
    ask = CaptureAsk(Prompt(TEXT), (LATENT.sae,))
    before = runner.capture(ask).activations[LATENT.sae].value
    stream = runner.generate(GenerationAsk(PROMPT, (steered(),), Sampling(20)))
    next(stream), next(stream)
    during = runner.capture(ask).activations[LATENT.sae].value
    stream.close()
    assert (during == before).all()
    assert not any(point.fwd_hooks for point in runner.model.bridge.hook_dict.values())
