"""One latent's facts and contexts as plain data of components. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.data import ExampleRow, Histogram, LatentRow, Scale, TokenCell, TokenWeight
from dashboard.analysis.facts import N_BINS, ExampleAt, Interval, LatentFacts, TokenLogit, bin_of
from dashboard.analysis.methods.contexts import Context
from dashboard.analysis.methods.latent import Frequency
from dashboard.analysis.names import LatentId
from dashboard.analysis.results import Capture
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.ui.present import figure, peak

NEAR_NOTE = "did not fire: this is the activation's argument, which did not pass the threshold"


def grouped(n: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\u2009")


def percent(share: float) -> str:
    """A share in per cent, to two significant digits below 10."""
    value = 100 * share
    return "0 %" if value == 0 else f"{value:.0f} %" if value >= 10 else f"{value:.2g} %" if value >= 1e-3 else f"{value:.0e} %"


def density(found: Frequency) -> tuple[str, str]:
    """How often a latent fires, with its interval; and what was counted."""
    if found.n == 0:
        return "not known", "no token was counted"
    low, high = (f"{100 * end:.3g}" for end in (found.low, found.high))
    return f"{100 * found.share:.3g} % [{low}, {high}]", f"{grouped(found.n_fired)} of {grouped(found.n)} tokens"


def activation_bins(facts: LatentFacts) -> Histogram:
    """Activations above 0."""
    return Histogram("activation where it fires", 0.0, facts.maximum, facts.histogram, "tokens", False)


def logit_bins(facts: LatentFacts) -> Histogram:
    """What one unit of the direction adds to every logit."""
    return Histogram("effect on logits", facts.logit_low, facts.logit_high, facts.logit_histogram, "tokens of the vocabulary", True)


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


def test_rows(latent: LatentId, tests: Sequence[Capture]) -> list[ExampleRow]:
    """What a latent does on texts that people wrote; the token chosen is the strongest ordinary one."""
    rows: list[ExampleRow] = []
    for place, capture in enumerate(tests):
        values, tokens = capture.activations[latent.sae].of_latent(latent.index), capture.tokens
        anchor = max(tokens.ordinary, key=lambda i: values[i], default=0)
        n = sum(values[i] > 0 for i in tokens.ordinary)
        note = f"your text; the latent fires on {n} of {len(tokens.ordinary)} tokens"
        cells = _cells(tokens.texts, values.tolist(), tokens.special)
        rows.append(ExampleRow(str(place), note, anchor, float(values[anchor]), "", cells, False, False, ""))
    return rows


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


def as_text(context: Context) -> str:
    """What a context says, without its special tokens."""
    return "".join(text for text, special in zip(context.texts, context.special, strict=True) if not special).strip()


def interval_caption(part: Interval, facts: LatentFacts) -> str:
    """How much of the latent's firing lies in an interval."""
    return f"{percent(part.n / facts.n_fired)} of its activations ({grouped(part.n)})"


def bin_range(facts: LatentFacts, chosen: int) -> tuple[float, float]:
    """The edges of a bin of the activation histogram."""
    return facts.maximum * chosen / N_BINS, facts.maximum * (chosen + 1) / N_BINS


def in_bin(examples: Sequence[ExampleAt], facts: LatentFacts, chosen: int | None) -> tuple[ExampleAt, ...]:
    """The examples of one bin; all of them without a choice."""
    return tuple(one for one in examples if chosen is None or bin_of(one.value, facts.maximum) == chosen)


def record_table(spec: SaeSpec) -> list[tuple[str, str]]:
    """What is known of an SAE, a name and a figure each; what is not known says so."""
    training: dict[str, Any] = spec.record.get("training", {})
    seen, widths = training.get("tokens_seen"), training.get("matryoshka_widths") or []
    return [
        ("Name", str(spec.id)),
        ("Kind", spec.kind + (f", nested widths {', '.join(map(str, widths))}" if widths else "")),
        ("Site", str(spec.site)),
        ("Latents", f"{grouped(spec.n_latents)} over {spec.d_in} dimensions"),
        ("L0", figure(spec.measured("l0"), 1)),
        ("FVU", figure(spec.measured("fvu"), 3)),
        ("CE recovered", figure(spec.measured("ce_recovered"), 3)),
        ("Dead", "not known" if spec.measured("dead_share") is None else percent(spec.measured("dead_share") or 0.0)),
        ("Decoder cosine", figure(spec.measured("decoder_cosine"), 3)),
        ("Trained on", "not known" if seen is None else f"{grouped(int(seen))} tokens"),
    ]


def _test_peak(latent: LatentId, capture: Capture) -> float:
    return peak(capture.activations[latent.sae].of_latent(latent.index), capture.tokens)


def _cells(texts: Sequence[str], values: Sequence[float], special: Sequence[bool]) -> tuple[TokenCell, ...]:
    return tuple(TokenCell(*cell) for cell in zip(texts, values, ((),) * len(texts), special, strict=True))
