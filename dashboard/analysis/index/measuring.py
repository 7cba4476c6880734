"""From where the latents of an SAE fire to what an index says of each: numbers in, columns of `index.SCHEMA` out. No torch.

A column is a list with one array a latent, or one array with one number a latent. Of equal values the one at the earlier
position comes first. Random examples come from a generator that is seeded by the latent's number, so that an index is the same
whenever and wherever it is built.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from dashboard.analysis.index.facts import N_BINS, N_INTERVALS, N_NEAR, N_NEIGHBOURS, N_TOP, PER_INTERVAL, QUANTILES, bins_of

_LABEL_TOKENS = 3
_LISTED = 0.05
"""Least share of a latent's whole activation that a token must have to stand in the label."""
_SUBSTANTIAL = 0.2
"""Least share of the firing tokens that the listed ones must cover; else the label says that they are many."""
_PART = "\ufffd"
"""Stands in the text of a token for a part of a character, which says nothing by itself."""
_PARTS = "parts of characters"
_CLEARED = 12
"""Bits that `rounded` clears of the 23 after a float32's leading one."""
_TOKENS_PER_PRODUCT = 8192
_MOST_COUNTS = 2**25
"""Counts of pairs that are in memory at once."""
_STEPS = 4096
"""To the whole, of cosines and shares."""


@dataclass(frozen=True, eq=False)
class Firings:
    """Where latents fire on counted tokens: latent after latent, each strongest first."""

    starts: Int64[np.ndarray, " latents_and_1"]
    """Where each latent begins; the last entry is the number of firings."""
    position: Int32[np.ndarray, " fired"]
    """In the corpus."""
    value: Float32[np.ndarray, " fired"]
    """Activation, above 0."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[tuple[Int32[np.ndarray, " n"], Float32[np.ndarray, " n"]]]:
        """(position, value) of each latent."""
        for first, last in pairwise(self.starts):
            yield self.position[first:last], self.value[first:last]


def sort_firings(position: Int32[np.ndarray, " fired"], latent: Any, value: Float32[np.ndarray, " fired"], n_latents: int) -> Firings:
    """Firings from (position, latent, value) in any order; `latent` is of any whole-number type."""
    # Numpy sorts 16-bit numbers in one sweep.
    order = np.argsort(latent.astype(np.uint16) if n_latents <= 2**16 else latent, kind="stable")
    starts = np.concatenate([[0], np.bincount(latent, minlength=n_latents).cumsum()]).astype(np.int64)
    # A positive float's bits rise with it: one whole number that is sorted by falling value, then by position.
    strength = np.uint64(2**32 - 1) - value[order].view(np.uint32)
    key = (strength << np.uint64(32)) | position[order].astype(np.uint64)
    for first, last in pairwise(starts):
        key[first:last].sort()
    found = (np.uint64(2**32 - 1) - (key >> np.uint64(32))).astype(np.uint32).view(np.float32)
    return Firings(starts, (key & np.uint64(2**32 - 1)).astype(np.int32), found)


def rounded(values: Any, limit: float = np.inf) -> Float32[np.ndarray, "*shape"]:
    """Numbers as float32 rounded to 11 bits after the leading one, but none above `limit` that was not."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    keep = np.uint32(2**32 - 2**_CLEARED)
    found = ((bits + np.uint32(2 ** (_CLEARED - 1))) & keep).view(np.float32)
    return np.where(found > limit, (bits & keep).view(np.float32), found)


def in_steps(values: Any) -> Float32[np.ndarray, "*shape"]:
    """Numbers of -1 to 1 as float32, rounded to 1/4096."""
    return (np.rint(np.asarray(values, dtype=np.float64) * _STEPS) / _STEPS).astype(np.float32)


