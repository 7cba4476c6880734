"""Many short texts read at one token each: sparse codes of some SAEs, norms and rows of some sites.

Steps: (1) a text counts up to the token where it is read, because no later one can change it; (2) texts with the same
tokens are read once; (3) texts of like length are read together, padded on the right, which no token before reads;
(4) the model stops at the deepest site. What is held at one time is one batch, however many texts there are.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks.many_texts import ReadChunk, ReadingAsk, SparseRows, Spot
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_rows
from dashboard.analysis.model.marking import MarkedIds, batches, mark_texts, padded_right, tokens_per_pass
from dashboard.analysis.names import SaeId, Site

_MOST_ROWS = 1024
"""Most rows of a batch: their activations are dense for a moment."""


def read_texts(model: LoadedModel, saes: Mapping[SaeId, tuple[Site, SAE]], ask: ReadingAsk) -> Iterator[ReadChunk]:
    """The chunks of a reading, shortest texts first; `saes` are those of the ask with their sites.

    Raises:
        PromptTooLong, EmptyPrompt: before anything is read.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for place, text in enumerate(mark_texts(model, ask.texts)):
        same.setdefault(text.ids[: read_at(text, ask.at) + 1], []).append(place)
    distinct = list(same)
    sites = list(dict.fromkeys((*(site for site, _ in saes.values()), *ask.norms, *ask.rows)))
    for batch in batches([len(ids) for ids in distinct], tokens_per_pass(model), _MOST_ROWS):
        yield _read(model, saes, ask, sites, [distinct[place] for place in batch], [same[distinct[place]] for place in batch])


def read_at(text: MarkedIds, spot: Spot) -> int:
    """The token at which a text is read."""
    if spot is Spot.LAST or text.last is None:
        return len(text) - 1
    return text.last


def _read(
    model: LoadedModel,
    saes: Mapping[SaeId, tuple[Site, SAE]],
    ask: ReadingAsk,
    sites: Sequence[Site],
    rows: Sequence[tuple[int, ...]],
    owners: Sequence[Sequence[int]],
) -> ReadChunk:
    at = torch.tensor([len(row) - 1 for row in rows], device=model.device)
    values = {site: value.float() for site, value in read_rows(model, padded_right(model, rows), at, sites).items()}
    of_text = np.repeat(np.arange(len(rows)), [len(own) for own in owners])
    texts = np.array([place for own in owners for place in own], dtype=np.int64)
    with torch.inference_mode():
        codes = {name: sparse_rows(sae.encode(values[site])) for name, (site, sae) in saes.items()}
        norms = {site: np.linalg.norm(values[site].cpu().numpy(), axis=-1)[of_text] for site in ask.norms}
        kept = {site: values[site].cpu().numpy()[of_text] for site in ask.rows}
    if len(texts) > len(rows):
        codes = {name: code.take(of_text) for name, code in codes.items()}
    return ReadChunk(texts, codes, norms, kept, len(rows))


def sparse_rows(acts: torch.Tensor) -> SparseRows:
    """Activations [row, latent] without their zeros."""
    dense = acts.float().cpu().numpy()
    flat = np.flatnonzero(dense > 0)
    row, latent = np.divmod(flat, dense.shape[1])
    start = np.concatenate([np.zeros(1, dtype=np.int64), np.bincount(row, minlength=len(dense)).cumsum()])
    return SparseRows(dense.shape[1], start.astype(np.int64), latent.astype(np.int32), dense.ravel()[flat])
