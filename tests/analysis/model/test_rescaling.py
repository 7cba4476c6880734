"""Laws of rescaling latents at one token, and of reading what fires at chosen tokens."""

import numpy as np
import pytest
import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.chosen_tokens import ActivityAsk, Rescale, RescaleAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownLatent
from dashboard.analysis.model.edits import rescaled_together
from dashboard.analysis.model.hooks import hooked_bare
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt

BEFORE, MLP, AFTER = SaeId("tiny", "1.resid_post"), SaeId("tiny", "1.mlp_out"), SaeId("tiny", "2.resid_post")
TARGETS = tuple(LatentId(AFTER, i) for i in range(64))


@pytest.fixture
def row(runner: LocalRunner) -> tuple[int, ...]:
    return tuple(runner.tokens(Prompt("The quick brown fox jumps over the lazy dog, and the dog sleeps.")).ids[1:])


def firing(runner: LocalRunner, row: tuple[int, ...], position: int, sae: SaeId) -> tuple[LatentId, ...]:
    found = runner.ask(ActivityAsk((row,), ((position,),), (sae,))).of_sae[sae]
    return tuple(LatentId(sae, int(i)) for i in found.latent)


def by_hand(
    runner: LocalRunner, row: tuple[int, ...], position: int, latents: tuple[LatentId, ...], factor: float, n_after: int
) -> tuple[np.ndarray, float]:
    """The whole text read at once by torch's own means, with h + (r - 1) a V written out."""
    ids = runner.model.batch(runner.model.with_bos(row))
    at = position + 1
    read: list[torch.Tensor] = []

    def edit_of(sae: SaeId):
        indices = [latent.index for latent in latents if latent.sae == sae]

        def edit(value: torch.Tensor) -> torch.Tensor:
            value = value.clone()
            acts = runner.sae(sae).encode(value[0, at : at + 1])[0]
            for index in indices:
                value[0, at] += (factor - 1) * acts[index] * runner.sae(sae).W_dec[index]
            return value

        return edit

    def keep(value: torch.Tensor) -> torch.Tensor:
        read.append(runner.sae(AFTER).encode(value[0, at : at + 1])[0])
        return value

    edits = {runner.catalog.get(sae).site: edit_of(sae) for sae in dict.fromkeys(latent.sae for latent in latents)}
    with torch.inference_mode(), hooked_bare(runner.model, {**edits, runner.catalog.get(AFTER).site: keep}):
        logits = runner.model.bare(ids).logits[0]
    losses = [-torch.log_softmax(logits[at + i], 0)[ids[0, at + 1 + i]].item() for i in range(n_after)]
    return read[0].numpy(), float(np.mean(losses))


def test_rescaling_the_latent_two_of_the_card_gives_2_0_minus_2_and_6_and_keeps_the_rest() -> None:
    sae = SAE.from_dict({"architecture": "standard", "d_in": 2, "d_sae": 1, "device": "cpu", "dtype": "float32", "metadata": {}})
    axis = torch.tensor([[1.0, 0.0]])
    sae.load_state_dict({"W_enc": axis.T, "W_dec": axis, "b_enc": torch.zeros(1), "b_dec": torch.zeros(2)})
    h = torch.tensor([[2.0, 1.0]])
    for factor, along in ((1.0, 2.0), (0.0, 0.0), (-1.0, -2.0), (3.0, 6.0)):
        changed = rescaled_together(h, [(sae, torch.tensor([[factor - 1]]))])
        assert changed.tolist() == [[along, 1.0]]


def test_latents_of_one_site_are_rescaled_by_their_activations_before_any_of_them_is(runner: LocalRunner) -> None:
    sae = runner.sae(BEFORE)
    rows = torch.randn(3, sae.W_dec.shape[1], generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(3, sae.W_dec.shape[0])
    weights[0, :], weights[2, 5] = -1.0, 1.5
    changed = rescaled_together(rows, [(sae, weights)])
    acts = sae.encode(rows)
    torch.testing.assert_close(changed[0], rows[0] - acts[0] @ sae.W_dec)
    torch.testing.assert_close(changed[2], rows[2] + 1.5 * acts[2, 5] * sae.W_dec[5])
    assert changed[1].equal(rows[1])


def test_a_factor_of_1_is_a_no_op_bit_for_bit_beside_rows_that_change(runner: LocalRunner, row: tuple[int, ...]) -> None:
    predecessors = firing(runner, row, 4, BEFORE)
    variants = (Rescale(predecessors, 1.0), Rescale(predecessors, 0.0), Rescale((), 0.0), Rescale(predecessors[:1], 1.0))
    found = runner.ask(RescaleAsk(row, 4, variants, TARGETS, n_after=3))
    assert found.losses is not None
    for same in (0, 2, 3):
        assert found.values[same].tobytes() == found.plain.tobytes() and found.losses[same] == np.float32(found.plain_loss)
    assert not np.array_equal(found.values[1], found.plain) and found.losses[1] != np.float32(found.plain_loss)
    values = torch.tensor([[-0.0, 1.0]])
    sae = runner.sae(BEFORE)
    wide = values.repeat(1, sae.W_dec.shape[1] // 2)
    assert rescaled_together(wide, [(sae, torch.zeros(1, sae.W_dec.shape[0]))]) is wide


@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0])
def test_rescaling_behind_kept_keys_and_values_is_the_same_as_reading_the_whole_text_anew(
    runner: LocalRunner, row: tuple[int, ...], factor: float
) -> None:
    for position in (0, 5):
        before, mlp = firing(runner, row, position, BEFORE)[:6], firing(runner, row, position, MLP)[:6]
        assert before and mlp
        # The mlp's latents are read after the attention and before the residual of their layer: both sites are edited in turn.
        found = runner.ask(RescaleAsk(row, position, (Rescale(before, factor), Rescale((*mlp, *before), factor)), TARGETS, 4))
        assert found.n_losses == 4 and found.losses is not None
        for number, latents in enumerate((before, (*mlp, *before))):
            values, loss = by_hand(runner, row, position, latents, factor, 4)
            np.testing.assert_allclose(found.values[number], values, atol=2e-5)
            assert found.losses[number] == pytest.approx(loss, abs=2e-5)
        plain, loss = by_hand(runner, row, position, (), 1.0, 4)
        np.testing.assert_allclose(found.plain, plain, atol=2e-5)
        assert found.plain_loss == pytest.approx(loss, abs=2e-5)


