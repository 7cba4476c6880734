"""Search by text: the latents of many SAEs that fire on a text, ranked.

Steps: (1) one capture of all SAEs; (2) for every latent that fires on a counted token its peak, its sum and on how many
tokens it fires; (3) its place in its own history, from the index; (4) one ranking over all of them, and only then a cut.
Steps 2 to 4 are numpy on what the capture holds, so that another measure or another token needs no pass of the model.

The default is RARITY. Raw size puts the loudest latents and the deepest layers first whatever the text says. A quantile
or a share is 1 for each of the many latents that are at their peak, also for those that peak in every other sentence.
Rarity is the quantile seen from all tokens of the corpus: a latent is put first that is seldom so strong at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from dashboard.analysis.asks.capture import Capture, LatentActivations
from dashboard.analysis.errors import BadAsk, NotMeasured
from dashboard.analysis.index.facts import N_BINS
from dashboard.analysis.index.file import LatentIndex, read_cumulative, read_index
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.analysis.tokens import TokenizedPrompt

MAX_ROWS = 500
"""Rows that a page leafs through; the command line has no limit."""


class By(StrEnum):
    """What a ranking goes by, over the counted tokens. The largest is first."""

    RARITY = "rarity"
    """Decades: -log10 of the share of the corpus's tokens on which the latent is at least as strong as at its peak here."""
    QUANTILE = "quantile"
    """Share of the latent's own activations in the corpus that lie at or below its peak here, 0 to 1."""
    MAX = "max"
    """Its largest activation."""
    SUM = "sum"
    """The sum of its activations."""
    SHARE = "share"
    """Its largest activation / its largest in the corpus; above 1 where the text outdoes the corpus."""


@dataclass(frozen=True)
class RankAsk:
    """How the latents of a capture are ranked."""

    by: By = By.RARITY
    positions: tuple[int, ...] = ()
    """Tokens that count; none given: all."""
    with_special: bool = False
    """True: special tokens count too, where they are chosen or all are."""
    max_density: float | None = None
    """Latents that fire on a larger share of the corpus's tokens are left out; those of an SAE without an index stay."""
    saes: tuple[SaeId, ...] | None = None
    """Only latents of these; None: of all that were captured."""


