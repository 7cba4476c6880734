"""Questions that studies put to a Runner about many short texts at once, and the answers, which come in a stream.

An item of a stream is one turn of the model, so what others ask slips in between. Items come in the order that is
cheapest for the model (short texts first) and name the texts that they belong to by their place in the ask.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int32, Int64

from dashboard.analysis.asks.ask import StreamAsk
from dashboard.analysis.asks.edits import Direction, Intervention, Op, Unit, Where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.tokens import TokenSpan

T = TypeVar("T")
MAX_SAMPLES = 64
"""Most samples of one prompt."""


@dataclass(frozen=True)
class MarkedText:
    """A text as the model is to read it, in which a part may be marked: the name of an entity."""

    text: str
    marked: tuple[int, int] | None = None
    """Half-open range of characters of `text`."""
    chat: bool = False
    """True: the text is one user message, put through the model's chat template up to the assistant's turn."""
    prefill: str = ""
    """Follows the text, or begins the assistant's turn: what the model is to go on from."""

    def __post_init__(self) -> None:
        if self.marked is not None and not 0 <= self.marked[0] < self.marked[1] <= len(self.text):
            raise BadAsk(f"Characters {self.marked[0]} to {self.marked[1]} are marked in a text of {len(self.text)}; mark at least 1.")


class Part(StrEnum):
    """Which tokens of a marked text are edited. New tokens are edited only where it says so."""

    MARKED = "marked"
    """The tokens of the marked part."""
    MARKED_LAST = "marked_last"
    """Its last token alone."""
    MARKED_ON = "marked_on"
    """From its first token to the end of the prompt, the template's tokens included."""
    MARKED_LAST_ON = "marked_last_on"
    """From its last token to the end of the prompt, the template's tokens included."""
    PROMPT = "prompt"
    GENERATED = "generated"
    EVERYWHERE = "everywhere"

    @property
    def needs_mark(self) -> bool:
        """True where a text without a marked part cannot be edited."""
        return self not in (Part.PROMPT, Part.GENERATED, Part.EVERYWHERE)

    def where(self, first: int, last: int, n_prompt: int) -> Where | TokenSpan:
        """The place in a prompt of `n_prompt` tokens whose marked part is the tokens `first` to `last`."""
        match self:
            case Part.MARKED:
                return TokenSpan(first, last + 1)
            case Part.MARKED_LAST:
                return TokenSpan(last, last + 1)
            case Part.MARKED_ON:
                return TokenSpan(first, n_prompt)
            case Part.MARKED_LAST_ON:
                return TokenSpan(last, n_prompt)
            case Part.PROMPT | Part.GENERATED | Part.EVERYWHERE:
                return Where(self.value)


@dataclass(frozen=True)
class PartEdit:
    """An intervention on the same part of every text."""

    direction: Direction
    op: Op = Op.ADD
    amount: float = 0.0
    """In `unit`s; a factor for SCALE."""
    unit: Unit = Unit.NORM
    part: Part = Part.MARKED_LAST_ON

    def __post_init__(self) -> None:
        self.at(Where.PROMPT)

    def at(self, where: Where | TokenSpan) -> Intervention:
        """The intervention at a place."""
        return Intervention(self.direction, self.op, self.amount, self.unit, where)


class Spot(StrEnum):
    """The token at which a text is read."""

    MARKED_LAST = "marked_last"
    """The last token of the marked part."""
    LAST = "last"
    """The last token of the prompt: in a chat, the last of the template before the answer."""


@dataclass(frozen=True)
class ReadingAsk(StreamAsk["ReadChunk"]):
    """What some SAEs give at one token of each of many texts. Texts with the same tokens up to there are read once."""

    texts: tuple[MarkedText, ...]
    saes: tuple[SaeId, ...] = ()
    at: Spot = Spot.MARKED_LAST
    norms: tuple[Site, ...] = ()
    """Sites whose norms are wanted."""
    rows: tuple[Site, ...] = ()
    """Sites whose activations are wanted as they are: d_model numbers a text."""

    def __post_init__(self) -> None:
        if not self.saes and not self.norms and not self.rows:
            raise BadAsk("A reading of 0 SAEs and 0 sites was asked for; name at least 1.")
        if self.at is Spot.MARKED_LAST:
            _check_marked(self.texts)


