"""Readings through a lens as plain data of components. Pure functions."""

import csv
import io
from collections.abc import Sequence

from components.data import GridColumn, GridRow, LensCurve
from dashboard.analysis.asks.lens import DirectionLens, Lens, LensKind
from dashboard.analysis.lenses.file import Check, LayerCheck, LensRecord, Measured
from dashboard.ui.highlight.present import token_label
from dashboard.ui.parts.figures import grouped

NAMES = {LensKind.LOGIT: "Logit lens", LensKind.JACOBIAN: "Jacobian lens"}


def text_grid(lens: Lens) -> tuple[list[GridColumn], list[GridRow]]:
    """A column a token, a row a layer, the last first: the likeliest word, shaded by its probability, bold where it is the model's own."""
    tokens, n_read = lens.tokens, lens.ids.shape[1]
    positions = range(lens.first, lens.first + n_read)
    columns = [GridColumn(tokens.texts[i], token_label(tokens, i), tokens.special[i], i) for i in positions]
    rows: list[GridRow] = []
    for layer in reversed(range(len(lens.ids))):
        words = [[lens.texts[int(token)] for token in lens.ids[layer, place]] for place in range(n_read)]
        rows.append(
            GridRow(
                str(layer),
                tuple(likeliest for likeliest, *_ in words),
                tuple(float(share) for share in lens.shares[layer, :, 0]),
                tuple(_note(words[place], lens, layer, place) for place in range(n_read)),
                tuple(bool(agrees) for agrees in lens.agrees[layer]),
            )
        )
    return columns, rows


def _note(words: Sequence[str], lens: Lens, layer: int, place: int) -> str:
    listed = [f"{100 * share:5.1f} %  {word!r}" for word, share in zip(words, lens.shares[layer, place], strict=True)]
    return "\n".join([*listed, f"KL from the model's prediction {lens.kl[layer, place]:.2f} nats"])


def direction_grid(lens: DirectionLens) -> tuple[list[GridColumn], list[GridRow]]:
    """A row a layer, the last first: the words that a direction makes likelier, then those that it makes less likely.

    Shaded by the effect, every layer on its own scale.
    """
    top = lens.likelier.shape[1]
    columns = [GridColumn(f"{'likelier' if up else 'less likely'} {i + 1}", _EFFECT) for up in (True, False) for i in range(top)]
    rows: list[GridRow] = []
    for i in reversed(range(len(lens.layers))):
        ids, effects = [*lens.likelier[i], *lens.less_likely[i]], [*lens.gains[i], *lens.losses[i]]
        words = tuple(lens.texts[int(token)] for token in ids)
        notes = tuple(f"{word!r}\n{effect:+.4f} logits per unit" for word, effect in zip(words, effects, strict=True))
        largest = max(abs(effect) for effect in effects) or 1.0
        shares = tuple(float(effect / largest) for effect in effects)
        rows.append(GridRow(str(lens.layers[i]), words, shares, notes, (False,) * len(words)))
    return columns, rows


_EFFECT = (
    "Words by what one unit of the direction adds to their logits beyond the mean of all words, "
    "without the final norm's division by the residual's size."
)


def agreement_curves(check: Check, kl: bool) -> list[LensCurve]:
    """Both lenses by layer with what chance gives: the same reading of another token, and one constant guess."""
    layers = tuple(one.layer for one in check.logit)
    lines = (
        ("Jacobian lens", check.jacobian, 1, False),
        ("logit lens", check.logit, 0, False),
        ("Jacobian, another token", check.jacobian, 1, True),
        ("logit, another token", check.logit, 0, True),
    )
    curves = [_curve(name, layers, [_value(one, kl, null) for one in values], colour, null) for name, values, colour, null in lines]
    if not kl:
        curves.append(_curve("one constant word", layers, [check.most_frequent] * len(layers), 4, True))
    return curves


def _value(one: LayerCheck, kl: bool, null: bool) -> Measured:
    if kl:
        return one.kl_elsewhere if null else one.kl
    return one.agreement_elsewhere if null else one.agreement


def _curve(label: str, layers: tuple[int, ...], values: Sequence[Measured], colour: int, null: bool) -> LensCurve:
    means, lows, highs = (tuple(getattr(one, name) for one in values) for name in ("mean", "low", "high"))
    return LensCurve(label, layers, means, lows, highs, colour, null)


def how_fitted(record: LensRecord) -> str:
    """One sentence on where a Jacobian lens is from."""
    return (
        f"Fitted on {grouped(len(record.documents))} documents of {record.corpus}, {record.n_tokens} tokens of each, "
        f"in {record.dtype}, with TransformerLens {record.libraries.get('transformer-lens', 'of a version that is not known')}."
    )


def how_checked(check: Check) -> str:
    """What the agreement is of."""
    return (
        f"{grouped(check.n_tokens)} tokens of {grouped(check.n_texts)} held-out documents of the same corpus. "
        "Bands are 95 % intervals (bootstrap over documents)."
    )


def near_layer(check: Check, kind: LensKind, layer: int) -> str:
    """How far one layer's reading can be trusted, beside the other lens and chance."""
    own, other = (check.jacobian, check.logit) if kind is LensKind.JACOBIAN else (check.logit, check.jacobian)
    said = NAMES[LensKind.LOGIT if kind is LensKind.JACOBIAN else LensKind.JACOBIAN].lower()
    mine = own[layer]
    return (
        f"On held-out text this lens names the model's next word at layer {layer} on {_percent(mine.agreement)} of tokens "
        f"({said} {_percent(other[layer].agreement)}, at another token {_percent(mine.agreement_elsewhere)}, "
        f"always the most frequent word {_percent(check.most_frequent)}); KL {mine.kl.mean:.2f} nats ({said} {other[layer].kl.mean:.2f})."
    )


def _percent(found: Measured) -> str:
    return f"{100 * found.mean:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def check_csv(check: Check) -> str:
    """Layer, lens, and every figure with its interval, as comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = ("agreement", "kl", "agreement_elsewhere", "kl_elsewhere")
    writer.writerow(["layer", "lens", *(f"{name}_{end}" for name in names for end in ("mean", "low", "high"))])
    for lens, layers in (("logit", check.logit), ("jacobian", check.jacobian)):
        for one in layers:
            figures = [getattr(getattr(one, name), end) for name in names for end in ("mean", "low", "high")]
            writer.writerow([one.layer, lens, *(f"{figure:.6g}" for figure in figures)])
    return buffer.getvalue()
