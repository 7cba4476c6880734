"""One latent's facts and contexts as plain data of components. Pure functions."""

from collections.abc import Sequence
from typing import Any

from components.data import ExampleRow, Histogram
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.index.contexts import Context
from dashboard.analysis.index.facts import N_BINS, ExampleAt, Interval, LatentFacts, bin_of
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import SaeSpec
from dashboard.ui.parts.figures import figure, grouped, percent
from dashboard.ui.parts.latent_rows import _cells


def activation_bins(facts: LatentFacts) -> Histogram:
    """Activations above 0."""
    return Histogram("activation where it fires", 0.0, facts.maximum, facts.histogram, "tokens", False)


def logit_bins(facts: LatentFacts) -> Histogram:
    """What one unit of the direction adds to every logit."""
    return Histogram("effect on logits", facts.logit_low, facts.logit_high, facts.logit_histogram, "tokens of the vocabulary", True)


def test_rows(latent: LatentId, tests: Sequence[Capture]) -> list[ExampleRow]:
    """What a latent does on texts entered by the user; the token chosen is the strongest ordinary one."""
    rows: list[ExampleRow] = []
    for place, capture in enumerate(tests):
        values, tokens = capture.activations[latent.sae].of_latent(latent.index), capture.tokens
        anchor = max(tokens.ordinary, key=lambda i: values[i], default=0)
        n = sum(values[i] > 0 for i in tokens.ordinary)
        note = f"your text; the latent fires on {n} of {len(tokens.ordinary)} tokens"
        cells = _cells(tokens.texts, values.tolist(), tokens.special)
        rows.append(ExampleRow(str(place), note, anchor, float(values[anchor]), "", cells, False, False, ""))
    return rows


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
