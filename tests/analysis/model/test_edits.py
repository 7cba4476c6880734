"""The algebra of operations."""

import pytest
import torch
from sae_lens import SAE

from dashboard.analysis.asks.edits import Op
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.edits import LoadedDirection, RowEdit, apply_edits
from dashboard.analysis.names import SaeId
from tests.conftest import D_MODEL

EVERYWHERE = torch.ones(5, dtype=torch.bool)


@pytest.fixture
def sae(runner: LocalRunner) -> SAE:
    return runner.sae(SaeId("tiny", "2.resid_post"))


@pytest.fixture
def value() -> torch.Tensor:
    return torch.randn(2, 5, D_MODEL, generator=torch.Generator().manual_seed(3))


def edit(sae: SAE, op: Op, amount: float = 0.0, latent: int = 7, where: torch.Tensor = EVERYWHERE) -> RowEdit:
    return RowEdit(LoadedDirection(sae.W_dec[latent], sae, latent), op, amount, where)


def test_no_edit_changes_no_bit(value: torch.Tensor) -> None:
    assert apply_edits(value, [[], []]) is value


def test_add_moves_by_amount_times_the_decoder_row_and_only_where_it_is_asked(sae: SAE, value: torch.Tensor) -> None:
    where = torch.tensor([False, True, False, True, False])
    edited = apply_edits(value, [[], [edit(sae, Op.ADD, 2.5, where=where)]])
    assert torch.equal(edited[0], value[0])
    assert torch.equal(edited[1][~where], value[1][~where])
    torch.testing.assert_close(edited[1][where] - value[1][where], (2.5 * sae.W_dec[7]).expand(2, -1))


def test_add_and_take_away_is_nothing(sae: SAE, value: torch.Tensor) -> None:
    edited = apply_edits(value, [[edit(sae, Op.ADD, 3.0), edit(sae, Op.ADD, -3.0)], []])
    torch.testing.assert_close(edited, value)


def test_clamp_to_its_own_value_is_nothing(sae: SAE, value: torch.Tensor) -> None:
    own = float(sae.encode(value)[0, 2, 7])
    here = torch.arange(5) == 2
    torch.testing.assert_close(apply_edits(value, [[edit(sae, Op.CLAMP, own, where=here)], []]), value)


def test_clamp_adds_the_difference_along_the_decoder_row_and_keeps_the_error(sae: SAE, value: torch.Tensor) -> None:
    edited = apply_edits(value, [[edit(sae, Op.CLAMP, 4.0)], []])
    expected = (4.0 - sae.encode(value[0])[:, 7])[:, None] * sae.W_dec[7]
    torch.testing.assert_close(edited[0] - value[0], expected)


def test_scale_by_one_is_nothing_and_by_zero_is_ablation(sae: SAE, value: torch.Tensor) -> None:
    torch.testing.assert_close(apply_edits(value, [[edit(sae, Op.SCALE, 1.0)], []]), value)
    scaled = apply_edits(value, [[edit(sae, Op.SCALE, 0.0)], []])
    assert torch.equal(scaled, apply_edits(value, [[edit(sae, Op.ABLATE)], []]))


def test_ablating_twice_is_ablating_once(sae: SAE, value: torch.Tensor) -> None:
    once = apply_edits(value, [[edit(sae, Op.ABLATE)], []])
    assert not torch.equal(once, value)
    twice = apply_edits(once, [[edit(sae, Op.ABLATE)], []])
    torch.testing.assert_close(twice, once)


def vector(sae: SAE, op: Op, amount: float = 0.0, latent: int = 7) -> RowEdit:
    return RowEdit(LoadedDirection(2.0 * sae.W_dec[latent]), op, amount, EVERYWHERE)


def test_projecting_out_leaves_nothing_along_the_direction_and_twice_is_once(sae: SAE, value: torch.Tensor) -> None:
    once = apply_edits(value, [[edit(sae, Op.PROJECT_OUT)], []])
    torch.testing.assert_close(once[0] @ sae.W_dec[7], torch.zeros(5), atol=1e-5, rtol=0)
    twice = apply_edits(once, [[edit(sae, Op.PROJECT_OUT)], []])
    torch.testing.assert_close(twice, once)
    # What is orthogonal to it stays, and so it does not matter how long the direction is.
    torch.testing.assert_close(apply_edits(value, [[vector(sae, Op.PROJECT_OUT)], []]), once)


def test_a_cap_brings_down_what_is_above_it_and_nothing_else(sae: SAE, value: torch.Tensor) -> None:
    before = sae.encode(value[0])[:, 7]
    middle = float(before.max()) / 2
    edited = apply_edits(value, [[edit(sae, Op.CAP, middle)], []])
    expected = (before.clamp(max=middle) - before)[:, None] * sae.W_dec[7]
    assert (before > middle).any() and (before <= middle).any()
    torch.testing.assert_close(edited[0] - value[0], expected)
    assert torch.equal(apply_edits(value, [[edit(sae, Op.CAP, float(before.max()))], []]), value)


def test_a_vectors_strength_is_its_coefficient(sae: SAE, value: torch.Tensor) -> None:
    added = apply_edits(value, [[vector(sae, Op.ADD, 1.5)], []])
    torch.testing.assert_close(added, apply_edits(value, [[edit(sae, Op.ADD, 3.0)], []]))
    clamped = apply_edits(value, [[vector(sae, Op.CLAMP, 1.5)], []])
    row = 2.0 * sae.W_dec[7]
    torch.testing.assert_close(clamped[0] @ row / row.square().sum(), torch.full((5,), 1.5))
    torch.testing.assert_close(apply_edits(value, [[vector(sae, Op.ABLATE)], []]), apply_edits(value, [[vector(sae, Op.PROJECT_OUT)], []]))


def test_edits_are_applied_in_order(sae: SAE, value: torch.Tensor) -> None:
    ablated_last = apply_edits(value, [[edit(sae, Op.ADD, 9.0), edit(sae, Op.ABLATE)], []])
    ablated_first = apply_edits(value, [[edit(sae, Op.ABLATE), edit(sae, Op.ADD, 9.0)], []])
    assert not torch.allclose(ablated_last, ablated_first)
