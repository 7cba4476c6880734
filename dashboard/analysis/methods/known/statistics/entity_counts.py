"""On how many entities each latent fires: whole numbers that add up, by type, label and split.

Steps: (1) an entity's split comes from a hash of seed and name alone, so it does not depend on the other entities, on
their order or on the prompt, and a name that stands in two types, or is spelt in two ways, is in one split; (2) the latents
that fire at the entity's last token are counted once an entity; (3) counts grow chunk by chunk in the order of the roster.
Memory grows with latents, not with entities, and a counter that was stopped goes on where it left off.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 3 (half of the entities for choosing, 10 % validation, 40 % test).
Differs from it: the shares hold on average, because a hash draws each entity by itself.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Int32, Int64
from scipy import sparse

from dashboard.analysis.errors import BadAsk, RunMismatch, UnknownLatent
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.text.spelling import same_name


class Split(StrEnum):
    """What an entity is used for."""

    TRAIN = "train"
    """Latents are chosen on it."""
    VALIDATION = "validation"
    """Strengths and thresholds are set on it."""
    TEST = "test"
    """Figures are shown on it."""


LABELS, SPLITS = tuple(Knowledge), tuple(Split)
"""The order of the second and third axis of counts."""
SHARES = (0.5, 0.1, 0.4)


def split_of(seed: int, name: str, shares: tuple[float, float, float] = SHARES) -> Split:
    """The split of one entity, whatever its type: names that are the same by `spelling.same_name` are in one."""
    digest = hashlib.sha256(f"split\0{seed}\0{same_name(name)}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return SPLITS[int(np.searchsorted(np.cumsum(shares)[:2], place, side="right"))]


@dataclass(frozen=True)
class Member:
    """An entity of a study."""

    kind: str
    """Its type: city, player ..."""
    name: str
    knowledge: Knowledge
    split: Split


@dataclass(frozen=True)
class Roster:
    """The entities of a study in the order in which they are read, none twice."""

    members: tuple[Member, ...]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Types in the order of their first entity."""
        return tuple(dict.fromkeys(member.kind for member in self.members))

    @cached_property
    def codes(self) -> Int64[np.ndarray, "members 3"]:
        """Of each entity the index of its type, of its label in LABELS and of its split in SPLITS."""
        kinds = {kind: i for i, kind in enumerate(self.kinds)}
        rows = [(kinds[one.kind], LABELS.index(one.knowledge), SPLITS.index(one.split)) for one in self.members]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def where(self, split: Split | None = None, kinds: Sequence[str] | None = None) -> Int64[np.ndarray, " rows"]:
        """Indices of the known and unknown entities of a split (None: of all) and of some types."""
        chosen = [
            i
            for i, one in enumerate(self.members)
            if one.knowledge is not Knowledge.ASIDE and split in (None, one.split) and (kinds is None or one.kind in kinds)
        ]
        return np.array(chosen, dtype=np.int64)


