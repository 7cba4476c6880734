"""Writing text: rows with their own edits, sampling and random generator, decoded together, whichever request they belong to.

Steps: (1) the variants of an ask read their prompt in one pass; (2) at each step, every row that waits for a token gets
one, in one pass over all of them, shorter rows padded on the left and masked; (3) a row that ends, or whose asker has
left, is gone before the next step. Hooks live for one forward pass only: nothing is yielded while one is in place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from dashboard.analysis.asks.edits import Intervention, Op, Where
from dashboard.analysis.asks.generation import Sampling, TokenDelta
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.bridge import GrowingText, LoadedModel
from dashboard.analysis.model.edits import LoadedDirection, RowEdit, apply_edits
from dashboard.analysis.model.hooks import Edit, hooked_bare
from dashboard.analysis.names import Site
from dashboard.analysis.tokens import TokenizedPrompt

Step = tuple[TokenDelta, ...]
"""One new token for each row of an ask that has not ended."""

_NUCLEUS = 1024


@dataclass(frozen=True, eq=False)
class PlacedEdit:
    """An intervention with its direction loaded, its site known and its amount in units of the direction."""

    site: Site
    intervention: Intervention
    direction: LoadedDirection
    amount: float

    def on(self, positions: torch.Tensor, n_prompt: int) -> RowEdit:
        """The edit at some positions of a row whose prompt has `n_prompt` tokens."""
        match self.intervention.where:
            case Where.PROMPT:
                chosen = positions < n_prompt
            case Where.GENERATED:
                chosen = positions >= n_prompt
            case Where.EVERYWHERE:
                chosen = torch.ones_like(positions, dtype=torch.bool)
            case span:
                chosen = positions >= span.start
                if span.end is not None:
                    chosen &= positions < span.end
        return RowEdit(self.direction, self.intervention.op, self.amount, chosen)


def site_edits(rows: Sequence[Sequence[PlacedEdit]], positions: Sequence[torch.Tensor], n_prompts: Sequence[int]) -> dict[Site, Edit]:
    """What to hook so that each row of a batch gets its own edits; `positions` are those of the tokens in this pass."""
    sites = dict.fromkeys(edit.site for edits in rows for edit in edits if edit.intervention.op is not Op.ADD or edit.amount)

    def edit_of(site: Site) -> Edit:
        here = [
            [edit.on(where, n) for edit in edits if edit.site == site] for edits, where, n in zip(rows, positions, n_prompts, strict=True)
        ]
        return lambda value: apply_edits(value, here)

    return {site: edit_of(site) for site in sites}


@dataclass(eq=False)
class _Row:
    label: str
    edits: Sequence[PlacedEdit]
    sampling: Sampling
    generator: torch.Generator
    n_prompt: int
    text: GrowingText
    past: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    """Keys and values [head, position, d_head] of each layer while the row is not in the batch."""
    token: int = 0
    """The newest token, which the model has not read yet."""
    written: int = 0
    delta: TokenDelta | None = None
    """Drawn and not delivered yet."""
    error: Exception | None = None
    """What went wrong with this row, or in a pass of the whole batch; reported to the request that owns the row."""

    @property
    def read(self) -> int:
        """Tokens that the model has read."""
        return self.n_prompt + self.written - 1


class Decoder:
    """The rows of one model that are written together. One thread at a time may use it."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._ends = end_tokens(model)
        self._rows: list[_Row] = []
        self._batch: list[_Row] = []
        """The rows that `_cache` holds, in its order."""
        self._cache = DynamicCache()

    @property
    def n_rows(self) -> int:
        """Rows that are being written."""
        return len(self._rows)

    def write(
        self, tokens: TokenizedPrompt, variants: Sequence[tuple[str, Sequence[PlacedEdit], int]], sampling: Sampling
    ) -> Iterator[Step]:
        """New tokens of (label, edits, seed) rows, a step a turn, until each row has ended or has `max_new_tokens`.

        Closing the iterator takes its rows away.
        """
        own = [
            _Row(label, edits, sampling, torch.Generator().manual_seed(seed), len(tokens), GrowingText(self._model.tokenizer))
            for label, edits, seed in variants
        ]
        going = own
        try:
            self._read_prompt(tokens, own)
            while going:
                if going[0].delta is None and going[0].error is None:
                    self._advance()
                for row in going:
                    if row.error is not None:
                        raise row.error
                step = tuple(row.delta for row in going if row.delta is not None)
                going = [row for row in going if row.delta is not None and not row.delta.last]
                for row in going:
                    row.delta = None
                yield step
        finally:
            self._rows = [row for row in self._rows if row not in own]

    def _read_prompt(self, tokens: TokenizedPrompt, rows: list[_Row]) -> None:
        positions = torch.arange(len(tokens), device=self._model.device)
        hooks = site_edits([row.edits for row in rows], [positions] * len(rows), [row.n_prompt for row in rows])
        ids = self._model.batch(*[tokens.ids] * len(rows))
        cache = DynamicCache()
        with torch.inference_mode(), hooked_bare(self._model, hooks):
            logits = self._model.bare(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        for place, row in enumerate(rows):
            row.past = [(keys[place], values[place]) for keys, values in key_values(cache)]
        self._rows += rows
        self._draw_all(rows, logits)

    def _advance(self) -> None:
        """One token for every row that waits for one."""
        rows = [row for row in self._rows if row.delta is None and row.error is None]
        if not rows:
            return
        try:
            logits = self._next_logits(rows)
        except Exception as error:  # noqa: BLE001 - every asker raises it
            # The cache may have grown in some layers only: none of its rows can go on.
            for row in rows:
                row.error = error
            self._cache, self._batch = DynamicCache(), []
            return
        self._draw_all(rows, logits)

    def _next_logits(self, rows: list[_Row]) -> torch.Tensor:
        with torch.inference_mode():
            self._form_batch(rows)
            device = self._model.device
            ids = torch.tensor([[row.token] for row in rows], device=device)
            positions = torch.tensor([[row.read] for row in rows], device=device)
            longest = max(row.read for row in rows)
            mask = torch.ones(len(rows), longest + 1, dtype=torch.long, device=device)
            for place, row in enumerate(rows):
                mask[place, : longest - row.read] = 0
            hooks = site_edits([row.edits for row in rows], list(positions), [row.n_prompt for row in rows])
            with hooked_bare(self._model, hooks):
                output = self._model.bare(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=self._cache, use_cache=True, logits_to_keep=1
                )
        return output.logits[:, -1]

    def _form_batch(self, rows: list[_Row]) -> None:
        """Make the cache hold exactly these rows. Nothing is moved while they stay the same."""
        if rows == self._batch:
            return
        for place, row in enumerate(self._batch):
            if row not in self._rows:
                continue
            row.past = [(keys[place, :, -row.read :], values[place, :, -row.read :]) for keys, values in key_values(self._cache)]
        longest = max(row.read for row in rows)

        def stacked(layer: int, part: int) -> torch.Tensor:
            parts = [row.past[layer][part] for row in rows]
            return torch.stack([torch.nn.functional.pad(value, (0, 0, longest - value.shape[1], 0)) for value in parts])

        self._cache = DynamicCache()
        for layer in range(len(rows[0].past)):
            self._cache.update(stacked(layer, 0), stacked(layer, 1), layer)
        self._batch = rows
        for row in rows:
            row.past = []

    def _draw_all(self, rows: Sequence[_Row], logits: torch.Tensor) -> None:
        logits = logits.float().cpu()
        logprobs = torch.log_softmax(logits, dim=-1)
        broken = logprobs[:, 0].isnan().tolist()  # one logit that is not a number makes the whole row so
        for place, row in enumerate(rows):
            if broken[place]:  # this row alone: the others go on
                row.error = BadAsk(f"The edits of {row.label} break the model: its logits are not numbers. Use smaller amounts.")
                continue
            row.token = _draw(logits[place, : self._model.n_texts], row.sampling, row.generator)
            row.written += 1
            last = row.token in self._ends or row.written == row.sampling.max_new_tokens
            text = row.text.add(row.token, last)
            row.delta = TokenDelta(row.label, row.written - 1, row.token, text, float(logprobs[place, row.token]), last)


def end_tokens(model: LoadedModel) -> set[int]:
    """The tokens with which the model ends a text."""
    original = model.bare.generation_config.eos_token_id
    listed = original if isinstance(original, list) else [original]
    return {token for token in (*listed, model.tokenizer.eos_token_id) if token is not None}


def key_values(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values [row, head, position, d_head] of each layer."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def _draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature <= 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if sampling.top_p >= 1:
        return int(torch.multinomial(probabilities, 1, generator=generator))
    probabilities, ids = _most_likely(probabilities, sampling.top_p)
    # A token stays while those before it have not yet reached top_p, so the most likely one always stays.
    kept = probabilities * (probabilities.cumsum(0) - probabilities < sampling.top_p)
    return int(ids[torch.multinomial(kept, 1, generator=generator)])


def _most_likely(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities from the highest on, and their ids, as many as reach top_p at least."""
    # These nearly always do, in a fifth of the time that it takes to sort a vocabulary.
    highest, ids = probabilities.topk(min(_NUCLEUS, len(probabilities)))
    return (highest, ids) if highest.sum() >= top_p else probabilities.sort(descending=True)
