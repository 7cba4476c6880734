"""How large the best separation is when the labels mean nothing.

Steps: (1) within each type shuffle which entities are called known, their number kept; (2) of every shuffle take the
largest separation over all latents of all SAEs, for each type and for the smallest over the types, on both sides;
(3) p = (1 + shuffles at least as large) / (1 + shuffles), which corrects for all latents and layers at once, however
they depend on one another. Mask the latents that a filter leaves out: the best is then looked for where it was looked for.

Source: Westfall and Young 1993, the max statistic; Phipson and Smyth 2010 for the 1 in p. Differs from them: none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import sparse

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.entity_counts import Firing, Roster
from dashboard.analysis.methods.known.statistics.labels import Knowledge

N_SHUFFLES = 1_000
_TOLERANCE = 1e-6
"""Separations of whole-number counts that differ by less are equal (32-bit arithmetic)."""
_AT_ONCE_CELLS = 8_000_000
"""Latents x shuffles held at once: about 32 MB an array."""


@dataclass(frozen=True, eq=False)
class MaxNull:
    """The best separation to one side, as observed and under shuffled labels."""

    kind: str | None
    """A type; None is the smallest separation over all types."""
    side: Knowledge
    observed: float
    """Largest over the latents, -1 to 1."""
    column: int
    """The latent that has it."""
    null: Float64[np.ndarray, " shuffles"]
    """The largest under each shuffle, rising."""
    n_known: int
    """Entities; over all types together."""
    n_unknown: int

    @property
    def p(self) -> float:
        """Of the observed best."""
        return self.p_of(self.observed)

    @property
    def threshold(self) -> float:
        """The separation that 5 % of the shuffles exceed."""
        return float(np.quantile(self.null, 0.95, method="higher"))

    def p_of(self, value: float) -> float:
        """Of any latent's separation, corrected for all latents: at least 1 / (1 + shuffles)."""
        below = int(np.searchsorted(self.null, value - _TOLERANCE, side="left"))
        return (1 + len(self.null) - below) / (1 + len(self.null))


@dataclass(frozen=True)
class _Group:
    """One type's entities."""

    kind: str
    latents: sparse.csr_matrix
    """Latents that fire anywhere by entities, ones."""
    known: Bool[np.ndarray, " entities"]

    def separations(self, labels: np.ndarray) -> np.ndarray:
        """f_known - f_unknown, latents by labellings, for labellings as columns of 0 and 1."""
        n_known = int(self.known.sum())
        n_unknown = len(self.known) - n_known
        totals = np.asarray(self.latents.sum(axis=1), dtype=np.float32)
        found = self.latents @ labels
        found *= np.float32(1 / n_known + 1 / n_unknown)
        found -= totals.reshape(-1, 1) / np.float32(n_unknown)
        return found


