"""Text that the model writes: plain, steered, streamed."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op, Unit, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.weights import AssembleAsk, DosesAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.placing import CALIBRATION
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.model.generation import _draw
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.tokens import Prompt, TokenSpan
from tests.conftest import TEXT

PROMPT = Prompt("The quick brown fox")
LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)
PLAIN = Variant("plain")


def steered(where: Where | TokenSpan = Where.EVERYWHERE, amount: float = 8.0) -> Variant:
    return Variant("steered", (Intervention(LATENT, Op.ADD, amount, where=where),))


def ids_of(runner: LocalRunner, variants: tuple[Variant, ...], sampling: Sampling) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {variant.label: [] for variant in variants}
    for delta in runner.stream(GenerationAsk(PROMPT, variants, sampling)):
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


def test_draws_keep_to_the_smallest_set_that_reaches_top_p_however_flat_the_odds() -> None:
    peaked, flat = -torch.arange(5000) / 10, torch.linspace(0, -1e-3, 5000)
    for logits in (peaked, flat):
        n_kept = int((torch.softmax(logits, 0).cumsum(0) < 0.9).sum()) + 1
        drawn = [_draw(logits, Sampling(1, 1.0, 0.9), torch.Generator().manual_seed(seed)) for seed in range(400)]
        assert n_kept * 0.9 < max(drawn) < n_kept < 4510


def test_editing_generated_tokens_leaves_the_first_new_token_alone(runner: LocalRunner) -> None:
    plain = ids_of(runner, (PLAIN,), Sampling(6))["plain"]
    edited = ids_of(runner, (steered(Where.GENERATED, 60.0),), Sampling(6))["steered"]
    assert edited[0] == plain[0] and edited != plain


def test_a_span_of_the_whole_prompt_is_the_prompt(runner: LocalRunner) -> None:
    span = TokenSpan(0, len(runner.tokens(PROMPT)))
    assert ids_of(runner, (steered(span),), Sampling(8)) == ids_of(runner, (steered(Where.PROMPT),), Sampling(8))


def test_streamed_text_joins_to_the_decoded_ids(runner: LocalRunner) -> None:
    for seed in range(6):
        deltas = list(runner.stream(GenerationAsk(Prompt("한국어 👩‍👩‍👧"), (PLAIN,), Sampling(25, 1.5, seed=seed))))
        ids = [delta.token_id for delta in deltas]
        assert "".join(delta.text for delta in deltas) == runner.model.tokenizer.decode(ids, skip_special_tokens=True)
        assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]


def solo(runner: LocalRunner, prompt: Prompt, variant: Variant, sampling: Sampling) -> list[int]:
    fresh = LocalRunner(runner.model, runner.catalog, runner._cache)
    return [delta.token_id for delta in fresh.stream(GenerationAsk(prompt, (variant,), sampling))]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_of_other_askers_that_come_and_go_change_no_text(runner: LocalRunner, temperature: float) -> None:
    """Prompts of unequal length stand left-padded in one batch; askers join late, leave early and end at other times."""
    asks = [
        (Prompt("The" + " dog" * length), steered(amount=2.0 * length - 8), Sampling(5 + 3 * length % 7, temperature, seed=length))
        for length in range(9)
    ]
    streams = [runner.turns(GenerationAsk(prompt, (variant,), sampling)) for prompt, variant, sampling in asks]
    texts: list[list[int]] = [[] for _ in asks]
    going = list(range(3))
    turn = 0
    while going:
        turn += 1
        for i in list(going):
            step = next(streams[i], None)
            if step is None:
                going.remove(i)
            else:
                texts[i] += [delta.token_id for delta in step]
        if turn == 2:
            streams[1].close()
            going.remove(1)
        if turn % 2 == 0 and turn // 2 + 2 < len(asks):
            going.append(turn // 2 + 2)
    for i, (prompt, variant, sampling) in enumerate(asks):
        alone = solo(runner, prompt, variant, sampling)
        assert texts[i] == (alone[:2] if i == 1 else alone)
    assert runner._workspace.decoders[0].n_rows == 0


def test_a_pass_that_fails_is_heard_by_every_asker_and_leaves_no_row_and_no_hook(
    runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (runner.turns(GenerationAsk(PROMPT, (steered(amount=a),), Sampling(9))) for a in (3.0, 4.0))
    next(one), next(other)
    monkeypatch.setattr("dashboard.analysis.model.generation.apply_edits", lambda value, edits: 1 / 0)
    for stream in (one, other):
        with pytest.raises(ZeroDivisionError):
            next(stream)
    monkeypatch.undo()
    assert runner._workspace.decoders[0].n_rows == 0
    assert not any(module._forward_hooks for module in runner.model.bare.modules())
    assert ids_of(runner, (PLAIN,), Sampling(9))["plain"] == solo(runner, PROMPT, PLAIN, Sampling(9))


def test_rows_with_seeds_of_their_own_equal_runs_with_these_seeds(runner: LocalRunner) -> None:
    variants = tuple(Variant(str(seed), seed=seed) for seed in range(4))
    rows = ids_of(runner, variants, Sampling(10, 1.0, seed=99))
    assert len({tuple(row) for row in rows.values()}) == 4
    for seed in range(4):
        assert rows[str(seed)] == ids_of(runner, (PLAIN,), Sampling(10, 1.0, seed=seed))["plain"]


def test_editing_from_a_token_on_goes_on_in_the_new_tokens(runner: LocalRunner) -> None:
    n = len(runner.tokens(PROMPT))
    variants = ids_of(runner, (steered(TokenSpan(0)),), Sampling(8))
    assert variants == ids_of(runner, (steered(Where.EVERYWHERE),), Sampling(8))
    assert ids_of(runner, (steered(TokenSpan(n), 60.0),), Sampling(8)) == ids_of(runner, (steered(Where.GENERATED, 60.0),), Sampling(8))


def test_an_edit_of_nothing_gives_the_same_bits(runner: LocalRunner) -> None:
    ids = tuple(ids_of(runner, (PLAIN,), Sampling(6))["plain"])
    for edit in (Intervention(LATENT, Op.ADD, 0.0), Intervention(LATENT, Op.ADD, 5.0, where=TokenSpan(200, 201))):
        score = runner.ask(ScoreAsk(Prompt(PROMPT.text, continuation=ids), (edit,)))
        assert [token.logprob for token in score.tokens] == [token.plain_logprob for token in score.tokens]
        assert all(token.kl == 0 for token in score.tokens)


def test_a_score_sees_the_text_as_it_was_written(runner: LocalRunner) -> None:
    deltas = list(runner.stream(GenerationAsk(PROMPT, (steered(Where.GENERATED, 6.0),), Sampling(12))))
    edits = steered(Where.GENERATED, 6.0).interventions
    score = runner.ask(ScoreAsk(Prompt(PROMPT.text, continuation=tuple(d.token_id for d in deltas)), edits, words=("dog",)))
    assert [token.logprob for token in score.tokens] == pytest.approx([delta.logprob for delta in deltas], abs=1e-4)
    assert [token.top[0].logprob for token in score.tokens] == pytest.approx([delta.logprob for delta in deltas], abs=1e-4)
    assert score.words[0][0] == pytest.approx(score.words[0][1], abs=1e-6)  # the first new token is not edited yet


def test_kl_and_logprobs_equal_plain_transformers_with_a_hook(runner: LocalRunner, tiny_path) -> None:
    ids = tuple(ids_of(runner, (steered(),), Sampling(12))["steered"])
    score = runner.ask(ScoreAsk(Prompt(PROMPT.text, continuation=ids), steered().interventions))
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    whole = torch.tensor([[*runner.tokens(PROMPT).ids, *ids]])
    first = whole.shape[1] - len(ids) - 1
    with torch.no_grad():
        plain = model(whole).logits[0, first:-1].log_softmax(-1)
        row = runner.sae(LATENT.sae).W_dec[7]
        model.model.layers[2].register_forward_hook(lambda _m, _i, out: out + 8.0 * row)
        edited = model(whole).logits[0, first:-1].log_softmax(-1)
    kl = (edited.exp() * (edited - plain)).sum(-1)
    assert [token.kl for token in score.tokens] == pytest.approx(kl.tolist(), abs=1e-4)
    assert [token.plain_logprob for token in score.tokens] == pytest.approx([float(plain[i, t]) for i, t in enumerate(ids)], abs=1e-4)
    assert score.perplexity == pytest.approx(float(torch.tensor([-plain[i, t] for i, t in enumerate(ids)]).mean().exp()), rel=1e-4)


def test_units_are_what_they_say(runner: LocalRunner) -> None:
    site = runner.catalog.get(LATENT.sae).site
    ids = tuple(ids_of(runner, (PLAIN,), Sampling(4))["plain"])

    def dose(edit: Intervention):
        return runner.ask(ScoreAsk(Prompt(PROMPT.text, continuation=ids), (edit,))).doses[0]

    assert dose(Intervention(LATENT, Op.ADD, 3.0, Unit.RAW)).amount == 3.0
    by_norm = dose(Intervention(LATENT, Op.ADD, 0.5, Unit.NORM))
    assert by_norm.share_of_norm == pytest.approx(0.5)
    assert by_norm.amount * by_norm.direction_norm == pytest.approx(0.5 * runner.mean_norm(site))
    with pytest.raises(NotMeasured, match="latents index build"):
        dose(Intervention(LATENT, Op.ADD, 1.0, Unit.MAX))


def test_a_dose_is_known_without_reading_a_prompt(runner: LocalRunner, engine: Engine) -> None:
    edits = (Intervention(LATENT, Op.ADD, 0.5, Unit.NORM), Intervention(LATENT, Op.SCALE, 3.0))
    scored = runner.ask(ScoreAsk(PROMPT, edits)).doses
    passes: list[object] = []
    with runner.model.bare.register_forward_hook(lambda *_: passes.append(1)):
        assert engine.ask(DosesAsk(edits)) == scored
    assert passes == [] and scored[1].amount == 0


def test_the_mean_norm_is_that_of_plain_transformers(runner: LocalRunner, tiny_path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    tokenizer = runner.model.tokenizer
    ids = tokenizer(CALIBRATION.read_text(), add_special_tokens=False)["input_ids"]
    norms: list[float] = []
    for at in range(0, len(ids), 255):  # windows of 256 with the token that begins a text
        window = torch.tensor([[tokenizer.bos_token_id, *ids[at : at + 255]]])
        with torch.no_grad():
            after_layer_1 = model(window, output_hidden_states=True).hidden_states[2][0]
        norms += [
            float(row.norm()) for token, row in zip(window[0], after_layer_1, strict=True) if int(token) not in tokenizer.all_special_ids
        ]
    assert max(norms) < 10 * sorted(norms)[len(norms) // 2]  # no outlier is left out here
    assert runner.mean_norm(Site.parse("1.resid_post")) == pytest.approx(sum(norms) / len(norms), rel=1e-4)


def test_a_vector_and_a_latent_with_the_same_row_do_the_same(runner: LocalRunner) -> None:
    vector = runner.ask(AssembleAsk("twice", ((LATENT, 2.0),)))
    by_vector = Variant("steered", (Intervention(vector, Op.ADD, 4.0),))
    assert ids_of(runner, (by_vector,), Sampling(10)) == ids_of(runner, (steered(),), Sampling(10))


def test_a_written_text_is_read_again_token_by_token(runner: LocalRunner) -> None:
    deltas = list(runner.stream(GenerationAsk(Prompt("한국어 👩‍👩‍👧"), (PLAIN,), Sampling(25, 1.5, seed=3))))
    ids = tuple(delta.token_id for delta in deltas)
    tokens = runner.tokens(Prompt("한국어 👩‍👩‍👧", continuation=ids))
    n = len(tokens) - len(ids)
    assert tokens.ids[n:] == ids
    shown = [text for text, special in zip(tokens.texts[n:], tokens.special[n:], strict=True) if not special]
    assert "".join(shown) == "".join(delta.text for delta in deltas)


def test_after_a_steered_text_is_dropped_the_model_is_as_it_was(runner: LocalRunner) -> None:
    ask = CaptureAsk(Prompt(TEXT), (LATENT.sae,))
    before = runner.ask(ask).activations[LATENT.sae].value
    stream = runner.stream(GenerationAsk(PROMPT, (steered(),), Sampling(20)))
    next(stream), next(stream)
    during = runner.ask(ask).activations[LATENT.sae].value
    stream.close()
    assert (during == before).all()
    assert not any(point.fwd_hooks for point in runner.model.bridge.hook_dict.values())
    assert not any(module._forward_hooks for module in runner.model.bare.modules())
