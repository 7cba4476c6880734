"""A prompt, its tokens, and which characters each token stands for."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """What a person typed, and how the model is to read it."""

    text: str
    chat: bool = False
    """True: the text is one user message, put through the model's chat template up to the assistant's turn."""
    continuation: tuple[int, ...] = ()
    """Token ids that follow the text as they are: what a model has written after it."""


@dataclass(frozen=True)
class TokenSpan:
    """Half-open range of token positions, `start` to `end - 1`; without an end it is unbounded."""

    start: int
    end: int | None = None

    def __contains__(self, position: int) -> bool:
        return self.start <= position and (self.end is None or position < self.end)


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt as the model reads it. All tuples have one entry a token."""

    prompt: Prompt
    text: str
    """The text that was tokenised: the prompt itself, or the chat template's rendering of it."""
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    """What each token shows. Special tokens show their name; the others join to `text`, character for character.
    A character spread over several tokens stands in the first of them; the rest show nothing."""
    char_ranges: tuple[tuple[int, int], ...]
    """Half-open ranges in `text`; tokens that share a character overlap. A prepended BOS has (0, 0)."""
    special: tuple[bool, ...]
    """True for BOS, EOS and the like: shown, but out of every statistic."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ordinary(self) -> tuple[int, ...]:
        """Positions of the tokens that count in statistics."""
        return tuple(i for i, is_special in enumerate(self.special) if not is_special)


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no tokenizer can encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def tile(offsets: Sequence[tuple[int, int]], length: int) -> tuple[tuple[int, int], ...]:
    """Ranges that cover a text of `length` characters without gaps, from a tokenizer's offsets.

    Characters that the tokenizer left out (trimmed spaces) go to the token after them, at the end to the last.
    Tokens that share one character (byte-level tokens of an emoji) keep overlapping ranges.
    """
    ranges: list[tuple[int, int]] = []
    reached = 0
    for start, end in offsets:
        end = max(start, end)
        ranges.append((min(start, reached), end))
        reached = max(reached, end)
    if ranges and reached < length:
        ranges[-1] = (ranges[-1][0], length)
    return tuple(ranges)


def shown_texts(text: str, ranges: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The part of `text` that each token is the first to touch; joined they give `text` again."""
    texts: list[str] = []
    reached = 0
    for _, end in ranges:
        texts.append(text[reached:end] if end > reached else "")
        reached = max(reached, end)
    return tuple(texts)