@dataclass(frozen=True, eq=False)
class SparseRows:
    """What fires on each of several rows, row after row, latents rising. Zeros are never stored."""

    n_latents: int
    start: Int64[np.ndarray, " rows_and_one"]
    """Where each row begins in the two others; the last entry is their length."""
    latent: Int32[np.ndarray, " active"]
    value: Float32[np.ndarray, " active"]
    """Activation as the SAE's `encode` gives it, above 0."""

    def __len__(self) -> int:
        return len(self.start) - 1

    def of_row(self, row: int) -> tuple[Int32[np.ndarray, " active"], Float32[np.ndarray, " active"]]:
        """Latents and their activations on one row."""
        part = slice(int(self.start[row]), int(self.start[row + 1]))
        return self.latent[part], self.value[part]

    def row(self) -> Int64[np.ndarray, " active"]:
        """The row of each entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def take(self, rows: Sequence[int] | np.ndarray) -> "SparseRows":
        """These rows in this order; a row may be taken more than once."""
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = np.diff(self.start)[chosen]
        start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        at: Int64[np.ndarray, " active"] = np.arange(int(start[-1])) + np.repeat(self.start[chosen] - start[:-1], lengths)
        return SparseRows(self.n_latents, start, self.latent[at], self.value[at])

    def dense(self) -> Float32[np.ndarray, "rows latents"]:
        """The same with zeros."""
        full = np.zeros((len(self), self.n_latents), dtype=np.float32)
        full[self.row(), self.latent] = self.value
        return full


@dataclass(frozen=True, eq=False)
class ReadChunk:
    """Some of the texts of a reading. Every array has a row for each of `texts`."""

    texts: Int64[np.ndarray, " rows"]
    """Places in the ask."""
    codes: dict[SaeId, SparseRows]
    norms: dict[Site, Float32[np.ndarray, " rows"]]
    rows: dict[Site, Float32[np.ndarray, "rows d_model"]]
    n_read: int
    """Rows that the model has read for these texts; fewer than texts where some are the same."""


@dataclass(frozen=True)
class AnsweringAsk(StreamAsk["Answer"]):
    """Short continuations of many prompts. Prompts that are the same are answered once, and each gets that answer."""

    prompts: tuple[MarkedText, ...]
    sampling: Sampling = field(default_factory=lambda: Sampling(32, 1.0))
    """Its temperature and top_p are those of the samples; a sample draws by the seed, its prompt and its number alone."""
    greedy: bool = True
    """True: also the continuation of the most likely tokens."""
    n_samples: int = 0
    stop_at_line: bool = False
    """True: an answer ends before the first line break that follows some text."""
    edits: tuple[PartEdit, ...] = ()
    without: Direction | None = None
    """Write with a copy of the model from whose every writing matrix this direction is taken out."""

    def __post_init__(self) -> None:
        if not 0 <= self.n_samples <= MAX_SAMPLES or not (self.greedy or self.n_samples):
            raise BadAsk(f"{self.n_samples} samples were asked for; 0 to {MAX_SAMPLES} are possible, with 0 only beside the greedy answer.")
        if self.n_samples and self.sampling.temperature == 0:
            raise BadAsk(f"{self.n_samples} samples at temperature 0 would all be the greedy answer: use a temperature above 0.")
        _check_parts(self.edits, self.prompts)


@dataclass(frozen=True)
class Answer:
    """One continuation of one prompt."""

    prompt: int
    """Place in the ask."""
    sample: int | None
    """0 to n_samples - 1; None for the greedy one."""
    text: str
    n_tokens: int
    """New tokens, with the one that ended it."""
    ended: bool
    """True where the model, or a line break, ended it; False where it was cut at the longest."""


@dataclass(frozen=True)
class ChoiceAsk(StreamAsk["ChoiceScores"]):
    """How likely the model finds each of several continuations of each prompt."""

    prompts: tuple[MarkedText, ...]
    choices: tuple[tuple[str, ...], ...]
    """For each prompt its own; a space is put before each unless the prompt ends in one."""
    edits: tuple[PartEdit, ...] = ()
    without: Direction | None = None
    """As in `AnsweringAsk`."""

    def __post_init__(self) -> None:
        if len(self.choices) != len(self.prompts):
            raise BadAsk(f"{len(self.prompts)} prompts and {len(self.choices)} groups of choices were given; give one group a prompt.")
        if any(not choice.strip() for group in self.choices for choice in group) or not all(self.choices):
            raise BadAsk("Every prompt needs at least 1 choice, and a choice needs text.")
        _check_parts(self.edits, self.prompts)


@dataclass(frozen=True)
class ChoiceScores:
    """The choices of one prompt, in the order asked."""

    prompt: int
    """Place in the ask."""
    logprobs: tuple[float, ...]
    """Log-probability of the whole choice after the prompt, nats."""
    n_tokens: tuple[int, ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Log-probability a token, by which choices of unequal length are compared."""
        return tuple(total / n for total, n in zip(self.logprobs, self.n_tokens, strict=True))

    def best(self, per_token: bool = True) -> int:
        """The choice that the model finds likeliest; of equal ones the first."""
        scores = self.means if per_token else self.logprobs
        return max(range(len(scores)), key=lambda i: -math.inf if math.isnan(scores[i]) else scores[i])


@dataclass(frozen=True)
class AttentionAsk(StreamAsk["AttentionChunk"]):
    """How much each head attends from the last token of each text to the last token of its marked part."""

    texts: tuple[MarkedText, ...]
    edits: tuple[PartEdit, ...] = ()

    def __post_init__(self) -> None:
        _check_marked(self.texts)


@dataclass(frozen=True, eq=False)
class AttentionChunk:
    """Some of the texts of an ask."""

    texts: Int64[np.ndarray, " rows"]
    """Places in the ask."""
    weights: Float32[np.ndarray, "rows layers heads"]
    """Attention weights, 0 to 1."""


def _check_marked(texts: Sequence[MarkedText]) -> None:
    for place, text in enumerate(texts):
        if text.marked is None:
            raise BadAsk(f"Text {place} of {len(texts)} has no marked part: {text.text[:60]!r}. Mark the name in it.")


def _check_parts(edits: Sequence[PartEdit], texts: Sequence[MarkedText]) -> None:
    if any(edit.part.needs_mark for edit in edits):
        _check_marked(texts)
