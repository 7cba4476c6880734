"""One latent of a flow on one token of a text, without the latents that lead into it.

Each predecessor that fires on the token is removed there at its own site (r = 0), alone and then all together, the rest of the
model is run, and the latent is read again on that token.

Source: Laptev et al. 2025, arXiv:2502.03032v3, deactivation of predecessors. Differs from it: the predecessors are those that the
graph shows, so its thresholds decide which they are.
"""

from dataclasses import dataclass

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.chosen_tokens import Rescale, RescaleAsk
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.methods.flow.results import FlowEdge, FlowGraph
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import Prompt


@dataclass(frozen=True)
class Without:
    """What is left of a latent on a token."""

    latent: LatentId
    token: str
    before: float
    """Its activation with nothing removed."""
    each: tuple[tuple[FlowEdge, float], ...]
    """Links from predecessors that fire on the token, strongest cosine first, and its activation without that one."""
    together: float | None
    """Its activation without all of these; None where none fires."""
    silent: tuple[LatentId, ...]
    """Predecessors that do not fire on the token: nothing of theirs can be removed."""


def without_predecessors(runner: Runner, graph: FlowGraph, latent: LatentId, prompt: Prompt, position: int) -> Without:
    """Read a latent of the graph on a token of a text without its predecessors. Two passes of the model.

    Raises:
        BadAsk: if the position is not in the text.
        EmptyPrompt, PromptTooLong: if the text cannot be read.
    """
    links = sorted(graph.into(latent), key=lambda link: -link.cosine)
    saes = tuple(dict.fromkeys(name.sae for name in (latent, *(link.source for link in links))))
    capture = runner.ask(CaptureAsk(prompt, saes))
    ask = RescaleAsk(capture.tokens.ids, position, (Rescale((), 1.0),), (latent,))  # refuses a position that is not there

    def fires(name: LatentId) -> bool:
        return bool(capture.activations[name.sae].of_latent(name.index)[position] > 0)

    active = [link for link in links if fires(link.source)]
    groups = [(link.source,) for link in active] + ([tuple(link.source for link in active)] if active else [])
    if groups:
        ask = RescaleAsk(ask.row, position, tuple(Rescale(group, 0.0) for group in groups), (latent,))
    found = runner.ask(ask)
    values = [float(value) for value in found.values[:, 0]]
    return Without(
        latent,
        capture.tokens.texts[position],
        float(found.plain[0]),
        tuple(zip(active, values, strict=False)),
        values[-1] if active else None,
        tuple(link.source for link in links if link not in active),
    )
