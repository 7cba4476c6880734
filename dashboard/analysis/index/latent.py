"""One latent's facts, as people read them: its frequency with an interval, bins with their edges, examples with their text.

Source: Wilson 1927 for the interval of a frequency (scipy). It takes the tokens as independent draws, which neighbours in a
text are not quite, so the true interval is a little wider.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import binomtest

from dashboard.analysis.index.facts import QUANTILES, ExampleAt, LatentFacts, TokenLogit
from dashboard.analysis.text.corpus import Corpus

CONTEXT = 10
"""Tokens of context on each side of an example."""

Texts = Callable[[Sequence[int]], Sequence[str]]
"""What each of some token ids shows."""


@dataclass(frozen=True)
class Frequency:
    """On which share of the tokens a latent fires."""

    share: float
    """0 to 1."""
    low: float
    """Lower end of the 95 % Wilson interval."""
    high: float
    n: int
    """Tokens that were counted."""
    n_fired: int


def frequency(facts: LatentFacts) -> Frequency:
    """How often a latent fires, with its 95 % Wilson interval; without a token nothing is known, 0 to 1."""
    n, n_fired = facts.head.n_tokens, facts.n_fired
    if n == 0:
        return Frequency(0.0, 0.0, 1.0, 0, 0)
    interval = binomtest(n_fired, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Frequency(n_fired / n, float(interval.low), float(interval.high), n, n_fired)


def edges(low: float, high: float, n_bins: int) -> tuple[float, ...]:
    """The n_bins + 1 edges of equal bins."""
    return tuple(low + (high - low) * i / n_bins for i in range(n_bins + 1))


def context(corpus: Corpus, position: int, radius: int = CONTEXT) -> range:
    """Positions around one, within its document."""
    document = corpus.document_at(position)
    first, last = int(corpus.starts[document]), int(corpus.starts[document + 1])
    return range(max(first, position - radius), min(last, position + radius + 1))


def report(facts: LatentFacts, corpus: Corpus, texts: Texts) -> dict[str, Any]:
    """Everything that is known of a latent, as plain data.

    Raises:
        IndexError: if the corpus is not the one that the facts were counted over.
    """

    def examples(found: Sequence[ExampleAt]) -> list[dict[str, Any]]:
        return [_example(corpus, texts, example) for example in found]

    def tokens(found: Sequence[TokenLogit]) -> list[dict[str, Any]]:
        return [{"token": _text(texts, token.token_id), **asdict(token)} for token in found]

    return {
        "latent": str(facts.latent),
        "label": facts.label,
        "dead": facts.is_dead,
        "n": facts.head.n_tokens,
        "n_fired": facts.n_fired,
        "frequency": asdict(frequency(facts)),
        "mean": facts.mean,
        "maximum": facts.maximum,
        "quantiles": [{"share": share, "value": value} for share, value in zip(QUANTILES, facts.quantiles, strict=False)],
        "histogram": _histogram(0.0, facts.maximum, facts.histogram),
        "top": examples(facts.top),
        "intervals": [{"low": part.low, "high": part.high, "n": part.n, "examples": examples(part.examples)} for part in facts.intervals],
        "near_misses": examples(facts.near_misses),
        "promoted": tokens(facts.promoted),
        "suppressed": tokens(facts.suppressed),
        "logit_histogram": _histogram(facts.logit_low, facts.logit_high, facts.logit_histogram),
        "neighbours": [{"latent": str(one.latent), "cosine": one.cosine} for one in facts.neighbours],
        "cofiring": [{"latent": str(one.latent), "share": one.share} for one in facts.cofiring],
        "index": {**asdict(facts.head), "saes": list(facts.head.saes)},
    }


def _histogram(low: float, high: float, counts: Sequence[int]) -> dict[str, Any]:
    return {"edges": list(edges(low, high, len(counts))) if counts else [], "counts": list(counts)}


def _example(corpus: Corpus, texts: Texts, example: ExampleAt) -> dict[str, Any]:
    document = corpus.document_at(example.position)
    around = context(corpus, example.position)
    shown = texts(corpus.ids[around.start : around.stop].tolist())
    return {
        "position": example.position,
        "document": document,
        "kind": corpus.kinds[document],
        "token_id": int(corpus.ids[example.position]),
        "token": _text(texts, int(corpus.ids[example.position])),
        "value": example.value,
        "context": "".join(shown),
    }


def _text(texts: Texts, token_id: int) -> str:
    return texts([token_id])[0]