def max_null(
    roster: Roster,
    found: Firing,
    rows: Int64[np.ndarray, " rows"],
    kept: Bool[np.ndarray, " columns"] | None = None,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> tuple[MaxNull, ...]:
    """The null of the best latent among `kept`, for each type and for all, on the known side, then on the unknown.

    `rows` are entities of the roster, whose firing latents are the same rows of `found`; those set aside and types with
    one side only are left out. Same seed, same shuffles.

    Raises:
        BadAsk: if no type has both sides, or no latent is kept.
    """
    allowed = np.arange(found.n_columns) if kept is None else np.flatnonzero(kept)
    if not len(allowed) or n_shuffles < 1:
        raise BadAsk(f"{len(allowed)} latents and {n_shuffles} shuffles; at least 1 of each is needed.")
    groups, columns, any_silent = _groups(roster, found, rows, allowed)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permuted(np.tile(group.known, (n_shuffles, 1)), axis=1) for group in groups]
    n_at_once = max(1, _AT_ONCE_CELLS // max(len(columns), 1))
    parts = [
        _extremes(groups, [labels[at : at + n_at_once].T.astype(np.float32) for labels in shuffled], any_silent)
        for at in range(0, n_shuffles, n_at_once)
    ]
    null = np.concatenate(parts, axis=2)
    real = [group.known[:, None].astype(np.float32) for group in groups]
    observed = _extremes(groups, real, any_silent)[:, :, 0]
    places = _places(groups, real, columns, any_silent)
    sizes = [(int(group.known.sum()), int((~group.known).sum())) for group in groups]
    sizes.append((sum(known for known, _ in sizes), sum(unknown for _, unknown in sizes)))
    names = [*(group.kind for group in groups), None]
    return tuple(
        MaxNull(names[i], side, float(observed[j, i]), int(places[j, i]), np.sort(null[j, i]).astype(np.float64), *sizes[i])
        for j, side in enumerate((Knowledge.KNOWN, Knowledge.UNKNOWN))
        for i in range(len(names))
    )


def _groups(roster: Roster, found: Firing, rows: np.ndarray, allowed: np.ndarray) -> tuple[list[_Group], np.ndarray, int | None]:
    """Types with both sides, the columns that fire on any of their entities, and the first column that is silent, if any."""
    members = [roster.members[i] for i in rows]
    chosen: list[tuple[str, np.ndarray, np.ndarray]] = []
    for kind in roster.kinds:
        here = [i for i, one in enumerate(members) if one.kind == kind and one.knowledge is not Knowledge.ASIDE]
        known = np.array([members[i].knowledge is Knowledge.KNOWN for i in here], dtype=bool)
        if known.any() and not known.all():
            chosen.append((kind, rows[here], known))
    if not chosen:
        raise BadAsk("0 types have both known and unknown entities among these rows. Take more entities, or other thresholds.")
    matrices = [found.rows(places).matrix() for _, places, _ in chosen]
    fires = np.zeros(found.n_columns, dtype=bool)
    for matrix in matrices:
        fires[matrix.indices] = True
    columns = allowed[fires[allowed]]
    silent = allowed[~fires[allowed]]
    groups = [
        _Group(kind, sparse.csr_matrix(matrix[:, columns].T), known) for (kind, _, known), matrix in zip(chosen, matrices, strict=True)
    ]
    return groups, columns, int(silent[0]) if len(silent) else None


def _extremes(groups: Sequence[_Group], labels: Sequence[np.ndarray], silent: int | None) -> np.ndarray:
    """Largest separations: side by (types, then over all) by labellings."""
    n_labels = labels[0].shape[1]
    best = np.full((2, len(groups) + 1, n_labels), -np.inf, dtype=np.float32)
    least = most = np.zeros((0, n_labels), dtype=np.float32)
    if any(group.latents.nnz for group in groups):
        for i, (group, labelling) in enumerate(zip(groups, labels, strict=True)):
            values = group.separations(labelling)
            best[0, i], best[1, i] = values.max(axis=0), -values.min(axis=0)
            least = values.copy() if i == 0 else np.minimum(least, values, out=least)
            most = values if i == 0 else np.maximum(most, values, out=most)
        best[0, -1], best[1, -1] = least.max(axis=0), -most.min(axis=0)
    # A latent that fires on nobody has separation 0 under every labelling.
    return best if silent is None else np.maximum(best, 0)


def _places(groups: Sequence[_Group], real: Sequence[np.ndarray], columns: np.ndarray, silent: int | None) -> np.ndarray:
    """Columns that have the observed extremes: side by (types, then over all)."""
    if not len(columns):
        return np.full((2, len(groups) + 1), silent)
    values = np.stack([group.separations(labels)[:, 0] for group, labels in zip(groups, real, strict=True)])
    sides = [np.vstack([side, side.min(axis=0)]) for side in (values, -values)]
    return np.array(
        [[columns[row.argmax()] if silent is None or row.max() >= 0 else silent for row in side] for side in sides], dtype=np.int64
    )
