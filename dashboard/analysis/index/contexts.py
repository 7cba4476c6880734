"""The text around an index's examples, with the latent's activation on every token of it.

Steps: (1) fold: examples that show the same thing become one spot; (2) cut each document behind its spot, or take it whole;
(3) trace the latent over those rows from their first token on, rows of like length together, so that an example's value is
what the index says, up to the number format: the index is float32, and in bfloat16 the first token of a document can read twice as
much or a fraction; (4) cut to the snippet. What comes after a token cannot change it, so a document is read no further than shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.asks.capture import TraceAsk, TracedRow
from dashboard.analysis.index.facts import ExampleAt
from dashboard.analysis.names import LatentId
from dashboard.analysis.text.corpus import Corpus

SIDE = 16
"""Tokens of a snippet on each side of its example."""
_MAX_PADDING = 512
"""Most tokens of padding in a trace. A pass of the default model costs as much as about so many: measured on two cores."""
_MAX_TOKENS = 1536
"""Most tokens of a trace, padding included, so that other requests get their turn soon."""

Trace = Callable[[TraceAsk], Sequence[TracedRow]]
"""A Runner's `trace`, or a wrapper that shows the waiting."""


@dataclass(frozen=True)
class Spot:
    """A place of the corpus to be read, and the examples that it stands for."""

    example: ExampleAt
    document: int
    folded: tuple[ExampleAt, ...]
    """In the order given: in the same document within SIDE tokens of the spot, or after the same SIDE tokens in another one."""


@dataclass(frozen=True, eq=False)
class Context:
    """A spot with its text."""

    spot: Spot
    kind: str
    """What sort of document it is from."""
    texts: tuple[str, ...]
    special: tuple[bool, ...]
    values: Float32[np.ndarray, " tokens"]
    """The latent's activation on each token."""
    anchor: int
    """The example's token, counted through `texts`."""
    before: bool
    """The document begins earlier."""
    after: bool
    """The document goes on."""


def fold(corpus: Corpus, examples: Sequence[ExampleAt]) -> tuple[Spot, ...]:
    """One spot for all examples that show the same thing: the first of them, in the order given.

    An activation depends on what stands before it alone, so the same SIDE tokens up to an example count as the same text.
    """
    order: list[ExampleAt] = []
    folded: dict[ExampleAt, list[ExampleAt]] = {}
    for example in examples:
        same = next((spot for spot in order if _shows_the_same(corpus, spot.position, example.position)), None)
        if same is None:
            order.append(example)
            folded[example] = []
        else:
            folded[same].append(example)
    return tuple(Spot(example, corpus.document_at(example.position), tuple(folded[example])) for example in order)


def read_contexts(trace: Trace, corpus: Corpus, latent: LatentId, spots: Sequence[Spot], *, whole: bool = False) -> tuple[Context, ...]:
    """The text of spots, SIDE tokens on each side, or `whole` documents; in their order."""
    rows = {spot: _row(corpus, spot, whole) for spot in spots}
    traced: dict[Spot, TracedRow] = {}
    for part in _alike([(spot, len(rows[spot])) for spot in spots]):
        found = trace(TraceAsk(tuple(rows[spot] for spot in part), (latent,)))
        traced |= dict(zip(part, found, strict=True))
    return tuple(_context(corpus, spot, traced[spot], whole) for spot in spots)


def _shows_the_same(corpus: Corpus, one: int, other: int) -> bool:
    if corpus.document_at(one) == corpus.document_at(other) and abs(one - other) <= SIDE:
        return True
    return np.array_equal(_before(corpus, one), _before(corpus, other))


def _before(corpus: Corpus, position: int) -> np.ndarray:
    """The ids up to a position and with it, back to the beginning of its document at most."""
    return corpus.ids[max(int(corpus.starts[corpus.document_at(position)]), position - SIDE) : position + 1]


def _row(corpus: Corpus, spot: Spot, whole: bool) -> tuple[int, ...]:
    ids = corpus.document(spot.document)
    last = len(ids) if whole else _offset(corpus, spot) + SIDE + 1
    return tuple(ids[:last].tolist())


def _offset(corpus: Corpus, spot: Spot) -> int:
    return spot.example.position - int(corpus.starts[spot.document])


def _alike(lengths: Sequence[tuple[Spot, int]]) -> list[list[Spot]]:
    """Spots in parts whose rows are of like length, the shortest first."""
    parts: list[list[Spot]] = []
    read = 0
    for spot, length in sorted(lengths, key=lambda each: each[1]):
        padded = length * (len(parts[-1]) + 1) if parts else 0
        if parts and padded <= _MAX_TOKENS and padded - read - length <= _MAX_PADDING:
            parts[-1].append(spot)
            read += length
        else:
            parts.append([spot])
            read = length
    return parts


def _context(corpus: Corpus, spot: Spot, row: TracedRow, whole: bool) -> Context:
    offset, length = _offset(corpus, spot), len(corpus.document(spot.document))
    first, last = (0, length) if whole else (max(0, offset - SIDE), min(length, offset + SIDE + 1))
    return Context(
        spot,
        corpus.kinds[spot.document],
        row.texts[first:last],
        row.special[first:last],
        row.values[0, first:last],
        offset - first,
        first > 0,
        last < length,
    )
