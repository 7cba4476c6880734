"""What a text tells about its own fluency, without any model."""

from collections.abc import Hashable, Sequence


def repeated_ngrams(ids: Sequence[Hashable], n: int = 4) -> float | None:
    """Share of a text's n-grams of token ids, or of words, that occurred before in the same text, 0 to 1; None below n tokens.

    Loops have a low perplexity, so perplexity alone does not show them.
    """
    ngrams = [tuple(ids[start : start + n]) for start in range(len(ids) - n + 1)]
    return 1 - len({*ngrams}) / len(ngrams) if ngrams else None