def roster(entities: Iterable[tuple[str, str, Knowledge]], seed: int, shares: tuple[float, float, float] = SHARES) -> Roster:
    """Put (type, name, label) triples into splits; an entity that comes twice with one label is taken once.

    Raises:
        BadAsk: if an entity comes with two labels, or the shares are not shares.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise BadAsk(f"The shares of the splits are {shares}; they must be 0 or more and sum to 1.")
    members: dict[tuple[str, str], Member] = {}
    for kind, name, knowledge in entities:
        found = members.setdefault((kind, name), Member(kind, name, knowledge, split_of(seed, name, shares)))
        if found.knowledge is not knowledge:
            raise BadAsk(f"The {kind} {name!r} is labelled both {found.knowledge} and {knowledge}. Keep one of the two rows.")
    return Roster(tuple(members.values()))


@dataclass(frozen=True)
class Columns:
    """Which latent stands in which column, the SAEs one after the other."""

    saes: tuple[SaeId, ...]
    sites: tuple[Site, ...]
    widths: tuple[int, ...]
    """Latents of each SAE."""

    def __post_init__(self) -> None:
        if not len(self.saes) == len(self.sites) == len(self.widths) or len({*self.saes}) != len(self.saes):
            raise BadAsk(f"{len(self.saes)} SAEs, {len(self.sites)} sites, {len(self.widths)} widths; each SAE needs one and comes once.")

    @property
    def n(self) -> int:
        """All latents together."""
        return sum(self.widths)

    @cached_property
    def starts(self) -> Int64[np.ndarray, " saes_and_end"]:
        """First column of each SAE, and the end."""
        return np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int64)

    def block(self, sae: SaeId) -> slice:
        """The columns of one SAE."""
        place = self.saes.index(sae)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def latent(self, column: int) -> LatentId:
        """What stands in a column."""
        place = int(np.searchsorted(self.starts, column, side="right")) - 1
        return LatentId(self.saes[place], int(column - self.starts[place]))

    def column(self, latent: LatentId) -> int:
        """Where a latent stands.

        Raises:
            BadAsk: if its SAE is not among these.
            UnknownLatent: if its SAE has no such latent.
        """
        if latent.sae not in self.saes:
            raise BadAsk(f"{latent.sae} is not among the {len(self.saes)} SAEs of this study.")
        block = self.block(latent.sae)
        if not 0 <= latent.index < block.stop - block.start:
            raise UnknownLatent(latent.index, str(latent.sae), block.stop - block.start)
        return block.start + latent.index


@dataclass(frozen=True, eq=False)
class Firing:
    """Which latents fire on each of some entities: rows after rows (CSR), columns rising within a row."""

    start: Int64[np.ndarray, " rows_and_end"]
    """Row i has the entries start[i] to start[i + 1] - 1."""
    column: Int32[np.ndarray, " entries"]
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Entities."""
        return len(self.start) - 1

    def matrix(self, dtype: type = np.float32) -> sparse.csr_matrix:
        """Ones where a latent fires, entities by latents."""
        return sparse.csr_matrix((np.ones(len(self.column), dtype=dtype), self.column, self.start), shape=(self.n_rows, self.n_columns))

    def rows(self, chosen: np.ndarray) -> "Firing":
        """Some of the rows, in that order."""
        lengths = (self.start[1:] - self.start[:-1])[chosen]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.repeat(self.start[:-1][chosen] - start[:-1], lengths) + np.arange(start[-1])
        return Firing(start, self.column[entries], self.n_columns)

    def of_column(self, column: int) -> np.ndarray:
        """For each row whether one latent fires on it."""
        fires = np.zeros(self.n_rows, dtype=bool)
        fires[np.searchsorted(self.start, np.flatnonzero(self.column == column), side="right") - 1] = True
        return fires


def firing(columns: Columns, n_rows: int, fires: Mapping[SaeId, tuple[np.ndarray, np.ndarray]]) -> Firing:
    """From (row, latent index) pairs of each SAE, in any order; a pair that comes twice counts once.

    Raises:
        BadAsk: if a row or a latent is out of range.
    """
    keys = [np.zeros(0, dtype=np.int64)]
    for sae, (row, latent) in fires.items():
        block = columns.block(sae)
        if len(row) and (row.min() < 0 or row.max() >= n_rows or latent.min() < 0 or latent.max() >= block.stop - block.start):
            raise BadAsk(f"{sae}: entries outside {n_rows} rows and {block.stop - block.start} latents.")
        keys.append(row.astype(np.int64) * columns.n + block.start + latent)
    row, column = np.divmod(np.unique(np.concatenate(keys)), columns.n)
    start = np.searchsorted(row, np.arange(n_rows + 1)).astype(np.int64)
    return Firing(start, column.astype(np.int32), columns.n)


def stacked(chunks: Sequence[Firing]) -> Firing:
    """Chunks of one study under one another."""
    lengths = np.concatenate([chunk.start[1:] - chunk.start[:-1] for chunk in chunks])
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Firing(start, np.concatenate([chunk.column for chunk in chunks]), chunks[0].n_columns)


