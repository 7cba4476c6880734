"""Rows of a list of latents."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from components.data import ExampleRow, LatentRow, Scale, TokenCell, TokenWeight
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.index.contexts import Context
from dashboard.analysis.index.facts import LatentFacts, TokenLogit
from dashboard.analysis.methods.highlight.method import FiringLatent
from dashboard.analysis.names import LatentId
from dashboard.ui.parts.figures import grouped, peak
from dashboard.ui.shell import address


def latent_rows(
    firing: Sequence[FiringLatent], shown: LatentId | None, pins: Sequence[LatentId], named: Callable[[LatentId], str]
) -> list[LatentRow]:
    """What fires on a token, bars relative to the strongest of the list. `named` gives each its label."""
    largest = max((f.value for f in firing), default=0.0)
    return [
        LatentRow(
            key=str(f.latent),
            label=str(f.latent.index),
            value=f.value,
            share=f.value / largest if largest > 0 else 0.0,
            note=f"fires on {f.n_tokens} ordinary tokens of this prompt, up to {f.peak:.2f}",
            pinned=f.latent in pins,
            shown=f.latent == shown,
            detail=named(f.latent),
            href=latent_link(f.latent),
        )
        for f in firing
    ]


def latent_link(latent: LatentId) -> str:
    """The address of a latent's own page, seen from any other page."""
    model = "".join(f"&{key}={quote(value)}" for key, values in address.named().items() for value in values)
    return f"latent?latent={quote(str(latent))}{model}"


NEAR_NOTE = "did not fire: this is the pre-activation, which did not pass the threshold"


def weights(tokens: Sequence[TokenLogit], texts: Mapping[int, str]) -> list[TokenWeight]:
    """Tokens with what the direction does to them."""
    return [TokenWeight(texts[token.token_id], token.logit) for token in tokens]


def related_rows(
    related: Sequence[tuple[LatentId, float]], here: LatentId, named: Callable[[LatentId], str], measure: str
) -> list[LatentRow]:
    """Latents with how near they are, 0 to 1; those of the same SAE by their index alone."""
    return [
        LatentRow(
            key=str(latent),
            label=str(latent.index) if latent.sae == here.sae else f"{latent.sae.name}/{latent.index}",
            value=value,
            share=max(0.0, min(1.0, value)),
            note=f"{latent}, {measure} {value:.4f}. {named(latent)}".strip(),
            pinned=False,
            shown=False,
            detail=named(latent),
        )
        for latent, value in related
    ]


def scale_of(latent: LatentId, facts: LatentFacts | None, tests: Sequence[Capture]) -> Scale:
    """One scale for all texts of the page: up to the latent's maximum in the index, or in the tests where it has none."""
    if facts is not None and not facts.is_dead:
        return Scale(str(latent), facts.maximum, f"its largest on {grouped(facts.head.n_tokens)} tokens")
    return Scale(str(latent), max((_test_peak(latent, capture) for capture in tests), default=0.0), "largest in the tests")


def example_rows(contexts: Sequence[Context], *, near: bool = False) -> list[ExampleRow]:
    """Contexts as rows; of a near miss the value is not what the shade means."""
    return [
        ExampleRow(
            key=str(context.spot.example.position),
            note=f"{context.kind}; example at token {grouped(context.spot.example.position)} of the corpus",
            anchor=context.anchor,
            value=context.spot.example.value,
            value_note=NEAR_NOTE if near else "",
            tokens=_cells(context.texts, context.values.tolist(), context.special),
            before=context.before,
            after=context.after,
            more=f"+{len(context.spot.folded)} more here" if context.spot.folded else "",
        )
        for context in contexts
    ]


def _test_peak(latent: LatentId, capture: Capture) -> float:
    return peak(capture.activations[latent.sae].of_latent(latent.index), capture.tokens)


def _cells(texts: Sequence[str], values: Sequence[float], special: Sequence[bool]) -> tuple[TokenCell, ...]:
    return tuple(TokenCell(*cell) for cell in zip(texts, values, ((),) * len(texts), special, strict=True))


MAX_PINS = 3
