"""Many short texts at once: what fires in them, what the model answers, how likely choices are, where heads attend.

They are read in batches of a bounded number of tokens, so what an ask costs is one batch of its longest text.
"""

from collections.abc import Iterator, Sequence

from dashboard.analysis.asks.many_texts import (
    Answer,
    AnsweringAsk,
    AttentionAsk,
    AttentionChunk,
    ChoiceAsk,
    ChoiceScores,
    MarkedText,
    ReadChunk,
    ReadingAsk,
)
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.model.answering import Answering
from dashboard.analysis.model.attention import read_attention
from dashboard.analysis.model.costs import traced_bytes
from dashboard.analysis.model.likelihood import score_choices
from dashboard.analysis.model.marking import tokens_per_pass
from dashboard.analysis.model.reading import read_texts

_AROUND = 64
"""Tokens that a chat template may put around a text."""


def read(at: Workspace, ask: ReadingAsk) -> Iterator[tuple[ReadChunk, ...]]:
    """What some SAEs give at one token of each text, a batch a turn, shortest first."""
    for site in (*ask.norms, *ask.rows):
        at.check_layer(site)
    with at.shelf.holding(ask.saes) as saes:
        placed = {name: (at.catalog.get(name).site, sae) for name, sae in saes.items()}
        yield from ((chunk,) for chunk in read_texts(at.model, placed, ask))


def reading_cost(at: Workspace, ask: ReadingAsk) -> int:
    """Bytes of one batch."""
    return _batch_cost(at, ask.texts, [at.catalog.get(sae).n_latents for sae in ask.saes])


def answer(at: Workspace, ask: AnsweringAsk) -> Iterator[tuple[Answer, ...]]:
    """Greedy answers and samples: what has ended with each pass of the model, often nothing.

    Raises:
        OutOfMemory: if the rows that are written together do not fit; how many there are is known once all are tokenised.
    """
    with at.placing.placed_parts(ask.edits) as edits:
        yield from Answering(at.changed(ask.without), ask, edits).steps()


def choose(at: Workspace, ask: ChoiceAsk) -> Iterator[tuple[ChoiceScores, ...]]:
    """How likely the choices after each prompt are, a batch of prompts a turn."""
    with at.placing.placed_parts(ask.edits) as edits:
        yield from score_choices(at.changed(ask.without), ask, edits)


def choice_cost(at: Workspace, ask: ChoiceAsk) -> int:
    """Bytes of one batch."""
    return _batch_cost(at, ask.prompts)


def attend(at: Workspace, ask: AttentionAsk) -> Iterator[tuple[AttentionChunk, ...]]:
    """How much each head attends from the last token of each text to its marked part, a batch a turn."""
    with at.placing.placed_parts(ask.edits) as edits:
        yield from ((chunk,) for chunk in read_attention(at.model, ask, edits))


def attention_cost(at: Workspace, ask: AttentionAsk) -> int:
    """Bytes of one batch, the attention of every layer among them."""
    return _batch_cost(at, ask.texts) * 2


def _batch_cost(at: Workspace, texts: Sequence[MarkedText], widths: Sequence[int] = ()) -> int:
    if not texts:
        return 0
    longest = max((text.text + text.prefill for text in texts), key=len)
    n_tokens = len(at.model.tokenizer(longest, verbose=False)["input_ids"]) + _AROUND
    n_tokens = min(n_tokens, at.model.max_tokens)
    n_rows = min(len(texts), max(1, tokens_per_pass(at.model) // n_tokens))
    return traced_bytes(at.model, n_rows, n_tokens, [*widths])
