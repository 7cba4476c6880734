"""Many texts as the model reads them: ids, and the tokens of the part that is marked. Batches of them, padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from dashboard.analysis.asks.many_texts import MarkedText, Part
from dashboard.analysis.errors import BadAsk, EmptyPrompt, PromptTooLong
from dashboard.analysis.model.bridge import LoadedModel, in_chat
from dashboard.analysis.model.generation import PlacedEdit
from dashboard.analysis.tokens import tile, whole_characters

_SENTINEL = "\ue000"
"""A character that no template contains."""


@dataclass(frozen=True)
class MarkedIds:
    """A text as token ids."""

    ids: tuple[int, ...]
    first: int | None
    """First token that shares a character with the marked part; None where nothing is marked."""
    last: int | None
    """Last such token."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class PartPlacedEdit:
    """An edit with its direction loaded, on the same part of every text."""

    placed: PlacedEdit
    part: Part

    def on(self, text: MarkedIds) -> PlacedEdit:
        """The edit of one text."""
        where = self.part.where(text.first or 0, text.last or 0, len(text))
        return replace(self.placed, intervention=replace(self.placed.intervention, where=where))

    @property
    def touches_new_tokens(self) -> bool:
        """True where tokens after the prompt are edited."""
        return self.part in (Part.GENERATED, Part.EVERYWHERE)


def mark_texts(model: LoadedModel, texts: Sequence[MarkedText], n_new: int = 0) -> list[MarkedIds]:
    """Each text tokenised as `tokenise` does it, room for `n_new` tokens after it included.

    Raises:
        EmptyPrompt: if one has no text.
        PromptTooLong: with both numbers, for the first that is too long.
        BadAsk: if the model's chat template changes a message so much that its marked part cannot be found.
    """
    if not all(text.text for text in texts):
        raise EmptyPrompt
    distinct = list(dict.fromkeys(texts))
    rendered, offsets = _rendered(model, distinct)
    found: dict[MarkedText, MarkedIds] = {}
    if distinct:
        encoded = model.tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text, shown, offset, ids, ranges in zip(
            distinct, rendered, offsets, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            own = model.with_bos(tuple(ids))
            if len(own) + n_new > model.max_tokens:
                raise PromptTooLong(len(own) + n_new, model.max_tokens)
            found[text] = _marked(text, own, tile(ranges, len(shown)), offset)
    return [found[text] for text in texts]


def _rendered(model: LoadedModel, texts: Sequence[MarkedText]) -> tuple[list[str], list[int]]:
    """What is tokenised of each text, and how many characters stand before the text in it (fewer where it was trimmed)."""

    def render(content: str) -> str:
        return in_chat(model, content)

    before = render(_SENTINEL).find(_SENTINEL) if any(text.chat for text in texts) else 0
    rendered: list[str] = []
    offsets: list[int] = []
    for text in texts:
        content = whole_characters(text.text)
        shown, offset = content, 0
        if text.chat:
            shown, offset = render(content), before
            if not shown.startswith(content, before):
                offset -= len(content) - len(content.lstrip())
                if text.marked is not None and (before < 0 or not shown.startswith(content.strip(), before)):
                    raise BadAsk(f"The chat template of {model.id} changes {content[:60]!r}; its mark cannot be found. Use no chat.")
        rendered.append(shown + whole_characters(text.prefill))
        offsets.append(offset)
    return rendered, offsets


def _marked(text: MarkedText, ids: tuple[int, ...], ranges: Sequence[tuple[int, int]], offset: int) -> MarkedIds:
    if text.marked is None:
        return MarkedIds(ids, None, None)
    start, end = (offset + place for place in text.marked)
    n_bos = len(ids) - len(ranges)
    inside = [place + n_bos for place, (first, last) in enumerate(ranges) if first < end and last > start]
    if not inside:
        raise BadAsk(f"No token stands for the marked part of {text.text[:60]!r}: characters {text.marked[0]} to {text.marked[1]}.")
    return MarkedIds(ids, inside[0], inside[-1])


def batches(lengths: Sequence[int], most_tokens: int, most_rows: int) -> Iterator[list[int]]:
    """Places of texts in batches of like length, shortest first; a batch has at most so many tokens, padding included."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if batch and (len(batch) == most_rows or (len(batch) + 1) * lengths[place] > most_tokens):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def padded_right(model: LoadedModel, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """Ids [row, position] with zeros after each row, which no token before reads."""
    longest = max(map(len, rows))
    return model.batch(*(row + (0,) * (longest - len(row)) for row in rows))


def tokens_per_pass(model: LoadedModel) -> int:
    """Tokens of a forward pass: enough to keep the device busy, few enough that others wait little."""
    return 16_384 if model.device.startswith("cuda") else 1024
