"""How likely several continuations of each of many prompts are. Each prompt is read once, its choices go on from there."""

from collections.abc import Iterator, Sequence

import torch

from dashboard.analysis.asks.many_texts import ChoiceAsk, ChoiceScores, MarkedText
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.generation import PlacedEdit
from dashboard.analysis.model.marking import MarkedIds, PartPlacedEdit, batches, mark_texts, padded_right, tokens_per_pass
from dashboard.analysis.model.prefixes import Prefixes, edits_on, read_on, read_prompts

_PROMPTS = 64
_PLACES = 256
"""Next-token distributions that are in memory in float32 at one time."""

_Choice = tuple[int, ...]


def score_choices(model: LoadedModel, ask: ChoiceAsk, edits: Sequence[PartPlacedEdit]) -> Iterator[tuple[ChoiceScores, ...]]:
    """The choices of some prompts at a time. Prompts that are the same, with the same choices, are read once.

    Raises:
        PromptTooLong, EmptyPrompt: before anything is read.
    """
    choices = [_choice_ids(model, prompt, group) for prompt, group in zip(ask.prompts, ask.choices, strict=True)]
    longest = max((len(choice) for group in choices for choice in group), default=0)
    same: dict[tuple[MarkedIds, tuple[_Choice, ...]], list[int]] = {}
    for place, (tokens, group) in enumerate(zip(mark_texts(model, ask.prompts, longest), choices, strict=True)):
        same.setdefault((tokens, group), []).append(place)
    distinct = list(same)
    for batch in batches([len(tokens) for tokens, _ in distinct], tokens_per_pass(model), _PROMPTS):
        keys = [distinct[place] for place in batch]
        scores = _score(model, [tokens for tokens, _ in keys], [group for _, group in keys], edits)
        yield tuple(
            ChoiceScores(owner, tuple(values), tuple(map(len, key[1])))
            for key, values in zip(keys, scores, strict=True)
            for owner in same[key]
        )


def _score(
    model: LoadedModel, prompts: Sequence[MarkedIds], groups: Sequence[tuple[_Choice, ...]], edits: Sequence[PartPlacedEdit]
) -> list[list[float]]:
    """Log-probabilities of each prompt's choices."""
    prefixes, logits = read_prompts(model, prompts, edits_on(edits, prompts))
    first = torch.log_softmax(logits, dim=-1)
    totals = [[float(first[place, choice[0]]) for choice in group] for place, group in enumerate(groups)]
    later = edits_on([edit for edit in edits if edit.touches_new_tokens], prompts)
    longer = [(place, number) for place, group in enumerate(groups) for number, choice in enumerate(group) if len(choice) > 1]
    longer.sort(key=lambda where: len(groups[where[0]][where[1]]))
    while longer:
        # Choices of like length together; the longest of a slice says how many fit.
        n_rows = next(n for n in range(len(longer), 0, -1) if n == 1 or n * len(groups[longer[n - 1][0]][longer[n - 1][1]]) <= _PLACES)
        rows, longer = longer[:n_rows], longer[n_rows:]
        found = _rest(model, prefixes, prompts, [(place, groups[place][number]) for place, number in rows], later)
        for (place, number), value in zip(rows, found, strict=True):
            totals[place][number] += value
    return totals


def _rest(
    model: LoadedModel,
    prefixes: Prefixes,
    prompts: Sequence[MarkedIds],
    rows: Sequence[tuple[int, _Choice]],
    edits: Sequence[Sequence[PlacedEdit]],
) -> list[float]:
    """Log-probability of each choice's tokens after its first."""
    ids = padded_right(model, [choice[:-1] for _, choice in rows])
    n_prompts = [len(prompts[place]) for place, _ in rows]
    positions = torch.tensor(n_prompts, device=model.device)[:, None] + torch.arange(ids.shape[1], device=model.device)
    own = prefixes.take([place for place, _ in rows])
    logits = read_on(model, own, ids, positions, [edits[place] for place, _ in rows], n_prompts)
    targets = padded_right(model, [choice[1:] for _, choice in rows])
    scores = torch.log_softmax(logits, dim=-1).gather(2, targets[:, :, None])[:, :, 0].cpu()
    return [float(scores[row, : len(choice) - 1].sum()) for row, (_, choice) in enumerate(rows)]


def _choice_ids(model: LoadedModel, prompt: MarkedText, choices: Sequence[str]) -> tuple[_Choice, ...]:
    """Ids of each choice, after a space unless the prompt ends in one or an assistant's turn begins with the choice."""
    opens_turn = prompt.chat and not prompt.prefill
    gap = "" if opens_turn or (prompt.text + prompt.prefill)[-1:].isspace() else " "
    encoded = model.tokenizer([gap + choice.strip() for choice in choices], add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(tuple(ids) for ids in encoded)
