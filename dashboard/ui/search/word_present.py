"""A search by word as plain data of components. Pure functions."""

from collections.abc import Collection, Mapping, Sequence

from components.data import Column, ListedRow
from dashboard.analysis.index.file import LatentIndex
from dashboard.analysis.methods.search.by_word import WordAnswer, WordHit
from dashboard.analysis.methods.search.word_scores import Found
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import Note
from dashboard.ui.parts.figures import DENSITY, UNKNOWN, grouped, short_percent
from dashboard.ui.parts.latent_rows import latent_link

_SAID = {
    Found.OWN_LABEL: "your label",
    Found.NOTE: "your note",
    Found.LABEL: "label",
    Found.EXAMPLES: "examples",
    Found.PROMOTED: "promoted tokens",
    Found.MEANING: "meaning",
}
_SCORE = Column(
    "score", "Exact: above 1 for a whole word, up to 1 for a part. By meaning: a sum of likenesses. Comparable within one search."
)
COLUMNS = (_SCORE, DENSITY)


def rows(
    hits: Sequence[WordHit], listed: Collection[LatentId], indexes: Mapping[SaeId, LatentIndex], notes: Mapping[LatentId, Note]
) -> list[ListedRow]:
    """What a search found; `listed` are in the list that is being filled."""
    one_release = len({hit.latent.sae.release for hit in hits}) == 1
    return [
        ListedRow(
            key=str(hit.latent),
            href=latent_link(hit.latent),
            name=f"{hit.latent.sae.name}/{hit.latent.index}" if one_release else str(hit.latent),
            label=hit.label,
            own=bool(notes.get(hit.latent, Note()).label),
            note=where(hit),
            figures=(f"{hit.score:.2f}", _density(hit.latent, indexes)),
            peak=-1,
            positions=(),
            values=(),
            maximum=0.0,
            maximum_of="",
            place=place,
            is_last=place == len(hits) - 1,
            listed=hit.latent in listed,
        )
        for place, hit in enumerate(hits)
    ]


def where(hit: WordHit) -> str:
    """Where the query was found, and by which words."""
    places = ", ".join(_SAID[place] for place in hit.where)
    by = f"{places}: {', '.join(hit.matched)}" if hit.matched else places
    return by if hit.whole or Found.MEANING in hit.where else f"{by} (a part of a word)"


def what_was_found(answer: WordAnswer, *, meaning: bool) -> str:
    """One sentence on the answer, in numbers."""
    shown = len(answer.rows)
    if meaning:
        text = f"{grouped(answer.n_latents)} latents compared; the {grouped(shown)} most similar are shown."
    else:
        text = f"{grouped(answer.n_found)} of {grouped(answer.n_latents)} latents match"
        text += "." if shown == answer.n_found else f"; the first {grouped(shown)} are shown."
    return f"{text} The model lists: {', '.join(answer.examples)}." if answer.examples else text


def _density(latent: LatentId, indexes: Mapping[SaeId, LatentIndex]) -> str:
    index = indexes.get(latent.sae)
    return short_percent(float(index.n_fired[latent.index]) / index.n_tokens) if index and index.n_tokens else UNKNOWN
