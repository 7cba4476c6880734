"""What a page shows, as a frozen value: read from the URL, kept in the tab, written back to the URL.

The only file that names a key of `st.session_state` or of `st.query_params`.
"""

from dataclasses import dataclass

import streamlit as st

from dashboard.analysis.errors import AnalysisError, NoSae
from dashboard.analysis.names import LatentId, Point, SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.tokens import Prompt
from dashboard.ui.parts.latent_rows import MAX_PINS
from dashboard.ui.shell import address
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.tab import has_acted, note_change
from dashboard.ui.shell.view import fits_url, text_of

PAGE = "app_pages/highlight.py"
PROMPT, CHAT, LAYER, POINT, SAE = "prompt", "chat", "layer", "point", "sae"
MAP_SHOWS, MAPS, COUNTS = "map_shows", ("Relatives", "Counts"), "Counts"
STRIP, LATENTS, MAP = "strip", "latents", "map"
_SHOWN, _PINS, _POSITION = "shown_latent", "pins", "position"
_BAR = address.Bar("highlight")


@dataclass(frozen=True)
class HighlightState:
    """Everything that the highlight page shows."""

    prompt: Prompt
    sae: SaeId
    position: int | None
    """The token that was clicked."""
    latent: LatentId | None
    """The latent that shades the strip; None for the strongest of the prompt."""
    pins: tuple[LatentId, ...]
    map_shows: str
    """One of MAPS: what the layer map is about while a latent is chosen."""


def highlight_state() -> HighlightState:
    """The state of this tab, once the sidebar has settled on an SAE."""
    kept = st.session_state
    return HighlightState(
        Prompt(kept[PROMPT], kept[CHAT]), SaeId.parse(kept[SAE]), kept[_POSITION], kept[_SHOWN], kept[_PINS], kept[MAP_SHOWS]
    )


def choose_layer_and_point(catalog: Catalog) -> tuple[list[int], list[str]]:
    """Layers that have an SAE, and points of the chosen layer; a point that this layer lacks gives way to its first."""
    kept = st.session_state
    layers = sorted({spec.site.layer for spec in catalog.specs})
    points = sorted({spec.site.point.value for spec in catalog.specs if spec.site.layer == kept[LAYER]}, reverse=True)
    if kept[POINT] not in points:
        kept[POINT] = points[0]
    return layers, points


