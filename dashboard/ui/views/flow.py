"""What the flow page shows, and what a person can do with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.data import ClickKind
from components.graph.picture import GraphPicture
from components.graph_canvas import read_click
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.methods.flow.results import T_MODULE, T_RES, FlowAsk, FlowGraph, LitGraph
from dashboard.analysis.names import LatentId, Point
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell.examples import EXAMPLES
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.resources import get_catalog
from dashboard.ui.shell.view import View, flag, latent, latents, long_text, number, short_text, whole

STRONGEST = -1
"""Stands for the token on which the seed fires most."""
MAX_TOP_SHOWN = 5
_COSINE = "a cosine from 0 to 1"


@dataclass(frozen=True)
class FlowView(View):
    """Everything that the flow page shows."""

    seed: LatentId = latent("seed")
    t_res: float = number("t_res", T_RES, 0, 1, _COSINE, digits=2, always=True)
    t_module: float = number("t_module", T_MODULE, 0, 1, _COSINE, digits=2, always=True)
    other: LatentId | None = latent("other", None)
    """Seed of a second graph beside the first."""
    top: int = whole("top", 1, 1, MAX_TOP_SHOWN, f"a number from 1 to {MAX_TOP_SHOWN}")
    every_layer: bool = flag("all")
    """Not only the span."""
    selected: str = short_text("chosen")
    """A latent, or two with a space between for a link; empty for the seed."""
    pins: tuple[LatentId, ...] = latents("pin", most=12)
    text: str = long_text("prompt")
    """Lights the nodes up; empty for none."""
    token: int = whole("token", STRONGEST, STRONGEST, 99_999, "a position: a whole number from 0", always=True, beside="prompt")
    """Which token lights the nodes; STRONGEST until the text is read."""
    grouped: bool = flag("groups")
    """Supernodes are drawn."""

    @property
    def prompt(self) -> Prompt:
        """The text as the model reads it."""
        return Prompt(self.text)

    def ask(self, seed: LatentId | None = None) -> FlowAsk:
        """What the graph of a seed is built from."""
        return FlowAsk(seed or self.seed, self.t_res, self.t_module, self.top, not self.every_layer)


def first_look(catalog: Catalog) -> FlowView:
    """The first example whose latent is installed, else the deepest residual dictionary's first latent.

    Raises:
        BadAsk: if no SAE of the model reads the residual stream.
    """
    for example in EXAMPLES.values():
        try:
            return FlowView(catalog.latent(LatentId.parse(example.latent)), text=example.text, token=example.token)
        except AnalysisError:
            continue
    residual = [spec for spec in catalog.specs if spec.site.point is Point.RESID_POST]
    if not residual:
        raise BadAsk(f"A flow runs through residual dictionaries; none of the {len(catalog.specs)} SAEs of this model is one. Get one.")
    return FlowView(max(residual, key=lambda spec: spec.site.layer).latent(0))


PAGE = Page("flow", "app_pages/flow.py", FlowView, first_look)


def with_token(view: FlowView, lit: LitGraph | None) -> FlowView:
    """The view with a token that the text has; to be called before the slider is drawn."""
    if lit is None or 0 <= view.token < len(lit.texts):
        return view
    values = [0.0 if special else float(value) for value, special in zip(lit.values[view.seed], lit.special, strict=True)]
    return PAGE.settle(token=max(range(len(values)), key=lambda i: (values[i], not lit.special[i])))


def on_screen(view: FlowView, graphs: Sequence[FlowGraph]) -> FlowView:
    """The view without a choice that no graph holds any more: a threshold may have taken it away, and another may bring it back."""
    drawn = {str(node.latent) for graph in graphs for node in graph.nodes}
    drawn |= {f"{edge.source} {edge.target}" for graph in graphs for edge in graph.edges}
    return view if not view.selected or view.selected in drawn else replace(view, selected="")


def follow(seed: LatentId) -> None:
    """Callback: the graph of another seed."""
    PAGE.change(seed=seed, selected="")


def follow_example(seed: LatentId, text: str, token: int) -> None:
    """Callback: the graph of an example, lit up by its text."""
    PAGE.change(seed=seed, selected="", text=text, token=token)


def follow_named(said: str) -> None:
    """Take what was typed as a seed: a whole name, or an index of the seed's dictionary."""
    if (named := _named(said)) is not None:
        follow(named)


def follow_other(said: str) -> None:
    """Take what was typed as the seed of the second graph; empty for none."""
    if not said.strip():
        PAGE.change(other=None)
    elif (named := _named(said)) is not None:
        PAGE.change(other=named)


def pick_token() -> None:
    """Callback of the strip: light the nodes by another token."""
    picked = PAGE.event("strip", "picked")
    if picked is not None:
        PAGE.change(token=int(picked))


def unpin_in_strip() -> None:
    """Callback of the strip's legend: take the pin away that was clicked, and no other."""
    unpinned = PAGE.event("strip", "unpinned")
    if unpinned in map(str, PAGE.view.pins):
        PAGE.toggle("pins", LatentId.parse(unpinned))


def click(canvas: str, drawn: GraphPicture) -> None:
    """Callback of a canvas: choose, pin, or follow; a stale click is refused with a word."""
    found = read_click(PAGE.event(canvas, "clicked"), drawn)
    if isinstance(found, str):
        PAGE.say(found)
    elif found.kind is ClickKind.SHIFT and found.node:
        PAGE.toggle("pins", LatentId.parse(found.node))
    elif found.kind is ClickKind.DOUBLE and found.node:
        follow(LatentId.parse(found.node))
    else:
        PAGE.change(selected=found.node or found.edge)


def click_in_file(drawn: GraphPicture) -> None:
    """Callback of the canvas of a file: choose there, or follow here; its latents may be of SAEs that are not installed."""
    found = read_click(PAGE.event("imported", "clicked"), drawn)
    if isinstance(found, str):
        PAGE.say(found)
    elif found.kind is ClickKind.DOUBLE and found.node:
        follow_named(found.node)
    else:
        PAGE.remember("in file", found.node or found.edge)


def chosen_in_file(drawn: GraphPicture) -> str:
    """What is chosen on the canvas of a file: a node or a link that it has, else nothing."""
    chosen = PAGE.recall("in file", "")
    return chosen if chosen in {one.key for one in (*drawn.nodes, *drawn.edges)} else ""


def choose_removed() -> None:
    """Callback of the list of removed predecessors: select one."""
    if shown := PAGE.event("removed", "shown"):
        PAGE.change(selected=shown)


def act_on_pin() -> None:
    """Callback of the list of pins: choose one, or take its pin away."""
    if shown := PAGE.event("pinned", "shown"):
        PAGE.change(selected=shown)
    elif unpinned := PAGE.event("pinned", "pinned"):
        PAGE.toggle("pins", LatentId.parse(unpinned))


def _named(said: str) -> LatentId | None:
    """A latent of the catalogue by what was typed; None if it is not there, which is said."""
    name = said.strip()
    try:
        return get_catalog().latent(LatentId.parse(name if "/" in name else f"{PAGE.view.seed.sae}/{name}"))
    except AnalysisError as error:
        PAGE.touch()
        PAGE.say(str(error))
        return None
