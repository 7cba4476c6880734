"""Cosine of decoder rows against co-activation: do latents that point the same way fire together?

Steps: (1) read every ordinary token of some documents; (2) Pearson's correlation of activations, zeros included, of each
latent with each of its matches; (3) if wanted, the latent of each source that correlates best: the matching by data that the
paper sets its own against. Correlations come from whole sums, so the order of documents changes nothing but the last digits.

Source: Laptev et al. 2025, arXiv:2502.03032, appendix on Pearson matching (100k tokens). It says nothing of cause.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_matrix, vstack

from dashboard.analysis.asks.chosen_tokens import Activity
from dashboard.analysis.asks.matching import MatchTable
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.methods.flow.samples import Predecessors, SampleAsk, draw, read
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.text.corpus import Corpus

_BLOCK = 512
"""Rows of a correlation matrix that are in memory at one time."""


@dataclass(frozen=True)
class MatchedPair:
    """A latent and its best match by cosine in one source."""

    latent: LatentId
    source: Point
    predecessor: LatentId
    cosine: float
    pearson: float
    """-1 to 1, over all tokens."""
    n_fired: int
    """Tokens on which the latent fires."""


@dataclass(frozen=True, eq=False)
class CoActivation:
    """Activations of some SAEs over many tokens, to take correlations from."""

    done: int
    """Documents read."""
    total: int
    n_tokens: int
    acts: dict[SaeId, csr_matrix]
    """[token, latent] in float64."""

    def pairs(self, layer: Predecessors) -> tuple[MatchedPair, ...]:
        """The best match by cosine of each latent in each source; those of which either never fires are left out."""
        answer: list[MatchedPair] = []
        own = self.acts[layer.target]
        fired = np.diff(own.tocsc().indptr)
        for point, table in layer.tables.items():
            best, cosine = table.index[:, 0], table.cosine[:, 0]
            for i, r in enumerate(_pairwise(own, self.acts[table.among][:, best], self.n_tokens)):
                if not np.isnan(r):
                    latent, other = LatentId(layer.target, i), LatentId(table.among, int(best[i]))
                    answer.append(MatchedPair(latent, point, other, float(cosine[i]), float(r), int(fired[i])))
        return tuple(answer)

    def best_correlated(self, of: SaeId, among: SaeId) -> MatchTable:
        """For each latent the one that correlates best with it, as matches whose `cosine` is the correlation.

        Latents that never fire get the first with 0; ties go to the lower index.
        """
        own, other = self.acts[of], self.acts[among]
        n = self.n_tokens
        n_own: int = own.get_shape()[1]
        mean, spread = _moments(other, n)
        own_mean, own_spread = _moments(own, n)
        index, value = np.zeros(n_own, dtype=np.int32), np.zeros(n_own)
        columns = own.tocsc()
        for start in range(0, n_own, _BLOCK):
            here = slice(start, start + _BLOCK)
            products = np.asarray((columns[:, here].T @ other).todense()) / n
            with np.errstate(divide="ignore", invalid="ignore"):
                r = (products - own_mean[here, None] * mean) / (own_spread[here, None] * spread)
            r = np.where(np.isfinite(r), r, 0.0)
            best = r.argmax(axis=1)
            index[here], value[here] = best, r[np.arange(len(r)), best]
        return MatchTable(of, among, np.arange(n_own, dtype=np.int32), index[:, None], value[:, None])


def coactivation(runner: Runner, corpus: Corpus, saes: Sequence[SaeId], ask: SampleAsk, keep: Blocks = UNKEPT) -> Iterator[CoActivation]:
    """Read the sampled tokens; partial results come every few documents. Ask for all tokens of each document."""
    rows = draw(corpus, ask)
    pieces: dict[SaeId, list[csr_matrix]] = {sae: [] for sae in saes}
    done = n_tokens = 0
    for part in read(runner, rows, saes, keep):
        for sae, kept in pieces.items():
            kept.append(_matrix(part.of_sae[sae]))
        done, n_tokens = done + len(part.rows), n_tokens + len(part.row)
        yield CoActivation(done, len(rows), n_tokens, {sae: _stacked(kept) for sae, kept in pieces.items()})


def _matrix(activity: Activity) -> csr_matrix:
    values = activity.value.astype(np.float64)
    return csr_matrix((values, (activity.sample, activity.latent)), shape=(activity.n_samples, activity.n_latents))


def _stacked(pieces: list[csr_matrix]) -> csr_matrix:
    """One matrix of all; the pieces are replaced by it, so that each value is copied once a call."""
    pieces[:] = [csr_matrix(vstack(pieces))]
    return pieces[0]


def _moments(acts: csr_matrix, n: int) -> tuple[Float64[np.ndarray, " latents"], Float64[np.ndarray, " latents"]]:
    mean = np.asarray(acts.sum(axis=0)).ravel() / n
    square = np.asarray(acts.multiply(acts).sum(axis=0)).ravel() / n
    return mean, np.sqrt(np.maximum(square - mean * mean, 0))


def _pairwise(first: csr_matrix, second: csr_matrix, n: int) -> Float64[np.ndarray, " columns"]:
    """Pearson's correlation of the columns of two matrices, one by one; NaN where one is constant."""
    (mean, spread), (other_mean, other_spread) = _moments(first, n), _moments(second, n)
    product = np.asarray(first.multiply(second).sum(axis=0)).ravel() / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip((product - mean * other_mean) / (spread * other_spread), -1, 1)
