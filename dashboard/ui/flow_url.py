"""The flow page's address: everything that is on the screen, and back."""

import math
from collections.abc import Callable

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.flow.results import T_MODULE, T_RES
from dashboard.analysis.names import LatentId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import address
from dashboard.ui.views import flow
from dashboard.ui.views import highlight as state

_BAR = address.Bar("flow")


def open_url(catalog: Catalog) -> list[str]:
    """Take over what the URL says when a tab opens it or goes back to it; returns what in it was wrong, for people.

    Where the tab comes from another page, an address that says nothing leaves everything as it was.
    """
    url = address.read()
    if _BAR.stands(url, acted=state.has_acted()) and flow.is_open():
        flow.take(flow.flow_state())
        return _BAR.problems()
    if not url:
        flow.take(flow.flow_state() if address.arrived() and flow.is_open() else flow.first_look(catalog))
        return _BAR.took(url)
    problems: list[str] = []

    def latent(name: str) -> LatentId | None:
        try:
            return catalog.latent(LatentId.parse(url[name][-1])) if url.get(name, [""])[-1] else None
        except AnalysisError as error:
            problems.append(str(error))
            return None

    def number(name: str, otherwise: float, allowed: Callable[[float], bool], what: str) -> float:
        text = url.get(name, [str(otherwise)])[-1]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and allowed(value):
            return value
        problems.append(f"{name}={text[:20]!r} is not {what}.")
        return otherwise

    def is_cosine(value: float) -> bool:
        return 0 <= value <= 1

    found = latent("seed")
    flow.take(
        flow.FlowState(
            seed=found or flow.first_look(catalog).seed,
            other=latent("other"),
            t_res=round(number("t_res", T_RES, is_cosine, "a cosine from 0 to 1"), 2),
            t_module=round(number("t_module", T_MODULE, is_cosine, "a cosine from 0 to 1"), 2),
            top=int(number("top", 1, lambda n: n in range(1, flow.MAX_TOP_SHOWN + 1), f"a number from 1 to {flow.MAX_TOP_SHOWN}")),
            pruned=url.get("all") != ["1"],
            selected=url.get("chosen", [""])[-1][:400],
            pins=tuple(dict.fromkeys(_latents(url.get("pin", []), catalog, problems)))[: flow.MAX_PINS],
            prompt=Prompt(state.text_of(url, "prompt", flow.TEXT)),
            token=int(number("token", flow.STRONGEST, lambda n: n in range(flow.STRONGEST, 100_000), "a position: a whole number from 0")),
            grouped=url.get("groups") == ["1"],
        )
    )
    return _BAR.took(url, problems)


def show(seed: LatentId) -> None:
    """Leave for the graph of a latent."""
    address.go(flow.PAGE, query(flow.FlowState(seed)))


def query(view: flow.FlowState) -> dict[str, list[str]]:
    """What the address says of what is on the screen. A text that is too long for a link is left out."""
    url: dict[str, list[str]] = {"seed": [str(view.seed)], "t_res": [f"{view.t_res:g}"], "t_module": [f"{view.t_module:g}"]}
    if view.other:
        url["other"] = [str(view.other)]
    if view.top > 1:
        url["top"] = [str(view.top)]
    if not view.pruned:
        url["all"] = ["1"]
    if view.selected:
        url["chosen"] = [view.selected]
    if view.pins:
        url["pin"] = list(view.pins)
    if view.prompt.text and state.fits_url(view.prompt):
        url |= {"prompt": [view.prompt.text], "token": [str(view.token)]}
    if view.grouped:
        url["groups"] = ["1"]
    return url


def write_url(view: flow.FlowState) -> None:
    """Make the address bar say what is on the screen."""
    _BAR.say(query(view))


def _latents(texts: list[str], catalog: Catalog, problems: list[str]) -> list[str]:
    found: list[str] = []
    for text in texts[:100]:
        try:
            found.append(str(catalog.latent(LatentId.parse(text))))
        except AnalysisError as error:
            problems.append(str(error))
    return found
