"""The lenses against the model itself, plain transformers, TransformerLens' own reading, and each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis.jacobian_lens import JacobianLens
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.lens import SKIPPED, JacobiansAsk, LensAsk, LensCheckAsk, LensKind
from dashboard.analysis.errors import BadAsk, NotUsable
from dashboard.analysis.lenses.file import FittedLens, LensRecord, pack
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.model.lens import check_lens, final_logits, jacobians, read_direction, read_lens, straight, through
from dashboard.analysis.names import Point, Site
from dashboard.analysis.tokens import Prompt
from tests.conftest import D_MODEL, N_LAYERS, TEXT

RECORD = LensRecord("tests/tiny", "a text", "", (0,), 20, SKIPPED, "float32", {}, "2026-01-01T00:00:00Z")
ROW = 24


def lens_of(matrices: np.ndarray) -> FittedLens:
    return pack(RECORD, matrices.astype(np.float32))


@pytest.fixture(scope="module")
def some_lens() -> FittedLens:
    return lens_of(np.eye(D_MODEL) + 0.3 * np.random.default_rng(0).standard_normal((N_LAYERS - 1, D_MODEL, D_MODEL)))


@pytest.fixture(scope="module")
def tokens(tiny_model: LoadedModel):
    return tokenise(tiny_model, Prompt(TEXT))


@pytest.fixture(scope="module")
def row(tokens) -> tuple[int, ...]:
    return tuple(tokens.ids[1 : ROW + 1])


def test_after_the_last_block_both_lenses_say_what_plain_transformers_says(
    tiny_model: LoadedModel, tiny_path: Path, tokens, some_lens: FittedLens
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = plain(torch.tensor([tokens.ids])).logits[0].softmax(-1).topk(5)
    for transport in (straight, through(tiny_model, some_lens)):
        lens = read_lens(tiny_model, tokens, LensAsk(tokens.prompt), transport)
        np.testing.assert_array_equal(lens.ids[-1], expected.indices.numpy())
        np.testing.assert_allclose(lens.shares[-1], expected.values.numpy(), atol=1e-5)
        np.testing.assert_allclose(lens.kl[-1], 0, atol=1e-6)
        assert lens.agrees[-1].all()


def test_every_layer_of_the_logit_lens_is_the_hidden_state_through_norm_and_head_of_plain_transformers(
    tiny_model: LoadedModel, tiny_path: Path, tokens
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32).eval()
    lens = read_lens(tiny_model, tokens, LensAsk(tokens.prompt, top=3), straight)
    with torch.no_grad():
        found = plain(torch.tensor([tokens.ids]), output_hidden_states=True)
        # The last hidden state of transformers is normed already.
        for layer, hidden in enumerate(found.hidden_states[1:-1]):
            logs = plain.lm_head(plain.model.norm(hidden[0])).log_softmax(-1)
            np.testing.assert_array_equal(lens.ids[layer], logs.topk(3).indices.numpy())
            final = found.logits[0].log_softmax(-1)
            np.testing.assert_allclose(lens.kl[layer], (final.exp() * (final - logs)).sum(-1).numpy(), atol=1e-4)


def test_a_jacobian_lens_of_identities_is_the_logit_lens(tiny_model: LoadedModel, tokens) -> None:
    identity = lens_of(np.broadcast_to(np.eye(D_MODEL), (N_LAYERS - 1, D_MODEL, D_MODEL)))
    one, other = (read_lens(tiny_model, tokens, LensAsk(tokens.prompt), way) for way in (straight, through(tiny_model, identity)))
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.shares, other.shares)


def test_the_jacobian_lens_reads_as_transformer_lens_own_readout(tiny_model: LoadedModel, tokens, some_lens: FittedLens) -> None:
    theirs = JacobianLens({layer: torch.from_numpy(some_lens.matrix(layer)) for layer in range(N_LAYERS - 1)}, n_prompts=1, d_model=D_MODEL)
    expected = theirs.readout(tiny_model.bridge, torch.tensor([tokens.ids]), top_k=4, return_full_logits=True)
    lens = read_lens(tiny_model, tokens, LensAsk(tokens.prompt, LensKind.JACOBIAN, top=4), through(tiny_model, some_lens))
    for layer in range(N_LAYERS):
        np.testing.assert_array_equal(lens.ids[layer], expected.lens_topk_indices[layer].numpy())
        shares = expected.lens_logits[layer].softmax(-1).topk(4).values
        np.testing.assert_allclose(lens.shares[layer], shares.numpy(), rtol=1e-5)


def test_a_part_of_a_text_reads_as_it_does_in_the_whole(tiny_model: LoadedModel, tokens) -> None:
    whole = read_lens(tiny_model, tokens, LensAsk(tokens.prompt), straight)
    part = read_lens(tiny_model, tokens, LensAsk(tokens.prompt, first=3, most=4), straight)
    np.testing.assert_array_equal(part.ids, whole.ids[:, 3:7])
    np.testing.assert_allclose(part.kl, whole.kl[:, 3:7], atol=1e-6)
    with pytest.raises(BadAsk, match=str(len(tokens))):
        read_lens(tiny_model, tokens, LensAsk(tokens.prompt, first=len(tokens)), straight)


def test_the_soft_cap_of_a_model_is_kept(tiny_model: LoadedModel, tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3, D_MODEL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        free = final_logits(tiny_model, rows)
        monkeypatch.setattr(tiny_model.bridge.adapter.cfg, "output_logits_soft_cap", 2.0, raising=False)
        capped = final_logits(tiny_model, rows)
    torch.testing.assert_close(capped, 2 * torch.tanh(free / 2))


def test_a_direction_after_the_last_block_is_read_as_the_unembedding_reads_it(tiny_model: LoadedModel, some_lens: FittedLens) -> None:
    direction = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(1))
    promoted = tiny_model.unembed(direction).topk(5).indices.numpy()
    for transport in (straight, through(tiny_model, some_lens)):
        found = read_direction(tiny_model, direction, Site(1, Point.RESID_POST), LensKind.JACOBIAN, 5, transport)
        assert found.layers == (1, 2, 3)
        np.testing.assert_array_equal(found.likelier[-1], promoted)
        assert (found.gains > 0).all() and (found.losses < 0).all()
        assert (found.gains[:, 0] >= found.gains[:, -1]).all() and (found.losses[:, 0] <= found.losses[:, -1]).all()
    moved = tiny_model.unembed(torch.from_numpy(some_lens.matrix(1)) @ direction).topk(5).indices.numpy()
    np.testing.assert_array_equal(found.likelier[0], moved)


def test_a_check_compares_ordinary_tokens_only_and_reads_as_the_lens_does(tiny_model: LoadedModel, tokens, some_lens: FittedLens) -> None:
    lens = read_lens(tiny_model, tokens, LensAsk(tokens.prompt), through(tiny_model, some_lens))
    check = check_lens(tiny_model, LensCheckAsk(tokens.ids[1:], LensKind.JACOBIAN), through(tiny_model, some_lens))
    ordinary = list(tokens.ordinary)
    np.testing.assert_array_equal(check.top, lens.ids[:, ordinary, 0])
    np.testing.assert_allclose(check.kl, lens.kl[:, ordinary], atol=1e-5)
    np.testing.assert_array_equal(check.predicted, lens.ids[-1, ordinary, 0])
    half = len(ordinary) // 2
    np.testing.assert_array_equal(check.top_elsewhere, np.roll(check.top, half, axis=1))
    assert (check.kl_elsewhere[-1] > 0).all()


def test_the_jacobian_predicts_what_a_small_push_at_every_token_does(tiny_model: LoadedModel, row) -> None:
    """The mean over source tokens of the sum over later tokens is the change of the sum under a push at all of them, shared out."""
    found = jacobians(tiny_model, JacobiansAsk(row, ROW)).matrices
    assert found is not None and found.shape == (N_LAYERS - 1, D_MODEL, D_MODEL)
    ids = tiny_model.batch(tiny_model.with_bos(row))
    counted = slice(SKIPPED, ids.shape[1] - 1)
    push = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(2))
    for layer in range(N_LAYERS - 1):

        def ends(size: float, layer: int = layer) -> torch.Tensor:
            from dashboard.analysis.model.hooks import hooked, read_sites

            def add(value: torch.Tensor) -> torch.Tensor:
                value = value.clone()
                value[:, counted] += size * push
                return value

            last = Site(N_LAYERS - 1, Point.RESID_POST)
            with hooked(tiny_model.bridge, {Site(layer, Point.RESID_POST): add}):
                return read_sites(tiny_model.bridge, ids, [last])[last][0, counted].double().sum(0)

        step = 1e-3
        measured = (ends(step) - ends(-step)) / (2 * step) / len(range(*counted.indices(ids.shape[1])))
        predicted = torch.from_numpy(found[layer]).double() @ push.double()
        assert (measured - predicted).norm() / predicted.norm() < 0.02


def test_a_text_that_is_read_back_as_other_tokens_or_is_too_short_gives_no_matrices(tiny_model: LoadedModel, row) -> None:
    letters = tuple(tiny_model.tokenizer.convert_tokens_to_ids(list("thequickbrownfoxjumps")))
    for bad, n_tokens in ((letters, len(letters)), (row, ROW + 1), (row, SKIPPED), ((), 0)):
        assert jacobians(tiny_model, JacobiansAsk(bad, n_tokens)).matrices is None


def test_a_document_s_own_begin_token_is_not_read_twice(tiny_model: LoadedModel, row) -> None:
    once, twice = (jacobians(tiny_model, JacobiansAsk(one, ROW)).matrices for one in (row, (tiny_model.bos_id, *row)))
    np.testing.assert_array_equal(once, twice)


def test_a_lens_of_another_model_is_refused_with_the_reason(tiny_model: LoadedModel) -> None:
    for matrices in (np.zeros((N_LAYERS - 1, 8, 8)), np.zeros((2, D_MODEL, D_MODEL))):
        with pytest.raises(NotUsable, match="latents model fit-lens"):
            through(tiny_model, lens_of(matrices))


def test_eight_bits_lose_less_than_one_percent_of_a_matrix(some_lens: FittedLens) -> None:
    exact = np.eye(D_MODEL) + 0.3 * np.random.default_rng(0).standard_normal((N_LAYERS - 1, D_MODEL, D_MODEL))
    for layer in range(N_LAYERS - 1):
        lost = some_lens.matrix(layer) - exact[layer]
        assert np.linalg.norm(lost) < 0.01 * np.linalg.norm(exact[layer] - np.eye(D_MODEL))
    assert replace(RECORD) == some_lens.record