def choose_sae(catalog: Catalog) -> list[str]:
    """The SAEs at the chosen site; one of the release that was chosen before is preferred."""
    kept = st.session_state
    here = [str(spec.id) for spec in catalog.specs if spec.site.layer == kept[LAYER] and spec.site.point.value == kept[POINT]]
    if kept[SAE] not in here:
        release = SaeId.parse(kept[SAE]).release
        kept[SAE] = next((name for name in here if SaeId.parse(name).release == release), here[0])
    return here


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when the tab opens it or goes back to it; returns what in it was wrong, for people."""
    url = address.read()
    if _BAR.stands(url, acted=has_acted()):
        return _BAR.problems()
    problems: list[str] = []

    def latent(text: str) -> LatentId | None:
        try:
            return catalog.latent(LatentId.parse(text))
        except AnalysisError as error:
            problems.append(str(error))
            return None

    def sae(text: str) -> SaeId | None:
        try:
            return catalog.get(SaeId.parse(text)).id
        except AnalysisError as error:
            problems.append(str(error))
            return None

    kept = st.session_state
    if address.arrived() and PROMPT in kept and not url:
        return _BAR.took(url)
    kept[MAP_SHOWS] = COUNTS if url.get("map") == ["counts"] else MAPS[0]
    if not url:
        _take_example(next(iter(EXAMPLES)), catalog)
        return _BAR.took(url)
    shown = latent(url["latent"][-1]) if "latent" in url else None
    asked = sae(url["sae"][-1]) if "sae" in url else None
    spec = catalog.get(asked or (shown.sae if shown else None) or _middle(catalog))
    token = url.get("token", [""])[-1]
    known_token = token.isascii() and token.isdecimal() and len(token) <= 9
    if token and not known_token:
        problems.append(f"token={token[:20]!r} is not a position. Give a whole number from 0.")
    kept[PROMPT] = text_of(url, "prompt", PROMPT, next(iter(EXAMPLES.values())).text)
    kept[CHAT] = url.get("chat", ["0"])[-1] == "1"
    _go_to(spec)
    kept[_SHOWN] = shown
    kept[_POSITION] = int(token) if known_token else None
    pins = dict.fromkeys(pin for text in url.get("pin", [])[:20] if (pin := latent(text)) is not None)
    kept[_PINS] = tuple(pins)[:MAX_PINS]
    return _BAR.took(url, problems)


def show(latent: LatentId, prompt: Prompt | None = None) -> None:
    """Leave for the highlight page with a latent, on a text; without one on that which it had."""
    kept = st.session_state
    read = prompt or Prompt(kept.get(PROMPT, next(iter(EXAMPLES.values())).text), kept.get(CHAT, False))
    address.go(PAGE, query(HighlightState(read, latent.sae, None, latent, (), MAPS[0])))


def query(state: HighlightState) -> dict[str, list[str]]:
    """What the address says of all that. A prompt that is too long for a link is left out."""
    url: dict[str, list[str]] = {"sae": [str(state.sae)]}
    if fits_url(state.prompt):
        url["prompt"] = [state.prompt.text]
    if state.prompt.chat:
        url["chat"] = ["1"]
    if state.position is not None:
        url["token"] = [str(state.position)]
    if state.latent is not None:
        url["latent"] = [str(state.latent)]
    if state.pins:
        url["pin"] = [str(pin) for pin in state.pins]
    if state.map_shows == COUNTS:
        url["map"] = ["counts"]
    return url


def write_url(state: HighlightState) -> None:
    """Make the address bar say what is on the screen."""
    _BAR.say(query(state))


def use_example(name: str, catalog: Catalog) -> None:
    """Callback: go to an example; its latent is shown where it is installed."""
    note_change()
    _take_example(name, catalog)


def _take_example(name: str, catalog: Catalog) -> None:
    example, kept = EXAMPLES[name], st.session_state
    try:
        shown = catalog.latent(LatentId.parse(example.latent))
    except AnalysisError:
        shown = None
    _go_to(catalog.get(shown.sae if shown else _middle(catalog)))
    kept[PROMPT], kept[CHAT], kept[_POSITION], kept[_SHOWN], kept[_PINS] = example.text, False, example.token if shown else None, shown, ()


def forget_token() -> None:
    """Callback: a new prompt has other tokens."""
    note_change()
    st.session_state[_POSITION] = None


def forget_latent() -> None:
    """Callback: another SAE has other latents. Pins stay, they carry their SAE's name."""
    note_change()
    st.session_state[_SHOWN] = None


def pick_token() -> None:
    """Callback of the strip: choose a token."""
    note_change()
    picked = st.session_state[STRIP].get("picked")
    if picked is not None:
        st.session_state[_POSITION] = int(picked)


def show_latent() -> None:
    """Callback of the list: shade the strip by a latent."""
    note_change()
    shown = st.session_state[LATENTS].get("shown")
    if shown:
        st.session_state[_SHOWN] = LatentId.parse(shown)


def toggle_pin() -> None:
    """Callback of the list and of the legend: pin a latent, or unpin it. The oldest pin makes room for a fourth."""
    note_change()
    key = st.session_state.get(LATENTS, {}).get("pinned") or st.session_state.get(STRIP, {}).get("unpinned")
    if not key:
        return
    latent, pins = LatentId.parse(key), st.session_state[_PINS]
    st.session_state[_PINS] = tuple(p for p in pins if p != latent) if latent in pins else (*pins, latent)[-MAX_PINS:]


def pick_cell(catalog: Catalog) -> None:
    """Callback of the map: go to a token in the SAE of that line."""
    note_change()
    picked = st.session_state[MAP].get("picked")
    if picked:
        name, _, latent = str(picked["row"]).partition(" ")
        _go_to(catalog.get(SaeId.parse(name)))
        st.session_state[_SHOWN] = LatentId.parse(latent) if latent else None
        st.session_state[_POSITION] = int(picked["position"])


def _go_to(spec: SaeSpec) -> None:
    kept = st.session_state
    kept[LAYER], kept[POINT], kept[SAE] = spec.site.layer, spec.site.point.value, str(spec.id)


def _middle(catalog: Catalog) -> SaeId:
    if not catalog.specs:
        raise NoSae
    shipped = [spec for spec in catalog.specs if spec.is_packed] or catalog.specs
    residual = [spec for spec in shipped if spec.site.point is Point.RESID_POST] or shipped
    return residual[len(residual) // 2].id