@dataclass(frozen=True, eq=False)
class History:
    """What an SAE's latents did over the corpus."""

    index: LatentIndex
    cumulative: Int32[np.ndarray, "latents edges"]
    """How many activations are at or below each edge of the histogram's bins."""

    def quantiles(self, latents: Int32[np.ndarray, " some"], values: Float32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
        """The share of each latent's activations at or below a value: counted by bins, linear within one.

        It differs from counting one by one by at most the share that the value's own bin holds. NaN if the latent never fired.
        """
        total = self.cumulative[latents, -1]
        return np.where(total > 0, self._upto(latents, values) / np.maximum(total, 1), np.nan)

    def _upto(self, latents: Int32[np.ndarray, " some"], values: Float32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
        """How many activations of each latent are at or below a value."""
        maximum = self.index.maximum[latents].astype(np.float64)
        place = np.clip(values / np.where(maximum > 0, maximum, 1.0) * N_BINS, 0.0, float(N_BINS))
        below = np.minimum(place.astype(np.int64), N_BINS - 1)
        count = self.cumulative[latents, below]
        return count + (place - below) * (self.cumulative[latents, below + 1] - count)

    def densities(self, latents: Int32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
        """On which share of the corpus's tokens each latent fires."""
        return self.index.n_fired[latents] / max(1, self.index.n_tokens)

    def shares(self, latents: Int32[np.ndarray, " some"], values: Float32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
        """Value / largest activation in the corpus; NaN if the latent never fired."""
        maximum = self.index.maximum[latents].astype(np.float64)
        return np.where(maximum > 0, values / np.where(maximum > 0, maximum, 1.0), np.nan)

    def rarities(self, latents: Int32[np.ndarray, " some"], values: Float32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
        """-log10 of the share of the corpus's tokens where the latent is at least as strong, this one counted with them.

        To 3 decimals: bins allow no more, and what is equally rare shall be equal in SAEs that read a token more or less.
        """
        above = self.cumulative[latents, -1] - self._upto(latents, values)
        return np.round(np.log10(self.index.n_tokens + 1.0) - np.log10(above + 1.0), 3)


def read_histories(specs: Iterable[SaeSpec]) -> tuple[dict[SaeId, History], dict[SaeId, NotMeasured]]:
    """The histories of those SAEs that have an index, and why the others have none."""
    known: dict[SaeId, History] = {}
    unknown: dict[SaeId, NotMeasured] = {}
    for spec in specs:
        try:
            known[spec.id] = History(read_index(spec), read_cumulative(spec))
        except NotMeasured as error:
            unknown[spec.id] = error
    return known, unknown


@dataclass(frozen=True)
class Found:
    """A latent that fires on the counted tokens of a text. What rests on an index is None without one."""

    latent: LatentId
    score: float | None
    """What the ranking went by: `By`, minus the same in the other text where there is one."""
    peak: float
    """Its largest activation."""
    total: float
    """The sum of its activations."""
    n_tokens: int
    """On how many counted tokens it fires."""
    position: int
    """The first token where it is at its peak."""
    quantile: float | None
    share: float | None
    density: float | None
    """Share of the corpus's tokens on which it fires."""
    one_in: float | None
    """Of so many tokens of the corpus it is on one as strong as here: 10 to the power of its rarity."""
    maximum: float | None
    """Its largest activation in the corpus."""
    label: str
    """Automatic; empty where there is none."""


class _Columns(NamedTuple):
    """One entry a latent that fires on a counted token; NaN is not known."""

    sae: Int32[np.ndarray, " firing"]
    """Which of the ranked SAEs."""
    latent: Int32[np.ndarray, " firing"]
    peak: Float32[np.ndarray, " firing"]
    total: Float64[np.ndarray, " firing"]
    n_tokens: Int64[np.ndarray, " firing"]
    position: Int32[np.ndarray, " firing"]
    density: Float64[np.ndarray, " firing"]
    score: Float64[np.ndarray, " firing"]


@dataclass(frozen=True, eq=False)
class Ranking:
    """All latents that fire on the counted tokens and pass the filter, in order; rows are made when asked for."""

    capture: Capture
    known: Mapping[SaeId, History]
    ask: RankAsk
    n_firing: int
    """Latents of the chosen SAEs that fire on a counted token."""
    n_hidden: int
    """How many of them the density filter leaves out."""
    counts: Mapping[SaeId, int]
    """How many pass, of every captured SAE, chosen or not."""
    _saes: tuple[SaeId, ...]
    _columns: _Columns

    def __len__(self) -> int:
        return len(self._columns.latent)

    def rows(self, start: int = 0, stop: int | None = None) -> list[Found]:
        """A part of the ranking; all of it is `rows()`."""
        return [self._found(place) for place in range(len(self))[start:stop]]

    def values(self, latent: LatentId) -> Float32[np.ndarray, " tokens"]:
        """A latent's activation on every token of the text, counted or not."""
        return self.capture.activations[latent.sae].of_latent(latent.index)

    def _found(self, place: int) -> Found:
        columns = self._columns
        sae, latent, peak = self._saes[columns.sae[place]], columns.latent[place : place + 1], columns.peak[place : place + 1]
        index, quantile, share, one_in, maximum, label = int(latent[0]), None, None, None, None, ""
        if history := self.known.get(sae):
            quantile, share = _known(history.quantiles(latent, peak)[0]), _known(history.shares(latent, peak)[0])
            one_in = float(10.0 ** history.rarities(latent, peak)[0])
            maximum = float(history.index.maximum[index]) if history.index.n_fired[index] else None
            label = history.index.labels[index]
        return Found(
            LatentId(sae, index),
            _known(columns.score[place]),
            float(peak[0]),
            float(columns.total[place]),
            int(columns.n_tokens[place]),
            int(columns.position[place]),
            quantile,
            share,
            _known(columns.density[place]),
            one_in,
            maximum,
            label,
        )


def counted_tokens(tokens: TokenizedPrompt, ask: RankAsk) -> Bool[np.ndarray, " tokens"]:
    """Which tokens a ranking looks at.

    Raises:
        BadAsk: if a chosen position is not in the text.
    """
    here = np.ones(len(tokens), dtype=bool) if ask.with_special else ~np.array(tokens.special, dtype=bool)
    if not ask.positions:
        return here
    for position in ask.positions:
        if not 0 <= position < len(tokens):
            raise BadAsk(f"Token {position} is not in this text: it has {len(tokens)} tokens (0 to {len(tokens) - 1}).")
    chosen = np.zeros(len(tokens), dtype=bool)
    chosen[list(ask.positions)] = True
    return here & chosen


def rank(capture: Capture, known: Mapping[SaeId, History], ask: RankAsk, without: Capture | None = None) -> Ranking:
    """Rank all latents that fire on the counted tokens. Where the score is not known a latent comes last, by its peak;
    ties go to the one that fires more seldom, then by name.

    `without` is a capture of another text by the same SAEs: each score is then less by the latent's score there, over all
    its counted tokens, 0 where it does not fire.

    Raises:
        BadAsk: if a position is not in the text, or there is no SAE.
    """
    if not capture.activations:
        raise BadAsk("A search needs at least 1 SAE; 0 were read.")
    here = counted_tokens(capture.tokens, ask)
    there = counted_tokens(without.tokens, RankAsk(with_special=ask.with_special)) if without else None
    saes = tuple(sorted(capture.activations))
    parts: list[_Columns] = []
    counts: dict[SaeId, int] = {}
    n_firing = 0
    for number, sae in enumerate(saes):
        part = _measure(capture.activations[sae], here, known.get(sae), number, ask.by)
        passes = np.ones(len(part.latent), dtype=bool) if ask.max_density is None else ~(part.density > ask.max_density)
        counts[sae] = int(passes.sum())
        is_chosen = ask.saes is None or sae in ask.saes
        n_firing += len(passes) if is_chosen else 0
        if without is not None and there is not None:
            other = _measure(without.activations[sae], there, known.get(sae), number, ask.by)
            part = part._replace(score=part.score - _score_there(part, other))
        parts.append(_Columns(*(column[passes & is_chosen] for column in part)))
    columns = _Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    # The last key sorts first; numpy puts NaN behind everything.
    by_peak = np.where(np.isnan(columns.score), -columns.peak, 0.0)
    order = np.lexsort((columns.latent, columns.sae, columns.density, by_peak, -columns.score))
    return Ranking(capture, known, ask, n_firing, n_firing - len(order), counts, saes, _Columns(*(column[order] for column in columns)))


def _measure(acts: LatentActivations, here: Bool[np.ndarray, " tokens"], history: History | None, number: int, by: By) -> _Columns:
    chosen = here[acts.position]
    latents, values, positions = acts.latent[chosen], acts.value[chosen], acts.position[chosen]
    # By latent, then from its peak down: the first entry of each latent is its peak.
    order = np.lexsort((positions, -values, latents))
    latents, values, positions = latents[order], values[order], positions[order]
    firing, first, n_tokens = np.unique(latents, return_index=True, return_counts=True)
    peaks = values[first]
    totals = np.add.reduceat(values.astype(np.float64), first) if len(first) else np.zeros(0)
    density = history.densities(firing) if history else np.full(len(firing), np.nan)
    scores = _scores(by, firing, peaks, totals, history)
    numbers = np.full(len(firing), number, dtype=np.int32)
    return _Columns(numbers, firing, peaks, totals, n_tokens, positions[first], density, scores)


def _scores(
    by: By,
    latents: Int32[np.ndarray, " firing"],
    peaks: Float32[np.ndarray, " firing"],
    totals: Float64[np.ndarray, " firing"],
    history: History | None,
) -> Float64[np.ndarray, " firing"]:
    if by is By.MAX:
        return peaks.astype(np.float64)
    if by is By.SUM:
        return totals
    if history is None:
        return np.full(len(latents), np.nan)
    return {By.RARITY: history.rarities, By.QUANTILE: history.quantiles, By.SHARE: history.shares}[by](latents, peaks)


def _score_there(part: _Columns, other: _Columns) -> Float64[np.ndarray, " firing"]:
    """The other text's score of each latent of a part; 0 for one that does not fire there."""
    if not len(other.latent):
        return np.zeros(len(part.latent))
    place = np.minimum(np.searchsorted(other.latent, part.latent), len(other.latent) - 1)
    return np.where(other.latent[place] == part.latent, other.score[place], 0.0)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def report(ranking: Ranking, top: int, labels: Mapping[LatentId, str] | None = None) -> dict[str, object]:
    """The `latents search` answer as plain data. `labels` are a person's own, which go before the automatic ones."""
    tokens, own = ranking.capture.tokens, labels or {}
    listed = [
        {"position": i, "text": text, "id": token, "special": special}
        for i, (text, token, special) in enumerate(zip(tokens.texts, tokens.ids, tokens.special, strict=True))
    ]
    rows = [
        {
            "latent": str(found.latent),
            "label": own.get(found.latent) or found.label,
            "score": found.score,
            "max": found.peak,
            "sum": found.total,
            "quantile": found.quantile,
            "share": found.share,
            "one_in": found.one_in,
            "density": found.density,
            "n": found.n_tokens,
            "position": found.position,
            "token": tokens.texts[found.position],
            "values": ranking.values(found.latent).tolist(),
        }
        for found in ranking.rows(0, top)
    ]
    return {
        "tokens": listed,
        "n_firing": ranking.n_firing,
        "n_hidden": ranking.n_hidden,
        "counts": {str(sae): n for sae, n in ranking.counts.items()},
        "without_index": [str(sae) for sae in ranking.counts if sae not in ranking.known],
        "rows": rows,
    }
