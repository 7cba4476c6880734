"""Short answers to many prompts: greedy ones and samples, with edits, in a pool of rows that is filled up again.

Steps: (1) prompts with the same tokens and the same places of edits are answered once; (2) several prompts are read in
one pass, and each of their rows goes on from what was read; (3) every row of the pool gets a token a step; (4) a row that
has ended leaves, and when half of the pool is free the next prompts come in. A sample draws its numbers by the seed, the
prompt's tokens and its own number, so in float32 an answer does not depend on what else is asked.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.many_texts import Answer, AnsweringAsk
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.costs import generation_bytes
from dashboard.analysis.model.generation import PlacedEdit, end_tokens
from dashboard.analysis.model.marking import MarkedIds, PartPlacedEdit, mark_texts
from dashboard.analysis.model.prefixes import Prefixes, edits_on, read_on, read_prompts
from dashboard.analysis.system.room import admit

_BLOCK = 256
POOL = 64
"""Rows that are written together."""


@dataclass(eq=False)
class _Prompt:
    tokens: MarkedIds
    owners: list[int]
    """Places in the ask."""


@dataclass(eq=False)
class _Row:
    prompt: _Prompt
    sample: int | None
    edits: Sequence[PlacedEdit]
    """Those that touch new tokens."""
    draws: np.ndarray
    """A uniform number for each new token; empty for the greedy row."""
    ids: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Of the newest token."""
        return len(self.prompt.tokens) + len(self.ids) - 1


class Answering:
    """The answers of one ask, a step at a time."""

    def __init__(self, model: LoadedModel, ask: AnsweringAsk, edits: Sequence[PartPlacedEdit], pool: int = POOL) -> None:
        """Tokenises every prompt.

        Raises:
            PromptTooLong, EmptyPrompt, BadAsk: see `mark_texts`.
        """
        self._model, self._ask, self._edits, self._pool = model, ask, edits, pool
        self._ends = end_tokens(model)
        self._special = set(model.tokenizer.all_special_ids)
        marked = any(edit.part.needs_mark for edit in edits)
        same: dict[tuple[object, ...], _Prompt] = {}
        for place, tokens in enumerate(mark_texts(model, ask.prompts, ask.sampling.max_new_tokens)):
            key = (tokens.ids, tokens.first, tokens.last) if marked else (tokens.ids,)
            same.setdefault(key, _Prompt(tokens, [])).owners.append(place)
        self._waiting = sorted(same.values(), key=lambda prompt: (len(prompt.tokens), prompt.owners), reverse=True)
        """The shortest last, which comes first."""
        self.n_prompts = len(self._waiting)
        """Prompts that are read."""
        self._rows: list[_Row] = []
        self._prefixes: Prefixes | None = None
        if self._waiting:
            longest = len(self._waiting[0].tokens)
            admit(generation_bytes(model, longest, ask.sampling.max_new_tokens, max(pool, self._per_prompt), 2), model.device)

    @property
    def _per_prompt(self) -> int:
        return self._ask.n_samples + self._ask.greedy

    def steps(self) -> Iterator[tuple[Answer, ...]]:
        """What has ended with each pass of the model: often nothing."""
        while self._waiting or self._rows:
            if self._waiting and 2 * len(self._rows) <= self._pool and (not self._rows or self._room):
                yield self._take_in()
            else:
                yield self._advance()

    @property
    def _room(self) -> int:
        """Prompts for whose rows there is room."""
        return (self._pool - len(self._rows)) // self._per_prompt

    def _take_in(self) -> tuple[Answer, ...]:
        taken = [self._waiting.pop() for _ in range(min(len(self._waiting), max(1, self._room)))]
        tokens = [prompt.tokens for prompt in taken]
        prefixes, logits = read_prompts(self._model, tokens, edits_on(self._edits, tokens))
        later = edits_on([edit for edit in self._edits if edit.touches_new_tokens], tokens)
        rows = [row for prompt, edits in zip(taken, later, strict=True) for row in self._rows_of(prompt, edits)]
        of_row = [place for place in range(len(taken)) for _ in range(self._per_prompt)]
        self._draw(rows, logits[of_row])
        answers, going = self._ended(rows)
        if going:
            new = prefixes.take([of_row[place] for place in going])
            self._prefixes = new if self._prefixes is None else self._prefixes.beside(new)
            self._rows += [rows[place] for place in going]
        return answers

    def _rows_of(self, prompt: _Prompt, edits: Sequence[PlacedEdit]) -> Iterator[_Row]:
        if self._ask.greedy:
            yield _Row(prompt, None, edits, np.zeros(0))
        sampling = self._ask.sampling
        for sample in range(self._ask.n_samples):
            seed = seed_of(sampling.seed, prompt.tokens.ids, sample)
            yield _Row(prompt, sample, edits, np.random.default_rng(seed).random(sampling.max_new_tokens))

    def _advance(self) -> tuple[Answer, ...]:
        assert self._prefixes is not None
        device = self._model.device
        ids = torch.tensor([[row.ids[-1]] for row in self._rows], device=device)
        positions = torch.tensor([[row.position] for row in self._rows], device=device)
        n_prompts = [len(row.prompt.tokens) for row in self._rows]
        logits = read_on(self._model, self._prefixes, ids, positions, [row.edits for row in self._rows], n_prompts)[:, -1]
        self._draw(self._rows, logits)
        answers, going = self._ended(self._rows)
        if len(going) < len(self._rows):
            self._prefixes = self._prefixes.take(going) if going else None
            self._rows = [self._rows[place] for place in going]
        return answers

    def _draw(self, rows: Sequence[_Row], logits: torch.Tensor) -> None:
        """A token for every row."""
        if bool(logits.isnan().any()):
            raise BadAsk("The edits break the model: its logits are not numbers. Use smaller amounts.")
        logits = logits[:, : self._model.n_texts]
        chosen = logits.argmax(-1)
        sampled = [place for place, row in enumerate(rows) if row.sample is not None]
        if sampled:
            draws = torch.tensor([rows[place].draws[len(rows[place].ids)] for place in sampled], device=logits.device)
            chosen[sampled] = draw(logits[sampled], draws, self._ask.sampling)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            row.ids.append(token)

    def _ended(self, rows: Sequence[_Row]) -> tuple[tuple[Answer, ...], list[int]]:
        """The answers of rows that have ended, and the places of those that go on."""
        answers: list[Answer] = []
        going: list[int] = []
        for place, row in enumerate(rows):
            ended = row.ids[-1] in self._ends
            text = None
            if self._ask.stop_at_line and not ended and "\n" in self._model.tokenizer.decode(row.ids[-1:]):
                text = _first_line(self._text(row))
            if not ended and text is None and len(row.ids) < self._ask.sampling.max_new_tokens:
                going.append(place)
                continue
            shown = self._text(row) if text is None else text
            ended = ended or text is not None
            answers += [Answer(owner, row.sample, shown, len(row.ids), ended) for owner in row.prompt.owners]
        return tuple(answers), going

    def _text(self, row: _Row) -> str:
        return self._model.tokenizer.decode(row.ids, skip_special_tokens=True)


