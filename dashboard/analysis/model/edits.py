"""The arithmetic of each operation, once. Pure functions of an activation; hooks.py puts them in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Bool, Float
from sae_lens import SAE

from dashboard.analysis.asks import Op


@dataclass(frozen=True, eq=False)
class RowEdit:
    """One operation on one latent, on one row of a batch."""

    sae: SAE
    latent: int
    op: Op
    amount: float
    """In units of the latent's activation."""
    where: Bool[torch.Tensor, " position"]
    """True at the positions that are edited."""


def apply_edits(
    value: Float[torch.Tensor, "row position d_model"], edits: Sequence[Sequence[RowEdit]]
) -> Float[torch.Tensor, "row position d_model"]:
    """`value` with each row's own edits applied in order; rows and positions without edits are returned bit for bit."""
    if not any(edits):
        return value
    rows = [_apply(row, row_edits) for row, row_edits in zip(value, edits, strict=True)]
    return torch.stack(rows)


def _apply(row: torch.Tensor, edits: Sequence[RowEdit]) -> torch.Tensor:
    for edit in edits:
        chosen = row[edit.where]
        if len(chosen):
            row = row.clone()
            row[edit.where] = (chosen.float() + _change(chosen.float(), edit)[:, None] * edit.sae.W_dec[edit.latent]).to(row.dtype)
    return row


def _change(rows: Float[torch.Tensor, "position d_model"], edit: RowEdit) -> Float[torch.Tensor, " position"]:
    """How much of the decoder row is added at each position. Adding only the difference keeps the SAE's error."""
    if edit.op is Op.ADD:
        return torch.full(rows.shape[:1], edit.amount, device=rows.device)
    now = edit.sae.encode(rows)[:, edit.latent]
    match edit.op:
        case Op.CLAMP:
            return edit.amount - now
        case Op.SCALE:
            return (edit.amount - 1.0) * now
        case Op.ABLATE:
            return -now
        case _:
            assert_never(edit.op)
