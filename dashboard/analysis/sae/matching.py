"""Which decoder row of one dictionary points most nearly the way of each row of another: the matching of a feature flow.

Source: Laptev et al. 2025, arXiv:2502.03032, section 3: the k largest signed cosines of decoder rows, each row by itself.
Steps, for blocks of rows: (1) one matrix product in float32; (2) the largest of every 64 columns, and from the best of these
groups every column that could be among the k nearest, given float32's error; (3) the cosines of these alone in float64, which
decide. The similarity matrix never exists as a whole.

Ties: cosines that are equal to 12 decimals go by the lower index. A zero row has cosine 0 with everything.

Baselines: the one-to-one assignment (Balagansky et al. 2024, arXiv:2410.07656) and a draw among the 5 nearest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.optimize import linear_sum_assignment

from dashboard.analysis.errors import BadAsk

DECIMALS = 12
"""To which cosines are compared."""
N_RANDOM = 5
"""Of how many nearest the random baseline draws."""
MAX_ASSIGNED = 8192
"""Rows of the largest dictionary that is assigned one-to-one: time grows with the cube of it."""
_GROUP = 64
_SPARE = 3
_ERROR = 1e-5
"""More than float32 products of unit rows are ever off by."""
_BLOCK_BYTES = 128 * 2**20
"""Of one block of the similarity matrix."""

Rows = Float[torch.Tensor, "_ _"]


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest rows of each row, nearest first."""

    index: Int64[np.ndarray, "rows top"]
    cosine: Float64[np.ndarray, "rows top"]