@dataclass(frozen=True, eq=False)
class Counts:
    """On how many entities each latent fires."""

    kinds: tuple[str, ...]
    columns: Columns
    n: Int64[np.ndarray, "kinds labels splits"]
    """Entities read."""
    fires: Int32[np.ndarray, "kinds labels splits columns"]
    """Of those, the ones on which each latent fires."""

    def n_of(self, knowledge: Knowledge, split: Split | None = None) -> Int64[np.ndarray, " kinds"]:
        """Entities with a label in a split; None takes all splits together."""
        n = self.n[:, LABELS.index(knowledge)]
        return n.sum(1) if split is None else n[:, SPLITS.index(split)]

    def fires_of(self, knowledge: Knowledge, split: Split | None = None) -> Int64[np.ndarray, "kinds columns"]:
        """Entities on which each latent fires, of those with a label in a split."""
        fires = self.fires[:, LABELS.index(knowledge)]
        return (fires.sum(1) if split is None else fires[:, SPLITS.index(split)]).astype(np.int64)

    def share(self, kind: str, knowledge: Knowledge, column: int, split: Split | None = None) -> Share:
        """How many entities of a type a latent fires on, of how many."""
        i = self.kinds.index(kind)
        return Share(int(self.fires_of(knowledge, split)[i, column]), int(self.n_of(knowledge, split)[i]))

    def __add__(self, other: "Counts") -> "Counts":
        """Counts of other entities of the same study put to these."""
        if (self.kinds, self.columns) != (other.kinds, other.columns):
            raise BadAsk(f"Counts of {self.kinds} and of {other.kinds}, or of other SAEs, cannot be added.")
        return Counts(self.kinds, self.columns, self.n + other.n, self.fires + other.fires)


class EntityCounter:
    """Counts that grow in the order of a roster, and can be saved between two chunks."""

    def __init__(self, roster: Roster, columns: Columns) -> None:
        self.n_read = 0
        """Entities counted so far: the next chunk begins with this one."""
        self._roster, self._columns = roster, columns
        shape = (len(roster.kinds), len(LABELS), len(SPLITS))
        self._n = np.zeros(shape, dtype=np.int64)
        self._fires = np.zeros((*shape, columns.n), dtype=np.int32)

    def add(self, chunk: Firing) -> None:
        """Count the next entities of the roster.

        Raises:
            BadAsk: if there are more than the roster has left, or the chunk is of other SAEs.
        """
        end = self.n_read + chunk.n_rows
        if end > len(self._roster.members) or chunk.n_columns != self._columns.n:
            raise BadAsk(
                f"A chunk of {chunk.n_rows} entities x {chunk.n_columns:,} latents came after {self.n_read}; "
                f"the study has {len(self._roster.members)} x {self._columns.n:,}."
            )
        codes = self._roster.codes[self.n_read : end]
        np.add.at(self._n, tuple(codes.T), 1)
        cell = np.ravel_multi_index(tuple(codes.T), self._n.shape)
        row = np.repeat(cell, np.diff(chunk.start))
        np.add.at(self._fires.reshape(-1), row * self._columns.n + chunk.column, 1)
        self.n_read = end

    def counts(self) -> Counts:
        """Results so far; later chunks do not change them."""
        return Counts(self._roster.kinds, self._columns, self._n.copy(), self._fires.copy())

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to save (`np.savez`)."""
        return {"n_read": np.array(self.n_read), "study": np.array(self._study()), "n": self._n.copy(), "fires": self._fires.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from arrays that `state` gave.

        Raises:
            RunMismatch: if they are of other entities, labels, splits or SAEs.
        """
        if str(state["study"]) != self._study():
            raise RunMismatch("The saved counts belong to other entities, labels or SAEs. Start over, or restore what was asked before.")
        self.n_read = int(state["n_read"])
        self._n, self._fires = state["n"].copy(), state["fires"].copy()

    def _study(self) -> str:
        members = [f"{one.kind}\0{one.name}\0{one.knowledge}\0{one.split}" for one in self._roster.members]
        saes = [f"{sae}\0{width}" for sae, width in zip(self._columns.saes, self._columns.widths, strict=True)]
        return hashlib.sha256("\1".join((*members, "\2", *saes)).encode()).hexdigest()


def count(roster: Roster, columns: Columns, found: Firing) -> Counts:
    """All at once: the counts of a whole roster whose firing latents are there, as after a label was changed."""
    counter = EntityCounter(roster, columns)
    counter.add(found)
    return counter.counts()
