"""Two latents of a flow side by side: how alike their weights are, what both promote, and whether they fire together.

Firing together is counted over the texts in which either fires most, read from their first token on: tokens where both fire /
tokens where either does (Jaccard). Those texts are chosen for the two, so the share says nothing about text at large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.analysis.asks.capture import TraceAsk
from dashboard.analysis.index.contexts import SIDE, Trace, fold
from dashboard.analysis.index.facts import LatentFacts
from dashboard.analysis.text.corpus import Corpus

N_TEXTS = 6
"""Texts of each latent."""


@dataclass(frozen=True)
class FiringTogether:
    """Counts over the strongest texts of two latents, special tokens left out."""

    n_texts: int
    n_tokens: int
    n_first: int
    """Tokens on which the first fires."""
    n_second: int
    n_both: int

    @property
    def share(self) -> float | None:
        """Both / either, 0 to 1; None where neither fires."""
        either = self.n_first + self.n_second - self.n_both
        return self.n_both / either if either else None


def firing_together(trace: Trace, corpus: Corpus, first: LatentFacts, second: LatentFacts) -> FiringTogether:
    """Count on the N_TEXTS strongest texts of each, up to SIDE tokens behind the example. The corpus is that of both."""
    spots = [spot for facts in (first, second) for spot in fold(corpus, facts.top)[:N_TEXTS]]
    rows: dict[tuple[int, ...], None] = {}
    for spot in spots:
        ids = corpus.document(spot.document)
        rows[tuple(ids[: spot.example.position - int(corpus.starts[spot.document]) + SIDE + 1].tolist())] = None
    found = trace(TraceAsk(tuple(rows), (first.latent, second.latent))) if rows else ()
    ordinary = [row.values[:, ~np.array(row.special, dtype=bool)] > 0 for row in found]
    fires = np.concatenate(ordinary, axis=1) if ordinary else np.zeros((2, 0), dtype=bool)
    n_first, n_second = (int(n) for n in fires.sum(axis=1))
    return FiringTogether(len(rows), fires.shape[1], n_first, n_second, int(fires.all(axis=0).sum()))


def shared_promoted(first: LatentFacts, second: LatentFacts) -> tuple[int, ...]:
    """Ids of the tokens that are among those which either direction promotes most, in the order of the first."""
    theirs: Sequence[int] = [token.token_id for token in second.promoted]
    return tuple(token.token_id for token in first.promoted if token.token_id in theirs)