def nearest_rows(rows: Rows, among: Rows, top: int = 1, show: Callable[[float], None] | None = None) -> Nearest:
    """The `top` rows of `among` with the largest signed cosine to each of `rows`.

    Extra memory: one copy of `among` and two blocks of 128 MiB. `show` hears the share that is done.

    Raises:
        BadAsk: if the widths differ, or `among` has fewer than `top` rows.
    """
    if rows.shape[1] != among.shape[1]:
        raise BadAsk(f"Rows of {rows.shape[1]:,} and of {among.shape[1]:,} numbers have no cosine. Match dictionaries of one width.")
    if not 1 <= top <= len(among):
        raise BadAsk(f"{top} matches were asked for in a dictionary of {len(among):,}.")
    with torch.inference_mode():
        columns = _unit(among)
        per_block = max(1, min(len(rows), _BLOCK_BYTES // (4 * len(among))))
        index = torch.empty(len(rows), top, dtype=torch.long)
        cosine = torch.empty(len(rows), top, dtype=torch.float64)
        product = torch.empty(per_block, len(among), device=among.device)
        for first in range(0, len(rows), per_block):
            block = slice(first, min(first + per_block, len(rows)))
            found = _nearest(_unit(rows[block]), rows[block], columns, among, top, product[: block.stop - first])
            index[block], cosine[block] = found
            if show is not None:
                show(block.stop / len(rows))
    return Nearest(index.numpy(), cosine.numpy())


def random_rows(rows: Rows, among: Rows, seed: int) -> Nearest:
    """One of the N_RANDOM nearest rows, each as likely."""
    found = nearest_rows(rows, among, min(N_RANDOM, len(among)))
    draw = np.random.default_rng(seed).integers(0, found.index.shape[1], (len(rows), 1))
    return Nearest(np.take_along_axis(found.index, draw, 1), np.take_along_axis(found.cosine, draw, 1))


def assigned_rows(rows: Rows, among: Rows) -> Nearest:
    """The one-to-one assignment that makes the sum of |row - assigned row|^2 least; lengths count.

    Raises:
        BadAsk: if `among` is smaller than `rows`, or too large to be assigned in minutes.
    """
    if not len(rows) <= len(among) <= MAX_ASSIGNED:
        raise BadAsk(
            f"{len(rows):,} rows cannot be assigned one-to-one to {len(among):,}: at least as many are needed and at most "
            f"{MAX_ASSIGNED:,} are possible. Match by cosine."
        )
    with torch.inference_mode():
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b; |a|^2 is the same for every assignment, |b|^2 is not where rows of `among` are left over.
        cost = (among.double().square().sum(1) - 2 * rows.double() @ among.double().T).cpu().numpy()
        index = torch.from_numpy(linear_sum_assignment(cost)[1].astype(np.int64))[:, None]
        return Nearest(index.numpy(), _exact(rows, among, index.to(rows.device)).cpu().numpy())


def fold(decoder: Rows, threshold: Float[torch.Tensor, " _"]) -> Rows:
    """Decoder rows in units of each latent's threshold: with encoder / threshold, a threshold of 1 and these rows the
    reconstruction is as it was (Balagansky et al. 2024). A threshold of 0 has no unit; its row stays.
    """
    return decoder * torch.where(threshold > 0, threshold, torch.ones_like(threshold))[:, None]


def _unit(rows: Rows) -> Rows:
    rows = rows.float()
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-30)


def _nearest(unit: Rows, rows: Rows, columns: Rows, among: Rows, top: int, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices and cosines [rows, top] of one block."""
    product = torch.mm(unit, columns.T, out=out)
    found = _candidates(product, top)
    index = found.index[:, :top].clone()
    cosine = _exact(rows, among, index)
    close = (found.is_certain & ~found.is_clear).nonzero().squeeze(1)
    if len(close):
        some = rows[close]
        index[close], cosine[close] = _best(found.index[close], _exact(some, among, found.index[close]), top)
    for row in (~found.is_certain).nonzero().squeeze(1).tolist():
        index[row], cosine[row] = _of_row(rows[row : row + 1], product[row], among, top)
    return index.cpu(), cosine.cpu()


@dataclass(frozen=True, eq=False)
class _Candidates:
    index: torch.Tensor
    """Columns [rows, some], the nearest by float32 first."""
    is_certain: torch.Tensor
    """True where the nearest are among them."""
    is_clear: torch.Tensor
    """True where they are the first, in this order."""


def _candidates(product: torch.Tensor, top: int) -> _Candidates:
    n_rows, n = product.shape
    n_groups, n_wanted = n // _GROUP, min(top + _SPARE, n)
    if n_groups <= n_wanted:
        values, index = product.topk(n_wanted, sorted=True)
        outside = torch.full((n_rows,), -2.0, device=product.device) if n <= n_wanted else values[:, -1]
    else:
        # Column g + n_groups * j is in group g: the largest of each group is found with whole vectors of neighbouring columns.
        whole = n_groups * _GROUP
        groups = product[:, :whole].view(n_rows, _GROUP, n_groups)
        heads = groups.amax(1).topk(n_wanted, sorted=True)
        places = (heads.indices[:, :, None] + n_groups * torch.arange(_GROUP, device=product.device)).flatten(1)
        places = torch.cat([places, torch.arange(whole, n, device=product.device).expand(n_rows, -1)], 1)
        values, chosen = product.gather(1, places).topk(n_wanted, sorted=True)
        index = places.gather(1, chosen)
        # Whatever was left out is at or below the last group's head, or the last candidate.
        outside = torch.maximum(values[:, -1], heads.values[:, -1])
    clear = (values[:, :top] - values[:, 1 : top + 1] > _ERROR).all(1) if n > top else torch.zeros_like(outside, dtype=torch.bool)
    return _Candidates(index, outside < values[:, top - 1] - _ERROR, clear)


def _exact(rows: Rows, among: Rows, candidates: torch.Tensor) -> torch.Tensor:
    """Cosines in float64 of each row with its candidates; a few rows at a time, which stay in the processor's cache."""
    exact = torch.empty(candidates.shape, dtype=torch.float64, device=rows.device)
    for first in range(0, len(rows), 64):
        part = slice(first, first + 64)
        own = rows[part].double()
        size = own.norm(dim=1)
        for place in range(candidates.shape[1]):
            other = among[candidates[part, place]].double()
            exact[part, place] = torch.linalg.vecdot(own, other) / (size * other.norm(dim=1)).clamp(min=1e-300)
    return exact


def _best(candidates: torch.Tensor, exact: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `top` of some candidates by cosine, ties by the lower index."""
    order = candidates.argsort(1)
    candidates, exact = candidates.gather(1, order), exact.gather(1, order)
    order = exact.round(decimals=DECIMALS).argsort(stable=True, dim=1, descending=True)[:, :top]
    return candidates.gather(1, order), exact.gather(1, order)


def _of_row(row: Rows, product: torch.Tensor, among: Rows, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One row against every column that float32 cannot tell from its nearest."""
    near = (product >= product.topk(top).values[-1] - _ERROR).nonzero().squeeze(1)
    own = row[0].double()
    own = own / own.norm().clamp(min=1e-300)
    parts = [among[part].double() for part in near.split(4096)]
    exact = torch.cat([(part * own).sum(1) / part.norm(dim=1).clamp(min=1e-300) for part in parts])
    index, cosine = _best(near[None], exact[None], top)
    return index[0], cosine[0]
