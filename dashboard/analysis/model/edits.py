"""The arithmetic of each operation, once. Pure functions of an activation; hooks.py puts them in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Bool, Float
from sae_lens import SAE

from dashboard.analysis.asks.edits import Op


@dataclass(frozen=True, eq=False)
class LoadedDirection:
    """A direction in the residual stream, and how strongly it is there."""

    vector: Float[torch.Tensor, " d_model"]
    sae: SAE | None = None
    """Whose latent it is; None for a vector of its own."""
    latent: int = 0

    def strength(self, rows: Float[torch.Tensor, "position d_model"]) -> Float[torch.Tensor, " position"]:
        """The latent's activation, or the coefficient x.v / |v|^2 of a vector."""
        return self.coefficient(rows) if self.sae is None else self.sae.encode(rows)[:, self.latent]

    def coefficient(self, rows: Float[torch.Tensor, "position d_model"]) -> Float[torch.Tensor, " position"]:
        """x.d / |d|^2: how often the direction fits into each row."""
        return rows @ self.vector / self.vector.square().sum()

    def unit(self, rows: Float[torch.Tensor, "position d_model"]) -> Float[torch.Tensor, " position"]:
        """How many times the direction a strength of 1 stands for in each row."""
        return torch.ones_like(rows[:, 0]) if self.sae is None else unit_sizes(self.sae, rows)


@dataclass(frozen=True, eq=False)
class RowEdit:
    """One operation along one direction, on one row of a batch."""

    direction: LoadedDirection
    op: Op
    amount: float
    """In units of the direction's strength."""
    where: Bool[torch.Tensor, " position"]
    """True at the positions that are edited."""


def unit_sizes(sae: SAE, rows: Float[torch.Tensor, "row d_model"]) -> Float[torch.Tensor, " row"]:
    """How many times its decoder row a latent of activation 1 adds: 1, but for SAEs that norm each row and write its size back.

    Source: Gao et al. 2024, arXiv:2406.04093, their code for GPT-2 (layer norm with the unbiased deviation).
    """
    match sae.cfg.normalize_activations:
        case "layer_norm":
            return rows.std(dim=-1)
        case "constant_norm_rescale":
            return rows.norm(dim=-1) / rows.shape[-1] ** 0.5
        case _:
            return torch.ones_like(rows[:, 0])


def apply_edits(
    value: Float[torch.Tensor, "row position d_model"], edits: Sequence[Sequence[RowEdit]]
) -> Float[torch.Tensor, "row position d_model"]:
    """`value` with each row's own edits applied in order; rows and positions without edits are returned bit for bit.

    An edit sees what those before it have left, so the order matters unless all of them add.
    """
    if not any(edits):
        return value
    rows = [_apply(row, row_edits) for row, row_edits in zip(value, edits, strict=True)]
    return torch.stack(rows)


def rescaled_together(
    rows: Float[torch.Tensor, "row d_model"], parts: Sequence[tuple[SAE, Float[torch.Tensor, "row latent"]]]
) -> Float[torch.Tensor, "row d_model"]:
    """h + (r - 1) a V: many latents of each row multiplied at once, all by the activations of the row as it came.

    Each part is an SAE and r - 1 for each row and latent; 0 leaves a latent alone. Rows without any are returned bit for bit.

    Source: Laptev et al. 2025, arXiv:2502.03032, section 5.
    """
    touched = torch.stack([weights.any(dim=1) for _, weights in parts]).any(dim=0)
    if not touched.any():
        return rows
    now = rows.float()
    changed = now.clone()
    for sae, weights in parts:
        used = weights.any(dim=0).nonzero()[:, 0]
        changed += unit_sizes(sae, now)[:, None] * ((sae.encode(now)[:, used] * weights[:, used]) @ sae.W_dec[used])
    return torch.where(touched[:, None], changed.to(rows.dtype), rows)


def _apply(row: torch.Tensor, edits: Sequence[RowEdit]) -> torch.Tensor:
    for edit in edits:
        where = edit.where.to(row.device)
        chosen = row[where].float()
        if len(chosen):
            row = row.clone()
            row[where] = (chosen + _change(chosen, edit)[:, None] * edit.direction.vector).to(row.dtype)
    return row


def _change(rows: Float[torch.Tensor, "position d_model"], edit: RowEdit) -> Float[torch.Tensor, " position"]:
    """How much of the direction is added at each position. Adding only the difference keeps the SAE's error."""
    if edit.op is Op.ADD:
        return torch.full(rows.shape[:1], edit.amount, device=rows.device)
    if edit.op is Op.PROJECT_OUT:
        return -edit.direction.coefficient(rows)
    now, unit = edit.direction.strength(rows), edit.direction.unit(rows)
    match edit.op:
        case Op.CLAMP:
            return (edit.amount - now) * unit
        case Op.CAP:
            return (now.clamp(max=edit.amount) - now) * unit
        case Op.SCALE:
            return (edit.amount - 1.0) * now * unit
        case Op.ABLATE:
            return -now * unit
        case _:
            assert_never(edit.op)