def _first_line(text: str) -> str | None:
    """The text up to the first line break after some text; None where there is none."""
    begin = len(text) - len(text.lstrip())
    end = text.find("\n", begin)
    return None if end < 0 else text[:end]


def seed_of(seed: int, prompt: Sequence[int], sample: int) -> int:
    """The seed of one sample of one prompt."""
    words = f"{seed}/{sample}/{','.join(map(str, prompt))}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big")


def draw(logits: torch.Tensor, draws: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """A token [row] of each row of logits [row, vocabulary], by a uniform number [row] from 0 to 1 each."""
    odds = torch.softmax(logits / sampling.temperature, dim=-1)
    ids = None
    if sampling.top_p < 1:
        odds, ids = odds.sort(dim=-1, descending=True, stable=True)
        # A token stays while those before it have not yet reached top_p, so the most likely one always stays.
        odds = odds * (odds.cumsum(-1) - odds < sampling.top_p)
    # Blocks first, then places in the block: a running sum over a whole vocabulary takes longer than its softmax.
    blocks = torch.nn.functional.pad(odds, (0, -odds.shape[1] % _BLOCK)).unflatten(1, (-1, _BLOCK))
    exact = torch.float32 if odds.device.type == "mps" else torch.float64
    reached = blocks.sum(-1, dtype=exact).cumsum(-1)
    wanted = draws[:, None].to(exact) * reached[:, -1:]
    block = torch.searchsorted(reached, wanted, right=True).clamp(max=reached.shape[1] - 1)
    row = torch.arange(len(odds), device=odds.device)
    inside = blocks[row, block[:, 0]].to(exact).cumsum(-1)
    before = reached.gather(1, block) - inside[:, -1:]
    place = block * _BLOCK + torch.searchsorted(inside, wanted - before, right=True).clamp(max=_BLOCK - 1)
    # Rounding may lead past the last token that has any probability: then the most likely one is taken.
    likely = odds.argmax(-1, keepdim=True)
    place = torch.where(place < odds.shape[1], place, likely)
    place = torch.where(odds.gather(1, place) > 0, place, likely)
    return (place if ids is None else ids.gather(1, place)).squeeze(1)
