"""How much each head attends from the last token of a text to the last token of its marked part, for many texts."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dashboard.analysis.asks.many_texts import AttentionAsk, AttentionChunk
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.generation import site_edits
from dashboard.analysis.model.hooks import read_attention_weights
from dashboard.analysis.model.marking import MarkedIds, PartPlacedEdit, batches, mark_texts, padded_right, tokens_per_pass
from dashboard.analysis.model.prefixes import edits_on

_MOST_ROWS = 64
"""Most rows of a batch: the attention of every layer is in memory for a moment."""


def read_attention(model: LoadedModel, ask: AttentionAsk, edits: Sequence[PartPlacedEdit]) -> Iterator[AttentionChunk]:
    """The chunks of an ask, shortest texts first. Texts that are the same are read once.

    Raises:
        PromptTooLong, EmptyPrompt: before anything is read.
    """
    same: dict[MarkedIds, list[int]] = {}
    for place, text in enumerate(mark_texts(model, ask.texts)):
        same.setdefault(text, []).append(place)
    distinct = list(same)
    for batch in batches([len(text) for text in distinct], tokens_per_pass(model), _MOST_ROWS):
        texts = [distinct[place] for place in batch]
        weights = _weights(model, texts, edits)
        of_text = np.repeat(np.arange(len(texts)), [len(same[text]) for text in texts])
        yield AttentionChunk(np.array([place for text in texts for place in same[text]], dtype=np.int64), weights[of_text])


def _weights(model: LoadedModel, texts: Sequence[MarkedIds], edits: Sequence[PartPlacedEdit]) -> np.ndarray:
    """Attention weights [text, layer, head]."""
    ids = padded_right(model, [text.ids for text in texts])
    positions = torch.arange(ids.shape[1], device=model.device)
    hooks = site_edits(edits_on(edits, texts), [positions] * len(texts), [len(text) for text in texts])
    last = torch.tensor([len(text) - 1 for text in texts], device=model.device)
    entity = torch.tensor([text.last for text in texts], device=model.device)
    return read_attention_weights(model, ids, last, entity, hooks).float().cpu().numpy()
