"""What the highlight page shows, and what a person can do with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from dashboard.analysis.asks.lens import LensKind
from dashboard.analysis.errors import AnalysisError, NoSae
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts.latent_rows import MAX_PINS
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.view import View, choice, flag, latent, latents, long_text, sae, whole

MAPS = {"Relatives": "relatives", "Counts": "counts"}
"""What the layer map can be about while a latent is chosen, each with its word in an address."""
COUNTS = "Counts"
_FIRST_TEXT = next(iter(EXAMPLES.values())).text


@dataclass(frozen=True)
class HighlightView(View):
    """Everything that the highlight page shows."""

    sae: SaeId = sae("sae")
    text: str = long_text("prompt", always=True)
    chat: bool = flag("chat")
    position: int | None = whole("token", None, 0, 999_999_999, "a position. Give a whole number from 0")
    """The token that was clicked."""
    latent: LatentId | None = latent("latent", None)
    """The latent that shades the strip; None for the strongest of the prompt."""
    pins: tuple[LatentId, ...] = latents("pin", MAX_PINS)
    map_shows: str = choice("map", next(iter(MAPS)), MAPS)
    """One of MAPS."""
    lens: LensKind | None = choice("lens", None, list(LensKind))
    """The lens through which every layer is read; None for none."""

    @property
    def prompt(self) -> Prompt:
        """The text as the model reads it."""
        return Prompt(self.text, self.chat)

    def completed(self, named: Mapping[str, bool], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """Without a text that of the first example; without an SAE that of the latent, or the middle one."""
        del before
        text = self.text if "prompt" in named else _FIRST_TEXT
        sae = self.sae if named.get("sae") else self.latent.sae if self.latent else middle(catalog)
        return replace(self, text=text, sae=sae), []


def example(name: str, catalog: Catalog) -> HighlightView:
    """An example; its latent is shown where it is installed."""
    chosen = EXAMPLES[name]
    try:
        shown = catalog.latent(LatentId.parse(chosen.latent))
    except AnalysisError:
        return HighlightView(middle(catalog), chosen.text)
    return HighlightView(shown.sae, chosen.text, position=chosen.token, latent=shown)


PAGE = Page("highlight", "app_pages/highlight.py", HighlightView, lambda catalog: example(next(iter(EXAMPLES)), catalog))


def of_latent(latent: LatentId, prompt: Prompt | None = None) -> HighlightView:
    """A latent on a text; without one on that which the page has."""
    if prompt is None:
        prompt = PAGE.view.prompt if PAGE.is_open else Prompt(_FIRST_TEXT)
    return HighlightView(latent.sae, prompt.text, prompt.chat, latent=latent)


def use_example(name: str, catalog: Catalog) -> None:
    """Callback: go to an example; what the map is about stays."""
    PAGE.show(replace(example(name, catalog), map_shows=PAGE.view.map_shows))


def go_to_site(catalog: Catalog, layer: int, point: str) -> None:
    """Take another layer or site: a site that the layer lacks is replaced by its first, and an SAE of the same release is preferred.

    Another SAE has other latents; pins stay, they carry their SAE's name.
    """
    points = points_of(catalog, layer)
    here = saes_at(catalog, layer, point if point in points else points[0])
    chosen = PAGE.view.sae if PAGE.view.sae in here else next((one for one in here if one.release == PAGE.view.sae.release), here[0])
    PAGE.change(sae=chosen, latent=None)


def points_of(catalog: Catalog, layer: int) -> list[str]:
    """The sites of a layer that have an SAE."""
    return sorted({spec.site.point.value for spec in catalog.specs if spec.site.layer == layer}, reverse=True)


def saes_at(catalog: Catalog, layer: int, point: str) -> list[SaeId]:
    """The SAEs of one site."""
    return [spec.id for spec in catalog.specs if spec.site.layer == layer and spec.site.point.value == point]


def pick_token() -> None:
    """Callback of the strip: choose a token."""
    picked = PAGE.event("strip", "picked")
    if picked is not None:
        PAGE.change(position=int(picked))


def show_latent() -> None:
    """Callback of the list: shade the strip by a latent."""
    if shown := PAGE.event("latents", "shown"):
        PAGE.change(latent=LatentId.parse(shown))


def toggle_pin() -> None:
    """Callback of the list and of the legend: pin a latent, or unpin it. The oldest pin makes room for a fourth."""
    if pinned := PAGE.event("latents", "pinned") or PAGE.event("strip", "unpinned"):
        PAGE.toggle("pins", LatentId.parse(pinned))


def pick_cell() -> None:
    """Callback of the map: go to a token in the SAE of that line."""
    if picked := PAGE.event("map", "picked"):
        name, _, latent = str(picked["row"]).partition(" ")
        PAGE.change(sae=SaeId.parse(name), latent=LatentId.parse(latent) if latent else None, position=int(picked["position"]))


def pick_column() -> None:
    """Callback of the lens: choose a token."""
    picked = PAGE.event("lens grid", "picked")
    if picked is not None:
        PAGE.change(position=int(picked))


def middle(catalog: Catalog) -> SaeId:
    """A residual SAE of a middle layer, a shipped one where there is one.

    Raises:
        NoSae: if the catalogue is empty.
    """
    if not catalog.specs:
        raise NoSae
    shipped = [spec for spec in catalog.specs if spec.is_packed] or catalog.specs
    residual = [spec for spec in shipped if spec.site.point is Point.RESID_POST] or shipped
    return residual[len(residual) // 2].id
