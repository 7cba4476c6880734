"""The steer page's address: everything that is on the screen, and back."""

from typing import Any

import streamlit as st

from dashboard.analysis.asks.edits import Intervention, NamedVector, parse_where, print_where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.steering.comparison import SteeringAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import address
from dashboard.ui.shell.resources import choice, get_catalog, get_vectors
from dashboard.ui.shell.tab import has_acted
from dashboard.ui.shell.view import fits_url, text_of
from dashboard.ui.views import steer
from dashboard.ui.views.steer_presets import PRESETS, presets_of

PAGE = "app_pages/steer.py"
_BAR = address.Bar("steer")


def open_url(catalog: Catalog, vectors: dict[str, NamedVector]) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong.

    Where the tab comes from another page, what it left here stays, and `?latent=` is added to it.
    """
    url = address.read()
    if _BAR.stands(url, acted=has_acted()):
        return _BAR.problems()
    return _take(url, catalog, vectors, adds=address.arrived())


def show(url: dict[str, list[str]]) -> None:
    """Leave for the steer page with what an address says: latents that are added to the edits there, or a whole recipe.

    The page takes it over before it is gone to, so that its address is the one that it will write.
    """
    catalog, vectors = get_catalog(), get_vectors().all(str(choice()))
    problems = _take(url, catalog, vectors, adds=True)
    written = query(steer.steer_state(catalog, vectors))
    _BAR.took(written, problems)
    address.go(PAGE, written)


def _take(url: dict[str, list[str]], catalog: Catalog, vectors: dict[str, NamedVector], *, adds: bool) -> list[str]:
    """Show what an address says; returns what in it was wrong. `adds`: latents alone are added to what the tab has."""
    kept = st.session_state
    if steer.ROWS in kept and adds and url.keys() <= {"latent"}:
        return _BAR.took(url, [problem for text in url.get("latent", []) if (problem := steer.try_add(text, catalog, vectors))])
    problems: list[str] = []
    if not url.keys() - {"latent"}:
        steer.take(_first_look(catalog))
        if "latent" not in url:
            return _BAR.took(url)
        kept[steer.ROWS] = ()
    else:
        prompt = text_of(url, "prompt", steer.PROMPT)
        steer.clear()
        kept[steer.PROMPT] = prompt
        if "prompt" not in url and not prompt:
            problems.append("This link does not carry its prompt: it was too long, or was left out. Put it in again.")
        kept[steer.CHAT] = url.get("chat") == ["1"]
        _take_sampling(url, problems)
        try:
            steer.show_where(parse_where(url.get("where", ["everywhere"])[-1]))
        except AnalysisError as error:
            problems.append(str(error))
    edits = url.get("edit", [])
    if len(edits) > steer.MAX_EDITS:
        problems.append(f"The link has {len(edits)} edits; the first {steer.MAX_EDITS} are taken.")
    for text in edits[: steer.MAX_EDITS]:
        try:
            edit = Intervention.parse(text, vectors=vectors)
            if isinstance(edit.direction, LatentId):
                catalog.latent(edit.direction)
            steer.append(edit)
        except AnalysisError as error:
            problems.append(str(error))
    problems += [problem for text in url.get("latent", []) if (problem := steer.try_add(text, catalog, vectors))]
    side, _, index = url.get("pick", [""])[-1].partition(":")
    kept[steer.PICKED] = (side, int(index)) if side in ("plain", "steered") and index.isdecimal() and len(index) < 5 else None
    try:
        kept[steer.SHADE] = str(catalog.latent(LatentId.parse(url["shade"][-1]))) if "shade" in url else ""
    except AnalysisError as error:
        problems.append(str(error))
        kept[steer.SHADE] = ""
    return _BAR.took(url, problems)


def query(view: steer.SteerState) -> dict[str, list[str]]:
    """What the address says of what is on the screen. A prompt that is too long for a link is left out."""
    ask = view.ask
    url: dict[str, list[str]] = {}
    if fits_url(ask.prompt):
        url["prompt"] = [ask.prompt.text]
    if ask.prompt.chat:
        url["chat"] = ["1"]
    if ask.interventions:
        url["edit"] = [str(edit) for edit in ask.interventions]
        url["where"] = [print_where(ask.interventions[0].where)]
    url["tokens"] = [str(ask.sampling.max_new_tokens)]
    url["temperature"] = [f"{ask.sampling.temperature:.10g}"]
    url["top_p"] = [f"{ask.sampling.top_p:.10g}"]
    url["seed"] = [str(ask.sampling.seed)]
    if view.picked:
        url["pick"] = [f"{view.picked[0]}:{view.picked[1]}"]
    if view.shade:
        url["shade"] = [str(view.shade)]
    return url


def write_url(view: steer.SteerState) -> None:
    """Make the address bar say what is on the screen."""
    _BAR.say(query(view))


def _first_look(catalog: Catalog) -> SteeringAsk:
    """The first preset whose latents are installed; without any, its prompt alone."""
    first = next(iter(presets_of(catalog).values()), None)
    return first.ask if first else SteeringAsk(Prompt(next(iter(PRESETS.values())).prompt))


def _take_sampling(url: dict[str, list[str]], problems: list[str]) -> None:
    kept = st.session_state
    for name, key, kind in (
        ("tokens", steer.TOKENS, int),
        ("temperature", steer.TEMPERATURE, float),
        ("top_p", steer.TOP_P, float),
        ("seed", steer.SEED, int),
    ):
        if name not in url:
            continue
        try:
            given: dict[str, Any] = {_FIELDS[name]: kind(url[name][-1])}
            Sampling(**given)
            kept[key] = given[_FIELDS[name]]
        except (ValueError, AnalysisError) as error:
            problems.append(f"{name}={url[name][-1][:20]!r} cannot be used: {error}")


_FIELDS = {"tokens": "max_new_tokens", "temperature": "temperature", "top_p": "top_p", "seed": "seed"}
