"""The lean training classes do what sae-lens' own do: the same activations, losses and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.batchtopk_sae import BatchTopK
from sae_lens.saes.sae import TrainStepInput

from dashboard.analysis.sae.train.lean import LeanBatchTopK, LeanMatryoshkaBatchTopK, ShortlistBatchTopK

D_IN, D_SAE = 12, 256


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 40), k=st.floats(0.5, 40), shift=st.floats(-4, 2), spread=st.sampled_from([0, 1, 3])
)
def test_the_short_list_keeps_what_a_full_sort_keeps(seed: int, rows: int, k: float, shift: float, spread: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Some batches have rows of very different size, some hardly anything above 0: the sample's bound is then far off.
    x = (torch.randn(rows, D_SAE, generator=generator) + shift) * torch.rand(rows, 1, generator=generator) ** spread
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    kept, expected = ShortlistBatchTopK(k)(one), BatchTopK(k)(other)
    assert torch.equal(kept, expected)
    kept.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("widths", [(), (32, 256)])
@pytest.mark.parametrize("n_dead", [0, 3, 200])
def test_a_step_has_the_same_loss_and_the_same_gradients(widths: tuple[int, ...], n_dead: int) -> None:
    shared = {"d_in": D_IN, "d_sae": D_SAE, "k": 6.0}
    if widths:
        config = MatryoshkaBatchTopKTrainingSAEConfig(**shared, matryoshka_widths=list(widths))
        lean, plain = LeanMatryoshkaBatchTopK(config), MatryoshkaBatchTopKTrainingSAE(config)
    else:
        config = BatchTopKTrainingSAEConfig(**shared)
        lean, plain = LeanBatchTopK(config), BatchTopKTrainingSAE(config)
    plain.load_state_dict(lean.state_dict())
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[torch.randperm(D_SAE, generator=torch.Generator().manual_seed(1))[:n_dead]] = True
    x = torch.randn(64, D_IN, generator=torch.Generator().manual_seed(2))
    losses = []
    for sae in (lean, plain):
        output = sae.training_forward_pass(TrainStepInput(x, {}, dead, n_training_steps=5, is_logging_step=False))
        output.loss.backward()
        losses.append(output.losses)
    assert (float(losses[0]["auxiliary_reconstruction_loss"]) > 0) == (n_dead > 0)
    for name, value in losses[1].items():
        torch.testing.assert_close(losses[0][name], value, rtol=1e-5, atol=1e-6)
    for (name, one), (_, other) in zip(lean.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