def statistics(firings: Firings) -> dict[str, Any]:
    """Columns n_fired, mean, maximum, quantiles, histogram, top_*."""
    n = len(firings)
    mean, maximum = np.zeros(n, np.float32), np.zeros(n, np.float32)
    quantiles: list[Any] = [()] * n
    histogram: list[Any] = [()] * n
    top_position, top_value = [], []
    for latent, (position, value) in enumerate(firings):
        if len(value):
            mean[latent], maximum[latent] = value.mean(dtype=np.float64), value[0]
            quantiles[latent] = rounded(np.quantile(value.astype(np.float64), QUANTILES))
            histogram[latent] = np.bincount(bins_of(value, float(value[0])), minlength=N_BINS)
        top_position.append(position[:N_TOP])
        top_value.append(rounded(value[:N_TOP], float(value.max(initial=0))))
    return {
        "n_fired": np.diff(firings.starts),
        "mean": mean,
        "maximum": maximum,
        "quantiles": quantiles,
        "histogram": histogram,
        "top_position": top_position,
        "top_value": top_value,
    }


def interval_examples(firings: Firings, document_of: Int32[np.ndarray, " tokens"]) -> dict[str, Any]:
    """Columns interval_*: of each interval PER_INTERVAL tokens drawn at random, of different documents as far as there are.

    The strongest interval comes first, and in it the strongest token.
    """
    positions, values = [], []
    width = N_BINS // N_INTERVALS
    for latent, (position, value) in enumerate(firings):
        chosen = np.zeros(0, np.int64)
        if len(value):
            # Values fall, so the members of an interval stand together.
            counts = np.bincount(bins_of(value, float(value[0])) // width, minlength=N_INTERVALS)[::-1]
            ends = counts.cumsum()
            rng = np.random.default_rng(latent)
            chosen = np.concatenate([_draw(position[a:b], document_of, rng) + a for a, b in zip(ends - counts, ends, strict=True)])
        positions.append(position[chosen])
        values.append(rounded(value[chosen], float(value.max(initial=0))))
    return {"interval_position": positions, "interval_value": values}


def _draw(position: Int32[np.ndarray, " n"], document_of: Int32[np.ndarray, " tokens"], rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(len(position))
    few = order[: 16 * PER_INTERVAL]
    firsts = np.sort(np.unique(document_of[position[few]], return_index=True)[1])[:PER_INTERVAL]
    if len(firsts) < PER_INTERVAL and len(few) < len(order):
        firsts = np.sort(np.unique(document_of[position[order]], return_index=True)[1])[:PER_INTERVAL]
    others = np.setdiff1d(np.arange(min(len(order), 2 * PER_INTERVAL)), firsts)
    return np.sort(order[np.concatenate([firsts, others])[:PER_INTERVAL]])


@dataclass(frozen=True, eq=False)
class NearMisses:
    """Tokens that may be where a latent came closest to firing, in any order."""

    latent: Int32[np.ndarray, " near"]
    position: Int32[np.ndarray, " near"]
    value: Float32[np.ndarray, " near"]
    """Before the activation function."""


def near_misses(
    near: NearMisses, firings: Firings, counted: Bool[np.ndarray, " tokens"], document_of: Int32[np.ndarray, " tokens"], n_documents: int
) -> dict[str, Any]:
    """Columns near_*: the N_NEAR largest, one a document, at counted tokens of documents where the latent fires on none."""
    n = len(firings)
    fires_in = np.zeros((n, n_documents), dtype=bool)
    fires_in[np.repeat(np.arange(n), np.diff(firings.starts)), document_of[firings.position]] = True
    kept = counted[near.position] & ~fires_in[near.latent, document_of[near.position]]
    latent, position, value = near.latent[kept], near.position[kept], near.value[kept]
    order = np.lexsort((position, -value, latent))
    latent, position, value = latent[order], position[order], value[order]
    ends = np.searchsorted(latent, np.arange(n + 1))
    positions, values = [], []
    for first, last in pairwise(ends):
        firsts = np.sort(np.unique(document_of[position[first:last]], return_index=True)[1])[:N_NEAR] + first
        positions.append(position[firsts])
        values.append(rounded(value[firsts]))
    return {"near_position": positions, "near_value": values}


def cofiring(firings: Firings, n_tokens: int) -> dict[str, Any]:
    """Columns cofiring_*: the N_NEIGHBOURS latents that fire on the same tokens, by Jaccard share; of equal shares the lower number."""
    n_fired = np.diff(firings.starts)
    fires = sp.csc_matrix((np.ones(len(firings.position), np.int32), firings.position, firings.starts), shape=(n_tokens, len(firings)))
    indices, shares = [], []
    for latent, both in enumerate(_together(fires.tocsr())):
        other = np.flatnonzero(both)
        other = other[other != latent]
        share = both[other] / (n_fired[latent] + n_fired[other] - both[other])
        best = np.argsort(-share, kind="stable")[:N_NEIGHBOURS]
        indices.append(other[best])
        shares.append(in_steps(share[best]))
    return {"cofiring_index": indices, "cofiring_share": shares}


def _together(fires: Any) -> Iterator[Int32[np.ndarray, " latents"]]:
    """For each latent the number of tokens on which it and each latent fire, from a sparse matrix [token, latent] of ones.

    Some tokens at a time, so that what is multiplied stays near the processor; scipy lets several threads multiply at once.
    """
    n_tokens, n = fires.shape
    some = [fires[first : first + _TOKENS_PER_PRODUCT] for first in range(0, n_tokens, _TOKENS_PER_PRODUCT)]
    block = max(1, _MOST_COUNTS // n)
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for first in range(0, n, block):
            counts = np.zeros((min(block, n - first), n), np.int32)
            for product in workers.map(lambda tokens, first=first: tokens[:, first : first + block].T.tocsr() @ tokens, some):
                counts += product.toarray()
            yield from list(counts)


class Vocabulary:
    """What tokens show in a label: without spaces around, case variants as one; a part of a character is not quoted."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.shown = [json.dumps(text.strip() or text, ensure_ascii=False) for text in texts]
        numbers: dict[str, int] = {}
        folded = [numbers.setdefault(text.casefold(), len(numbers)) for text in self.shown]
        self.fold: Int64[np.ndarray, " vocabulary"] = np.array(folded, dtype=np.int64)
        """The number of what each token shows; equal for variants."""
        self.is_whole: Bool[np.ndarray, " vocabulary"] = np.array([_PART not in text for text in texts], dtype=bool)
        """Whether each token is one that can be quoted."""
        self.n_folds = len(numbers)

    def distinct(self, tokens: Int32[np.ndarray, " n"] | Int64[np.ndarray, " n"], limit: int) -> str:
        """The first few of some tokens, one of each set of variants."""
        firsts: dict[int, str] = {}
        for token in tokens[self.is_whole[tokens]].tolist():
            firsts.setdefault(int(self.fold[token]), self.shown[token])
        return ", ".join(list(firsts.values())[:limit]) or _PARTS


def labels(
    firings: Firings, ids: Int32[np.ndarray, " tokens"], promoted: Int64[np.ndarray, "latents listed"], vocabulary: Vocabulary
) -> list[str]:
    """Column label: `fires on "Paris", "London" (38 % of its tokens); promotes "France"`; empty for a latent that never fired."""
    found: list[str] = []
    for latent, (position, value) in enumerate(firings):
        promotes = vocabulary.distinct(promoted[latent], _LABEL_TOKENS)
        found.append(f"{_fires_on(ids[position], value, vocabulary)}; promotes {promotes}" if len(value) else "")
    return found


def _fires_on(tokens: Int32[np.ndarray, " n"], value: Float32[np.ndarray, " n"], vocabulary: Vocabulary) -> str:
    folds, whole = vocabulary.fold[tokens], vocabulary.is_whole[tokens]
    if not whole.any():
        return f"fires on {_PARTS}"
    weight: Float64[np.ndarray, " folds"] = np.bincount(folds[whole], weights=value[whole], minlength=vocabulary.n_folds)
    best = np.argpartition(-weight, min(_LABEL_TOKENS, len(weight) - 1))[:_LABEL_TOKENS]
    best = [fold for fold in best[np.lexsort((best, -weight[best]))] if weight[fold] >= _LISTED * value.sum(dtype=np.float64)]
    covered = float(np.isin(folds, best).mean())
    if covered < _SUBSTANTIAL:
        return f"fires on many different tokens, most strongly on {vocabulary.distinct(tokens[whole][:N_TOP], _LABEL_TOKENS)}"
    listed = []
    for fold in best:
        members = folds == fold
        variant = np.bincount(tokens[members], weights=value[members]).argmax()
        listed.append(vocabulary.shown[int(variant)])
    return f"fires on {', '.join(listed)} ({round(100 * covered)} % of its tokens)"
