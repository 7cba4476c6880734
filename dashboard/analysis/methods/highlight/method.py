"""Tokens that light up: what one SAE reads in a prompt, token by token and layer by layer.

Steps: (1) capture every SAE of the release in one forward pass; (2) for a token, list what fires, strongest first;
(3) for a latent, take its activation on every token, and the same of its nearest relatives (decoder cosine) in the
other layers, or the number of active latents when no latent is chosen. It does not say what a latent means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from dashboard.analysis.asks.capture import Capture, CaptureAsk, LatentActivations
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import NeighbourAsk
from dashboard.analysis.errors import NotUsable
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


@dataclass(frozen=True)
class FiringLatent:
    """A latent that fires on a token."""

    latent: LatentId
    value: float
    """Its activation there."""
    peak: float
    """Its largest activation on the ordinary tokens of the prompt; at least `value` unless the token is special."""
    n_tokens: int
    """On how many ordinary tokens of the prompt it fires."""


@dataclass(frozen=True)
class LayerRow:
    """One row of a layer x token map."""

    sae: SaeId
    latent: LatentId | None
    """The relative shown in this row; None when the row counts active latents."""
    cosine: float | None
    """Of its decoder row with the chosen latent's; 1 for the latent itself."""
    values: Float32[np.ndarray, " tokens"]


def capture_readable(
    capture: Callable[[CaptureAsk], Capture], prompt: Prompt, saes: Sequence[SaeId]
) -> tuple[Capture, dict[SaeId, NotUsable]]:
    """A capture of all SAEs that can be used, in one pass if they all can, and the refusals of the others.

    `capture` is a Runner's, or a wrapper that shows the waiting.

    Raises:
        NotUsable: if none can.
    """
    try:
        return capture(CaptureAsk(prompt, tuple(saes))), {}
    except NotUsable:
        pass
    captures: list[Capture] = []
    refused: dict[SaeId, NotUsable] = {}
    for sae in saes:
        try:
            captures.append(capture(CaptureAsk(prompt, (sae,))))
        except NotUsable as error:
            refused[sae] = error
    if not captures:
        raise next(iter(refused.values()))
    activations = {sae: found for one in captures for sae, found in one.activations.items()}
    fidelity = {sae: found for one in captures for sae, found in one.fidelity.items()}
    return Capture(captures[0].tokens, activations, fidelity), refused


def strongest_latent(activations: LatentActivations, tokens: TokenizedPrompt) -> int | None:
    """The latent with the largest activation on an ordinary token; None if none fires there."""
    ordinary = ~np.array(tokens.special)[activations.position]
    if not ordinary.any():
        return None
    return int(activations.latent[ordinary][np.argmax(activations.value[ordinary])])


def strongest(activations: LatentActivations, tokens: TokenizedPrompt, top: int) -> list[FiringLatent]:
    """The latents with the largest activation on an ordinary token, strongest first."""
    ordinary = ~np.array(tokens.special)[activations.position]
    latents, values, positions = activations.latent[ordinary], activations.value[ordinary], activations.position[ordinary]
    found: list[FiringLatent] = []
    for place in np.argsort(-values, kind="stable"):
        latent = int(latents[place])
        if latent not in {one.latent.index for one in found}:
            n_tokens = len({*positions[latents == latent].tolist()})
            found.append(FiringLatent(LatentId(activations.sae, latent), float(values[place]), float(values[place]), n_tokens))
        if len(found) == top:
            break
    return found


def firing_on(activations: LatentActivations, tokens: TokenizedPrompt, position: int) -> list[FiringLatent]:
    """Everything that fires on one token, strongest first."""
    ordinary = list(tokens.ordinary)
    found: list[FiringLatent] = []
    for latent, value in activations.at_position(position):
        everywhere = activations.of_latent(latent)[ordinary]
        peak = float(everywhere.max(initial=0.0))
        found.append(FiringLatent(LatentId(activations.sae, latent), value, peak, int((everywhere > 0).sum())))
    return found


def layer_counts(capture: Capture, saes: Sequence[SaeId]) -> tuple[LayerRow, ...]:
    """How many latents fire on each token, one row an SAE."""
    return tuple(LayerRow(sae, None, None, capture.activations[sae].counts().astype(np.float32)) for sae in saes)


def layer_relatives(runner: Runner, capture: Capture, latent: LatentId, saes: Sequence[SaeId]) -> tuple[LayerRow, ...]:
    """A latent's activation on each token in its own row, its nearest relative's in every other SAE's row."""
    others = tuple(sae for sae in saes if sae != latent.sae)
    nearest = {n.latent.sae: n for n in runner.ask(NeighbourAsk(latent, others))} if others else {}
    rows: list[LayerRow] = []
    for sae in saes:
        shown, cosine = (latent, 1.0) if sae == latent.sae else (nearest[sae].latent, nearest[sae].cosine)
        rows.append(LayerRow(sae, shown, cosine, capture.activations[sae].of_latent(shown.index)))
    return tuple(rows)


def report(runner: Runner, prompt: Prompt, sae: SaeId, top: int, only: int | None = None) -> dict[str, object]:
    """The `latents highlight` answer as plain data: every token with its strongest latents, and the SAE's fidelity.

    `only` keeps one latent instead of the strongest `top`.
    """
    capture = runner.ask(CaptureAsk(prompt, (sae,), fidelity=True))
    activations, fidelity, tokens = capture.activations[sae], capture.fidelity[sae], capture.tokens
    listed: list[dict[str, object]] = []
    for position, (text, token, special) in enumerate(zip(tokens.texts, tokens.ids, tokens.special, strict=True)):
        firing = activations.at_position(position)
        chosen = [pair for pair in firing if pair[0] == only] if only is not None else firing[:top]
        latents = [{"latent": latent, "value": value} for latent, value in chosen]
        listed.append({"text": text, "id": token, "special": special, "latents": latents})
    return {
        "model": str(runner.describe().model),
        "sae": str(sae),
        "tokens": listed,
        "l0": fidelity.l0,
        "fvu": fidelity.fvu,
        "ce_recovered": fidelity.ce_recovered,
    }
