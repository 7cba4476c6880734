"""A written text as the edited and the plain model see it, token by token, in one pass over both."""

from collections.abc import Sequence

import torch

from dashboard.analysis.asks.generation import NextToken, ScoredToken
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.generation import PlacedEdit, site_edits
from dashboard.analysis.model.hooks import hooked_bare
from dashboard.analysis.tokens import TokenizedPrompt

_PLACES_AT_ONCE = 64
"""Next-token distributions that are in memory in float32 at one time."""


def score_text(
    model: LoadedModel, tokens: TokenizedPrompt, edits: Sequence[PlacedEdit], top: int, first_tokens: Sequence[int]
) -> tuple[tuple[ScoredToken, ...], tuple[tuple[float, float], ...]]:
    """Scores of the prompt's continuation, and the log-probability (edited, plain) of `first_tokens` right after the prompt."""
    new = tokens.prompt.continuation
    n_prompt = len(tokens) - len(new)
    # Without edits both models are the same one.
    rows = [list(edits), []] if edits else [[]]
    positions = torch.arange(len(tokens), device=model.device)
    hooks = site_edits(rows, [positions] * len(rows), [n_prompt] * len(rows))
    with torch.inference_mode(), hooked_bare(model, hooks):
        logits = model.bare(model.batch(*[tokens.ids] * len(rows)), use_cache=False, logits_to_keep=len(new) + 1).logits
    edited, plain = logits[0], logits[-1]
    scored: list[ScoredToken] = []
    words: tuple[tuple[float, float], ...] = ()
    for start in range(0, max(1, len(new)), _PLACES_AT_ONCE):
        a = torch.log_softmax(edited[start : start + _PLACES_AT_ONCE].float(), dim=-1)
        b = torch.log_softmax(plain[start : start + _PLACES_AT_ONCE].float(), dim=-1)
        if start == 0:
            words = tuple((float(a[0, token]), float(b[0, token])) for token in first_tokens)
        kl = (a.exp() * (a - b)).sum(-1).clamp(min=0)
        best_a, best_b = a.topk(top), b.topk(top)
        for place, token in enumerate(new[start : start + _PLACES_AT_ONCE]):
            nearest = [
                tuple(
                    NextToken(model.tokenizer.decode([int(i)]), float(v))
                    for v, i in zip(best.values[place], best.indices[place], strict=True)
                )
                for best in (best_a, best_b)
            ]
            scored.append(ScoredToken(float(a[place, token]), float(b[place, token]), float(kl[place]), nearest[0], nearest[1]))
    return tuple(scored), words
