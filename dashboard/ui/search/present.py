"""A ranking as plain data of components. Pure functions."""

from collections.abc import Collection, Mapping, Sequence

from components.data import Column, FoundRow, LayerCount
from dashboard.analysis.methods.search.by_text import By, Found, Ranking
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.parts.figures import UNKNOWN, grouped, rounded_count, short_percent
from dashboard.ui.parts.latent_rows import latent_link

BESIDE = 32
"""Tokens shown on either side of the strongest one where a text is long."""
WHOLE = 96
"""A text of up to so many tokens is shown whole."""
NAMES = {By.RARITY: "Rarity", By.QUANTILE: "Quantile", By.MAX: "Max", By.SUM: "Sum", By.SHARE: "Share"}
HELP = {
    By.RARITY: "Of how many tokens of the corpus 1 excites the latent at least as much as this text does at its peak: "
    "1 / (density × (1 - quantile)), this text counted too.",
    By.QUANTILE: "Share of the latent's own activations in the corpus that are no larger than its peak here, from the index's 40 bins.",
    By.MAX: "Largest activation on a token that counts.",
    By.SUM: "Sum of the activations on the tokens that count.",
    By.SHARE: "Largest activation here / the largest in the corpus. Above 1: this text outdoes the corpus.",
}
DENSITY = "Share of the corpus's tokens on which the latent fires at all."
NEVER = "fired on no token of the corpus"


def columns(by: By, compared: bool) -> list[Column]:
    """What the figures of a row are: first what the ranking goes by."""
    first = Column("1 token in" if by is By.RARITY else by.value, HELP[by])
    if compared:
        unit = "Here minus in the second text, as powers of 10." if by is By.RARITY else "Here minus in the second text."
        first = Column(f"{by.value}, A − B", f"{HELP[by]} {unit}")
    others = [Column(one.value, HELP[one]) for one in (By.QUANTILE, By.MAX) if one is not by or compared]
    return [first, *others, Column("density", DENSITY)]


def rows(
    ranking: Ranking,
    found: Sequence[Found],
    own: Mapping[LatentId, str],
    listed: Collection[LatentId],
    *,
    compared: bool,
    is_common: bool,
) -> list[FoundRow]:
    """A part of a ranking. `own` are labels written by users; `is_common` shades all rows on one scale."""
    releases = {sae.release for sae in ranking.counts}
    common = max((one.peak for one in found), default=0.0)
    drawn: list[FoundRow] = []
    for one in found:
        values = ranking.values(one.latent)
        positions = values.nonzero()[0].tolist()
        n = len(values)
        first, last = (0, n - 1) if n <= WHOLE else (max(0, one.position - BESIDE), min(n - 1, one.position + BESIDE))
        scale = (common, "largest on this page") if is_common else (one.peak, "largest that counts here")
        if not is_common and one.maximum is not None:
            scale = (one.maximum, "its largest in the corpus")
        drawn.append(
            FoundRow(
                key=str(one.latent),
                href=latent_link(one.latent),
                name=f"{one.latent.sae.name}/{one.latent.index}" if len(releases) == 1 else str(one.latent),
                label=own.get(one.latent) or one.label or (NEVER if one.density == 0 else ""),
                own=bool(own.get(one.latent)),
                figures=_figures(one, ranking.ask.by, compared),
                peak=one.position,
                positions=tuple(positions),
                values=tuple(float(values[i]) for i in positions),
                maximum=scale[0],
                maximum_of=scale[1],
                first=first,
                last=last,
                listed=one.latent in listed,
            )
        )
    return drawn


def _figures(one: Found, by: By, compared: bool) -> tuple[str, ...]:
    score = _digits(one.score, 3 if by in (By.QUANTILE, By.SHARE) else 2)
    if by is By.RARITY and not compared:
        score = UNKNOWN if one.one_in is None else rounded_count(one.one_in)
    elif compared and one.score is not None:
        score = f"{one.score:+.2f}"
    others = {By.QUANTILE: _digits(one.quantile, 3), By.MAX: _digits(one.peak, 2)}
    return (score, *(text for other, text in others.items() if other is not by or compared), short_percent(one.density))


def what_is_shown(ranking: Ranking, n_without_index: int, first: int, last: int) -> str:
    """One sentence on the ranking, in numbers; `first` and `last` are the part that is drawn, half open."""
    n_saes = sum(ranking.ask.saes is None or sae in ranking.ask.saes for sae in ranking.counts)
    parts = [f"{grouped(ranking.n_firing)} latents of {n_saes} SAE{'s' if n_saes != 1 else ''} fire on the tokens that count"]
    if ranking.ask.max_density is not None:
        parts.append(f"{grouped(ranking.n_hidden)} hidden by the density filter")
    if last > first:
        parts.append(f"{first + 1} to {last} shown")
    if n_without_index:
        who = "1 SAE has" if n_without_index == 1 else f"{n_without_index} SAEs have"
        parts.append(f"{who} no index: the rarity and density of their latents are unknown, so they come last unless ranked by size")
    return "; ".join(parts) + "."


def layer_counts(ranking: Ranking, catalog: Catalog, points: Collection[str], releases: Collection[str]) -> list[LayerCount]:
    """How many latents of each layer fire and pass the filter, whether the layer is chosen or not."""
    counts: dict[int, int] = {}
    chosen: set[int] = set()
    for sae, n in ranking.counts.items():
        site = catalog.get(sae).site
        if (not points or site.point.value in points) and (not releases or sae.release in releases):
            counts[site.layer] = counts.get(site.layer, 0) + n
            if ranking.ask.saes is None or sae in ranking.ask.saes:
                chosen.add(site.layer)
    return [LayerCount(layer, n, layer in chosen) for layer, n in sorted(counts.items())]


def _digits(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
