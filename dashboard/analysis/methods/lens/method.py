"""What the model is disposed to say after each token of a text, and what a latent's direction says by itself, as plain data.

Steps: (1) read every layer of the text through one lens; (2) of a latent, read its direction through the same lens at its
own layer and at each later one. A lens does not say what the model computes: it says what a layer's stream would be taken
for if the model ended there. How far that can be trusted is in `check`, measured on text that the lens was not fitted on.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from dashboard.analysis.asks.lens import DirectionLens, DirectionLensAsk, Lens, LensAsk, LensRecordAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.lenses.file import LensRecord
from dashboard.analysis.names import LatentId


def window(n_tokens: int, position: int | None, most: int) -> int:
    """Where a part of `most` tokens begins that has a position in its middle, as far as there are tokens on both sides."""
    return max(0, min((position or 0) - most // 2, n_tokens - most))


def report(runner: Runner, ask: LensAsk, latent: LatentId | None = None) -> dict[str, Any]:
    """The `latents lens` answer: every token with each layer's likeliest words, and how well both lenses predict."""
    answer: dict[str, Any] = {"model": str(runner.describe().model), "lens": ask.kind.value, **_text(runner.ask(ask))}
    if latent is not None:
        answer["direction"] = {"latent": str(latent), **_direction(runner.ask(DirectionLensAsk(latent, ask.kind, ask.top)))}
    record = runner.ask(LensRecordAsk())
    return answer | {"fit": None if record is None else _fit(record)}


def _text(lens: Lens) -> dict[str, Any]:
    tokens: list[dict[str, Any]] = []
    for place in range(lens.ids.shape[1]):
        position = lens.first + place
        layers = [
            {
                "layer": layer,
                "words": _words(lens.ids[layer, place], lens.shares[layer, place], "probability", lens.texts),
                "agrees": bool(lens.agrees[layer, place]),
                "kl": float(lens.kl[layer, place]),
            }
            for layer in range(len(lens.ids))
        ]
        of_token = {"text": lens.tokens.texts[position], "id": lens.tokens.ids[position], "special": lens.tokens.special[position]}
        tokens.append({"position": position, **of_token, "layers": layers})
    return {"tokens": tokens}


def _direction(lens: DirectionLens) -> dict[str, Any]:
    layers = [
        {
            "layer": layer,
            "likelier": _words(lens.likelier[i], lens.gains[i], "effect", lens.texts),
            "less_likely": _words(lens.less_likely[i], lens.losses[i], "effect", lens.texts),
        }
        for i, layer in enumerate(lens.layers)
    ]
    return {"layers": layers}


def _words(ids: np.ndarray, values: np.ndarray, name: str, texts: dict[int, str]) -> list[dict[str, Any]]:
    return [{"id": int(one), "text": texts[int(one)], name: float(value)} for one, value in zip(ids, values, strict=True)]


def _fit(record: LensRecord) -> dict[str, Any]:
    made = {"corpus": record.corpus, "n_texts": len(record.documents), "n_tokens": record.n_tokens, "created": record.created}
    return {**made, "check": None if record.check is None else asdict(record.check)}
