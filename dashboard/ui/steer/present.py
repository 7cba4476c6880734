"""Comparisons as plain data of components. Pure functions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.data import DosePoint, Scale, TokenCell, WrittenText, WrittenToken
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.asks.edits import Where
from dashboard.analysis.asks.generation import NextToken, TextScore
from dashboard.analysis.methods.steering.comparison import Comparison, Written
from dashboard.analysis.methods.steering.dose_response import Point
from dashboard.analysis.names import LatentId
from dashboard.analysis.stats.estimates import Estimate
from dashboard.analysis.stats.fluency import repeated_ngrams
from dashboard.analysis.tokens import TokenizedPrompt, TokenSpan
from dashboard.ui.parts.figures import figure, peak


def pair(
    found: Comparison, captures: Sequence[Capture] | None, shade: LatentId | None, was_stopped: bool
) -> tuple[WrittenText, WrittenText, Scale | None]:
    """Both texts with their measures, shaded by a latent if there is one."""
    shades: list[np.ndarray | None] = [None, None]
    scale = None
    if captures and shade:
        values = [capture.activations[shade.sae].of_latent(shade.index) for capture in captures]
        largest = max(peak(value, capture.tokens) for value, capture in zip(values, captures, strict=True))
        scale = Scale(str(shade), largest, "largest in both, read by the plain model")
        shades = [
            value[len(capture.tokens) - len(written.ids) :]
            for value, capture, written in zip(values, captures, (found.plain, found.steered), strict=True)
        ]
    plain = _written("Plain", found.plain, None, found.plain_score, shades[0], was_stopped)
    steered = _written("Steered", found.steered, found.steered_score, found.steered_score, shades[1], was_stopped)
    return plain, steered, scale


def _written(
    title: str, written: Written, measured: TextScore | None, score: TextScore, shade: np.ndarray | None, was_stopped: bool
) -> WrittenText:
    tokens = tuple(
        WrittenToken(
            text=text,
            shade=0.0 if shade is None else float(shade[i]),
            kl=None if measured is None else measured.tokens[i].kl,
            difference=None if measured is None else measured.tokens[i].logprob - measured.tokens[i].plain_logprob,
            special=False,
        )
        for i, text in enumerate(written.texts)
    )
    repeated = repeated_ngrams(written.ids)
    note = f"perplexity {figure(score.perplexity, 1)} under the plain model · repeated 4-grams {share(repeated)}"
    ended = "" if written.ended else "stopped" if was_stopped else ""
    return WrittenText(title, note, tokens, ended)


def edited_tokens(tokens: TokenizedPrompt, place: Where | TokenSpan) -> tuple[list[TokenCell], Scale]:
    """The prompt's tokens, those that are edited shaded. Special tokens can be edited too, so they are drawn like the others."""
    cells = [TokenCell(text, float(isinstance(place, TokenSpan) and i in place), (), False) for i, text in enumerate(tokens.texts)]
    return cells, Scale("Click the token to edit from; for a span, its first token, then its last. Edited:", 1.0, "edited")


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "not known" if value is None else f"{value:.0%}"


def candidates(edited: Sequence[NextToken], plain: Sequence[NextToken]) -> list[dict[str, Any]]:
    """Most likely next tokens of both models, rank by rank."""
    return [
        {"steered": repr(a.text), "p steered": np.exp(a.logprob), "plain": repr(b.text), "p plain": np.exp(b.logprob)}
        for a, b in zip(edited, plain, strict=True)
    ]


FIGURES = {
    "KL per token, nats": lambda point: point.kl,
    "share that matches the rule": lambda point: point.matched,
    "log-probability of the word, nats": lambda point: None if point.word_logprob is None else Estimate(point.word_logprob, None, 1),
    "perplexity under the plain model": lambda point: point.perplexity,
    "share of repeated 4-grams": lambda point: point.repeated,
}
"""What a dose response draws, by the name of its axis."""


def curve_points(points: Sequence[Point], name: str) -> dict[str, list[DosePoint]]:
    """One of FIGURES by curve; points without it are left out."""
    drawn: dict[str, list[DosePoint]] = {}
    for point in points:
        estimate = FIGURES[name](point)
        if estimate is not None:
            low, high = estimate.interval or (estimate.mean, estimate.mean)
            drawn.setdefault(point.curve, []).append(DosePoint(point.factor, estimate.mean, low, high, estimate.n))
    return drawn