def test_a_variant_does_not_depend_on_how_many_others_there_are(runner: LocalRunner, row: tuple[int, ...]) -> None:
    predecessors = firing(runner, row, 6, BEFORE)
    many = tuple(Rescale((predecessors[i % len(predecessors)],), -0.1 * (i % 7)) for i in range(150))
    found = runner.ask(RescaleAsk(row, 6, many, TARGETS, 2))
    assert found.losses is not None
    for number in (0, 62, 63, 140, 149):
        alone = runner.ask(RescaleAsk(row, 6, (many[number],), TARGETS, 2))
        assert alone.losses is not None
        np.testing.assert_allclose(found.values[number], alone.values[0], atol=2e-5)
        assert found.losses[number] == pytest.approx(alone.losses[0], abs=2e-5)


def test_no_loss_is_given_where_no_token_follows(runner: LocalRunner, row: tuple[int, ...]) -> None:
    found = runner.ask(RescaleAsk(row, len(row) - 1, (Rescale(firing(runner, row, 2, BEFORE), 0.0),), TARGETS, 8))
    assert found.plain_loss is None and found.losses is None and found.n_losses == 0
    assert runner.ask(RescaleAsk(row, len(row) - 3, (Rescale((), 0.0),), TARGETS, 8)).n_losses == 2


def test_what_fires_at_chosen_tokens_is_what_a_capture_of_the_whole_text_says(runner: LocalRunner, row: tuple[int, ...]) -> None:
    texts = ("The quick brown fox jumps over the lazy dog, and the dog sleeps.", "emoji 한국어 done.")
    rows = tuple(tuple(runner.tokens(Prompt(text)).ids[1:]) for text in texts)
    positions = ((0, 7, 3), (2,))
    found = runner.ask(ActivityAsk(rows, positions, (BEFORE, AFTER)))
    assert found.special.tolist() == [False] * 4
    samples = [(0, 0), (0, 7), (0, 3), (1, 2)]
    for sae in (BEFORE, AFTER):
        acts = found.of_sae[sae]
        assert acts.n_samples == 4 and acts.n_latents == 64 and (acts.value > 0).all()
        for sample, (number, position) in enumerate(samples):
            whole = runner.ask(CaptureAsk(Prompt(texts[number]), (sae,))).activations[sae]
            here = acts.sample == sample
            expected = sorted(whole.at_position(position + 1))
            assert acts.latent[here].tolist() == [latent for latent, _ in expected]
            np.testing.assert_allclose(acts.value[here], [value for _, value in expected], atol=1e-5)


def test_special_tokens_among_the_samples_are_said_to_be(runner: LocalRunner, row: tuple[int, ...]) -> None:
    end = runner.model.tokenizer.eos_token_id
    found = runner.ask(ActivityAsk(((*row[:3], end),), ((2, 3),), (BEFORE,)))
    assert found.special.tolist() == [False, True]
    assert runner.ask(ActivityAsk((), (), (BEFORE,))).of_sae[BEFORE].n_samples == 0


def test_the_engine_answers_as_the_runner_does(engine: Engine, runner: LocalRunner, row: tuple[int, ...]) -> None:
    ask = RescaleAsk(row, 4, (Rescale(firing(runner, row, 4, BEFORE), 0.0),), TARGETS, 2)
    ours, theirs = runner.ask(ask), engine.ask(ask)
    np.testing.assert_array_equal(ours.values, theirs.values)
    seen = ActivityAsk((row,), ((1, 2),), (AFTER,))
    np.testing.assert_array_equal(runner.ask(seen).of_sae[AFTER].value, engine.ask(seen).of_sae[AFTER].value)


def test_what_cannot_be_asked_is_refused_with_numbers(runner: LocalRunner, row: tuple[int, ...]) -> None:
    with pytest.raises(BadAsk, match="Token 99 is not in a text of"):
        RescaleAsk(row, 99, (Rescale((), 0.0),), TARGETS)
    with pytest.raises(BadAsk, match="0 ways"):
        RescaleAsk(row, 1, (), TARGETS)
    with pytest.raises(BadAsk, match="factor is nan"):
        Rescale((), float("nan"))
    with pytest.raises(UnknownLatent):
        runner.ask(RescaleAsk(row, 1, (Rescale((LatentId(BEFORE, 64),), 0.0),), TARGETS))
