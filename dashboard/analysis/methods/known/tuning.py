"""How much of a latent is added: tuned on the validation split, so that the figures of the test split are not tuned.

Steps: (1) questions about entities of the validation split; (2) their answers as the model is, and with the known and the
unknown latent added, at each of some amounts; (3) an answer reads like text if the model as it is finds it hardly less
likely than its own answers and it does not repeat itself; an amount at which too few answers do is too much; (4) of the
others the amount at which the model declines most more often with the unknown latent than with the known one; of equal ones
the largest, which gives an effect its best chance.

Source: Ferrando et al. 2024, arXiv:2411.14257, whose amounts (about twice the norm of the residual) were tuned on its
validation split. Differs from it: the rule is written down; the paper names none.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dashboard.analysis.asks.many_texts import ChoiceAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.methods.known.effects import AmountTrial, CausalitySettings, Condition
from dashboard.analysis.methods.known.trials import Asked, Trial, answers
from dashboard.analysis.names import LatentId
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.stats.shares import Share
from dashboard.analysis.studies.blocks import Step

READABLE_AT = 0.8
"""Share of answers that must read like text."""
MOST_REPEATED = 0.3
"""Of an answer's 4-grams of words."""
LOSS_ABOVE = 1.0
"""Nats a token above the model's own answers' 95th percentile: answers that cost more are not text."""


def tune(
    runner: Runner, asked: Sequence[Asked], latents: tuple[LatentId, LatentId], settings: CausalitySettings, step: Step
) -> Iterator[float]:
    """Answer the questions at every amount, as far as that has not been done; yields the share that is done."""
    plan = _plan(latents, settings)
    for number, (trial, amount) in enumerate(plan):
        if step.has(number):
            continue
        texts = [""] * len(asked)
        for n, (place, text) in enumerate(answers(runner, asked, trial, settings, amount), 1):
            texts[place] = text
            yield (number + n / len(asked)) / len(plan)
        step.save_rows(number, [[text, loss] for text, loss in zip(texts, _losses(runner, asked, texts), strict=True)])


def tuned(asked: Sequence[Asked], latents: tuple[LatentId, LatentId], settings: CausalitySettings, step: Step) -> tuple[AmountTrial, ...]:
    """What came of each amount, once `tune` is done."""
    own = [loss for _, loss in step.rows(0) if loss is not None]
    limit = (float(np.percentile(own, 95)) if own else 0.0) + LOSS_ABOVE
    return tuple(
        _trial(asked, step.rows(number), trial.condition, amount, limit) for number, (trial, amount) in enumerate(_plan(latents, settings))
    )


def best_amount(trials: Sequence[AmountTrial]) -> float:
    """The amount that the rule of this module takes; the smallest where all are too much."""
    by_amount: dict[float, dict[Condition, AmountTrial]] = {}
    for one in trials:
        if one.condition is not Condition.ORIGINAL:
            by_amount.setdefault(one.amount, {})[one.condition] = one
    shares = {amount: min(one.readable.value or 0.0 for one in both.values()) for amount, both in by_amount.items()}
    usable = {amount: both for amount, both in by_amount.items() if shares[amount] >= READABLE_AT}
    if not usable:
        return min(by_amount)
    return max(usable, key=lambda amount: (usable[amount][Condition.UNKNOWN].refused.k - usable[amount][Condition.KNOWN].refused.k, amount))


def _plan(latents: tuple[LatentId, LatentId], settings: CausalitySettings) -> list[tuple[Trial, float]]:
    both = [Trial(condition, latent) for condition, latent in zip((Condition.KNOWN, Condition.UNKNOWN), latents, strict=True)]
    return [(Trial(Condition.ORIGINAL), 0.0), *((trial, amount) for amount in settings.amounts for trial in both)]


def _losses(runner: Runner, asked: Sequence[Asked], texts: Sequence[str]) -> list[float | None]:
    """What each answer costs the model as it is, nats a token; None for an empty one."""
    places = [place for place, text in enumerate(texts) if text.strip()]
    found: list[float | None] = [None] * len(texts)
    ask = ChoiceAsk(tuple(asked[place].prompt for place in places), tuple((texts[place],) for place in places))
    for scores in runner.stream(ask) if places else ():
        found[places[scores.prompt]] = -scores.means[0]
    return found


def _trial(asked: Sequence[Asked], rows: Sequence[Any], condition: Condition, amount: float, limit: float) -> AmountTrial:
    verdicts = [one.taken.grade(one.attribute, text) for one, (text, _) in zip(asked, rows, strict=True)]
    n_readable = sum(loss is not None and loss <= limit and (repeated_ngrams(text.split()) or 0.0) <= MOST_REPEATED for text, loss in rows)
    n = len(rows)
    return AmountTrial(
        amount, condition, Share(verdicts.count(Verdict.REFUSAL), n), Share(verdicts.count(Verdict.CORRECT), n), Share(n_readable, n)
    )
