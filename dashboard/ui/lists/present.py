"""A list of latents as plain data of components. Pure functions."""

from collections.abc import Mapping, Sequence

import numpy as np

from components.data import Column, ListedRow
from dashboard.analysis.asks.capture import Capture
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.index.file import LatentIndex
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry, Note
from dashboard.ui.parts.figures import DENSITY, UNKNOWN, short_percent
from dashboard.ui.parts.latent_rows import latent_link

ON_TEXT = (
    Column("max here", "Largest activation on an ordinary token of the text."),
    Column("of its max", "Largest activation here / the largest in the corpus. Above 100 %: this text outdoes the corpus."),
)


def columns(has_text: bool) -> tuple[Column, ...]:
    """What the figures of a row are."""
    return (*(ON_TEXT if has_text else ()), DENSITY)


def rows(
    latents: LatentList,
    entries: Sequence[ListEntry],
    capture: Capture | None,
    indexes: Mapping[SaeId, LatentIndex],
    missing: Mapping[LatentId, AnalysisError],
    notes: Mapping[LatentId, Note],
    *,
    is_common: bool,
) -> list[ListedRow]:
    """Some entries of a list; `missing` says why a latent cannot be read, `is_common` shades all rows on one scale."""
    one_release = len({entry.latent.sae.release for entry in latents.entries}) <= 1
    values = {entry.latent: _values(entry.latent, capture) for entry in entries if entry.latent not in missing}
    common = max((float(found.max(initial=0.0)) for found in values.values()), default=0.0)
    places = {entry.latent: place for place, entry in enumerate(latents.entries)}
    drawn: list[ListedRow] = []
    for entry in entries:
        latent, place = entry.latent, places[entry.latent]
        name = f"{latent.sae.name}/{latent.index}" if one_release else str(latent)
        error = missing.get(latent)
        index = None if error else indexes.get(latent.sae)
        note = notes.get(latent, Note())
        automatic = index.labels[latent.index] if index else ""
        found = values.get(latent, np.zeros(0, dtype=np.float32))
        peak = float(found.max(initial=0.0))
        maximum, maximum_of = (common, "largest of these rows") if is_common else _full_shade(latent, index, peak)
        drawn.append(
            ListedRow(
                key=str(latent),
                href="" if error else latent_link(latent),
                name=name,
                label=str(error) if error else note.label or automatic,
                own=bool(note.label) and not error,
                note=entry.note,
                figures=_figures(latent, index, peak if capture and not error else None, has_text=capture is not None),
                peak=int(found.argmax()) if peak > 0 else -1,
                positions=tuple(np.flatnonzero(found).tolist()),
                values=tuple(float(value) for value in found[found > 0]),
                maximum=maximum,
                maximum_of=maximum_of,
                place=place,
                is_last=place == len(latents.entries) - 1,
            )
        )
    return drawn


def _values(latent: LatentId, capture: Capture | None) -> np.ndarray:
    """Activations on the ordinary tokens, 0 on special ones."""
    if capture is None or latent.sae not in capture.activations:
        return np.zeros(0, dtype=np.float32)
    found = capture.activations[latent.sae].of_latent(latent.index)
    found[np.array(capture.tokens.special, dtype=bool)] = 0.0
    return found


def _full_shade(latent: LatentId, index: LatentIndex | None, peak: float) -> tuple[float, str]:
    if index is None or index.n_fired[latent.index] == 0:
        return peak, "largest here"
    return float(index.maximum[latent.index]), "its largest in the corpus"


def _figures(latent: LatentId, index: LatentIndex | None, peak: float | None, *, has_text: bool) -> tuple[str, ...]:
    share, density = UNKNOWN, UNKNOWN
    if index is not None:
        density = short_percent(float(index.n_fired[latent.index]) / index.n_tokens if index.n_tokens else None)
        if peak is not None and index.n_fired[latent.index]:
            share = f"{100 * peak / float(index.maximum[latent.index]):.0f} %"
    on_text = (UNKNOWN if peak is None else f"{peak:.2f}", share)
    return (*(on_text if has_text else ()), density)
