"""Results of the core as plain data of components. Pure functions."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from components.data import Lane, MapRow, Scale, TokenCell
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.methods.highlight.method import LayerRow
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import TokenizedPrompt
from dashboard.ui.parts.figures import peak


def strip(capture: Capture, latent: LatentId | None, pins: Sequence[LatentId]) -> tuple[list[TokenCell], Scale, list[Lane]]:
    """The token strip of a capture: shaded by `latent`, underlined by `pins`."""
    tokens = capture.tokens
    shade = _values(capture, latent) if latent else np.zeros(len(tokens), dtype=np.float32)
    lanes = [_values(capture, pin) for pin in pins]
    cells = [
        TokenCell(text, float(shade[i]), tuple(float(lane[i]) for lane in lanes), special)
        for i, (text, special) in enumerate(zip(tokens.texts, tokens.special, strict=True))
    ]
    label = str(latent) if latent else "No latent of this SAE fires on these tokens"
    scale = Scale(label, peak(shade, tokens), "largest here")
    return cells, scale, [Lane(str(pin), str(pin), peak(lane, tokens)) for pin, lane in zip(pins, lanes, strict=True)]


def map_rows(rows: Sequence[LayerRow], tokens: TokenizedPrompt, chosen: SaeId) -> list[MapRow]:
    """A layer x token map, deepest layer first, each line on its own scale."""
    drawn: list[MapRow] = []
    for row in reversed(rows):
        sae_name = row.sae.name
        label = sae_name if row.latent is None else f"{sae_name}/{row.latent.index}"
        note = "number of latents that fire" if row.cosine is None else f"cosine {row.cosine:.2f} with the chosen latent"
        if row.cosine is not None and row.cosine < 1.0:
            label += f"  cos {row.cosine:.2f}"
        key = f"{row.sae} {row.latent or ''}".strip()
        values = tuple(float(v) for v in row.values)
        drawn.append(MapRow(key, label, note, values, peak(row.values, tokens), 0 if row.cosine is None else 2, row.sae == chosen))
    return drawn


def where_it_fires(capture: Capture, latent: LatentId, most: int = 3) -> str:
    """One sentence on a latent in this text: how often it fires, and where most."""
    tokens, values = capture.tokens, _values(capture, latent)
    firing = sorted((i for i in tokens.ordinary if values[i] > 0), key=lambda i: -values[i])
    count = f"Latent {latent} fires on {len(firing)} of {len(tokens.ordinary)} tokens of this text"
    if not firing:
        return f"{count}."
    # A token that only continues a character has no text of its own to name it by.
    named = [f"“{tokens.texts[i].strip() or repr(tokens.texts[i])}” ({values[i]:.2f})" for i in firing if tokens.texts[i]][:most]
    return f"{count}, most on {', '.join(named)}." if named else f"{count}."


def token_label(tokens: TokenizedPrompt, position: int) -> str:
    """A token as a title: its text in quotes, its place and id."""
    text = repr(tokens.texts[position])
    if not tokens.texts[position]:
        text = f"continues {next(t for t in reversed(tokens.texts[:position]) if t)!r}"
    return f"{text}, position {position} of {len(tokens)}, id {tokens.ids[position]}"


def as_csv(capture: Capture, latents: Sequence[LatentId]) -> str:
    """Position, id, text, special, and one column a latent, as comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["position", "id", "text", "special", *map(str, latents)])
    columns = [_values(capture, latent) for latent in latents]
    tokens = capture.tokens
    for i, (token, text, special) in enumerate(zip(tokens.ids, tokens.texts, tokens.special, strict=True)):
        writer.writerow([i, token, _inert(text), int(special), *(f"{column[i]:.6g}" for column in columns)])
    return buffer.getvalue()


def _inert(text: str) -> str:
    """A cell that a spreadsheet will not take for a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _values(capture: Capture, latent: LatentId) -> np.ndarray:
    return capture.activations[latent.sae].of_latent(latent.index)
