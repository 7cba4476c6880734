"""Typed state of the flow page <-> session. With `state.py`, one of the places where keys are spelt.

What is on the screen is one frozen value; each thing that a person does keeps the value before, so that it can be undone.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import streamlit as st

from components.data import ClickKind
from components.graph.picture import FlowPicture
from components.graph_canvas import read_click
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.methods.flow.results import T_MODULE, T_RES, FlowAsk, FlowGraph, LitGraph
from dashboard.analysis.names import LatentId, Point
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell.resources import get_catalog, get_notebook
from dashboard.ui.views import highlight as state

PAGE = "app_pages/flow.py"
SEED, OTHER, T_RES_KEY, T_MODULE_KEY, TOP, WHOLE, GROUPED, TEXT, TOKEN, CHOICE = (
    "flow_seed", "flow_other", "flow_t_res", "flow_t_module", "flow_top", "flow_whole", "flow_grouped", "flow_text", "flow_token",
    "flow_choice",
)  # fmt: skip
CANVAS, SECOND, STRIP, LISTS, UNDO, STEER, HOTKEYS, EXAMPLES, LOGITS, PINNED, IMPORT, IMPORTED, EXPORT, ON_TEXT, WITHOUT, REMOVED = (
    "flow_canvas", "flow_second", "flow_strip", "flow_lists", "flow_undo", "flow_steer", "flow_hotkeys", "flow_examples", "flow_logits",
    "flow_pinned", "flow_import", "flow_imported", "flow_export", "flow_on_text", "flow_without", "flow_removed",
)  # fmt: skip
T = TypeVar("T")
STRONGEST = -1
"""Stands for the token on which the seed fires most."""
MAX_PINS, MAX_TOP_SHOWN, MAX_UNDO, MAX_MADE = 12, 5, 50, 48
_VIEW, _HISTORY, _SAID, _DONE, _MADE, _IN_FILE = "flow_view", "flow_history", "flow_said", "flow_done", "flow_made", "flow_in_file"


@dataclass(frozen=True)
class FlowState:
    """Everything that the flow page shows."""

    seed: LatentId
    other: LatentId | None = None
    """Seed of a second graph beside the first."""
    t_res: float = T_RES
    t_module: float = T_MODULE
    top: int = 1
    pruned: bool = True
    """Only the span."""
    selected: str = ""
    """A latent, or two with a space between for a link; empty for the seed."""
    pins: tuple[str, ...] = ()
    prompt: Prompt = field(default_factory=lambda: Prompt(""))
    """A text that lights the nodes up; empty for none."""
    token: int = STRONGEST
    """Which token lights the nodes; STRONGEST until the text is read."""
    grouped: bool = False
    """Supernodes are drawn."""

    def ask(self, seed: LatentId | None = None) -> FlowAsk:
        """What the graph of a seed is built from."""
        return FlowAsk(seed or self.seed, self.t_res, self.t_module, self.top, self.pruned)


def flow_state() -> FlowState:
    """The state of this tab."""
    return st.session_state[_VIEW]


def take(view: FlowState) -> None:
    """Show this: widgets follow."""
    kept = st.session_state
    kept[_VIEW] = view
    kept[SEED], kept[OTHER] = str(view.seed), str(view.other or "")
    kept[T_RES_KEY], kept[T_MODULE_KEY], kept[TOP] = view.t_res, view.t_module, view.top
    kept[WHOLE], kept[GROUPED], kept[TEXT], kept[TOKEN] = not view.pruned, view.grouped, view.prompt.text, view.token


def is_open() -> bool:
    """Whether this tab has shown the page before."""
    return _VIEW in st.session_state


def step(view: FlowState) -> None:
    """Show something else, in a callback; what was there before can be had back."""
    state.note_change()
    before = flow_state()
    if view != before:
        st.session_state[_HISTORY] = (*st.session_state.get(_HISTORY, ()), before)[-MAX_UNDO:]
    take(view)


def undo() -> None:
    """Callback: as it was before the last thing that was done."""
    state.note_change()
    *earlier, before = st.session_state[_HISTORY]
    st.session_state[_HISTORY] = tuple(earlier)
    take(before)


def settle(view: FlowState, lit: LitGraph | None) -> FlowState:
    """The state with a token that the text has; to be called before the slider is drawn."""
    if lit is None or 0 <= view.token < len(lit.texts):
        return view
    values = [0.0 if special else float(value) for value, special in zip(lit.values[view.seed], lit.special, strict=True)]
    settled = replace(view, token=max(range(len(values)), key=lambda i: (values[i], not lit.special[i])))
    st.session_state[_VIEW], st.session_state[TOKEN] = settled, settled.token
    return settled


def on_screen(view: FlowState, graphs: Sequence[FlowGraph]) -> FlowState:
    """The state without a choice that no graph holds any more: a threshold may have taken it away, and another may bring it back."""
    drawn = {str(node.latent) for graph in graphs for node in graph.nodes}
    drawn |= {f"{edge.source} {edge.target}" for graph in graphs for edge in graph.edges}
    return view if not view.selected or view.selected in drawn else replace(view, selected="")


def can_undo() -> int:
    """How many steps lead back."""
    return len(st.session_state.get(_HISTORY, ()))


def follow(seed: LatentId, *, prompt: Prompt | None = None, token: int = STRONGEST) -> None:
    """Callback: the graph of another seed."""
    view = replace(flow_state(), seed=seed, selected="")
    step(view if prompt is None else replace(view, prompt=prompt, token=token))


def follow_named(catalog: Catalog) -> None:
    """Callback of the seed box: a whole name, or an index of the seed's dictionary."""
    view, text = flow_state(), str(st.session_state[SEED]).strip()
    try:
        follow(catalog.latent(LatentId.parse(text if "/" in text else f"{view.seed.sae}/{text}")))
    except AnalysisError as error:
        step(view)
        complain(str(error))


def follow_other(catalog: Catalog) -> None:
    """Callback of the box of the second graph; empty for none."""
    view, text = flow_state(), str(st.session_state[OTHER]).strip()
    try:
        step(replace(view, other=catalog.latent(LatentId.parse(text if "/" in text else f"{view.seed.sae}/{text}")) if text else None))
    except AnalysisError as error:
        step(view)
        complain(str(error))


def change() -> None:
    """Callback of thresholds and switches."""
    kept = st.session_state
    new = {"t_res": round(float(kept[T_RES_KEY]), 2), "t_module": round(float(kept[T_MODULE_KEY]), 2), "top": int(kept[TOP])}
    step(replace(flow_state(), **new, pruned=not kept[WHOLE], grouped=kept[GROUPED]))


def read_text() -> None:
    """Callback of the text box: another text lights the nodes."""
    step(replace(flow_state(), prompt=Prompt(str(st.session_state[TEXT])), token=STRONGEST))


def go_to_token(token: int) -> None:
    """Callback of the text: light the nodes by another token."""
    step(replace(flow_state(), token=token))


def slide() -> None:
    """Callback of the token slider."""
    go_to_token(int(st.session_state[TOKEN]))


def pick_token() -> None:
    """Callback of the strip."""
    picked = st.session_state[STRIP].get("picked")
    state.note_change()
    if picked is not None:
        go_to_token(int(picked))


def choose() -> None:
    """Callback of the select box: what a click does."""
    show(st.session_state[CHOICE] or "")


def show(key: str) -> None:
    """Callback: choose a latent or a link."""
    step(replace(flow_state(), selected=key))


def click(key: str, drawn: FlowPicture) -> None:
    """Callback of a canvas: choose, pin, or follow; a stale click is refused with a word."""
    state.note_change()
    found = read_click(st.session_state[key].get("clicked"), drawn)
    if isinstance(found, str):
        complain(found)
    elif found.kind is ClickKind.SHIFT and found.node:
        toggle_pin(found.node)
    elif found.kind is ClickKind.DOUBLE and found.node:
        follow(LatentId.parse(found.node))
    else:
        step(replace(flow_state(), selected=found.node or found.edge))


def click_in_file(drawn: FlowPicture) -> None:
    """Callback of the canvas of a file: choose there, or follow here; its latents may be of SAEs that are not installed."""
    state.note_change()
    found = read_click(st.session_state[IMPORTED].get("clicked"), drawn)
    if isinstance(found, str):
        complain(found)
    elif found.kind is ClickKind.DOUBLE and found.node:
        try:
            follow(get_catalog().latent(LatentId.parse(found.node)))
        except AnalysisError as error:
            complain(str(error))
    else:
        st.session_state[_IN_FILE] = found.node or found.edge


def chosen_in_file(drawn: FlowPicture) -> str:
    """What is chosen on the canvas of a file: a node or a link that it has, else nothing."""
    chosen = st.session_state.get(_IN_FILE, "")
    return chosen if chosen in {one.key for one in (*drawn.nodes, *drawn.edges)} else ""


def toggle_pin(key: str) -> None:
    """Callback: pin a latent, or take its pin away."""
    pins = flow_state().pins
    step(replace(flow_state(), pins=tuple(pin for pin in pins if pin != key) if key in pins else (*pins, key)[-MAX_PINS:]))


def unpin_all() -> None:
    """Callback: no pins."""
    step(replace(flow_state(), pins=()))


def unpin_in_strip() -> None:
    """Callback of the strip's legend: take the pin away that was clicked, and no other."""
    state.note_change()
    if unpinned := st.session_state[STRIP].get("unpinned"):
        step(replace(flow_state(), pins=tuple(pin for pin in flow_state().pins if pin != unpinned)))


def choose_removed() -> None:
    """Callback of the list of removed predecessors: choose one."""
    if shown := st.session_state[REMOVED].get("shown"):
        show(shown)


def act_on_pin() -> None:
    """Callback of the list of pins: choose one, or take its pin away."""
    state.note_change()
    acted = st.session_state[PINNED]
    if shown := acted.get("shown"):
        step(replace(flow_state(), selected=shown))
    elif unpinned := acted.get("pinned"):
        toggle_pin(unpinned)


def add_to_list(latents: tuple[LatentId, ...], key: str) -> None:
    """Callback of a list chooser: add latents to a list, which is made if it is new."""
    state.note_change()
    name, book = st.session_state[key], get_notebook()
    st.session_state[key] = None
    if not name:
        return
    entries = tuple(map(ListEntry, latents))
    try:
        if name in {one.name for one in book.lists()}:
            book.change_list(name, lambda old: old.with_entries(*entries))
        else:
            book.save_list(LatentList(name, entries=entries))
        st.session_state[_DONE] = f"{len(latents)} latent{'s are' if len(latents) > 1 else ' is'} in the list {name}."
    except AnalysisError as error:
        complain(str(error))


def complain(said: str) -> None:
    """Say something with the next drawing of the page."""
    st.session_state[_SAID] = said


def said() -> str | None:
    """What is to be said, once."""
    return st.session_state.pop(_SAID, None)


def done() -> str | None:
    """What has been done out of sight, to be said once."""
    return st.session_state.pop(_DONE, None)


def once(ask: Hashable, make: Callable[[], T]) -> T:
    """What this tab has made before, else made now: a click waits for no turn of the engine. Of many, the latest are kept."""
    made = st.session_state.setdefault(_MADE, {})
    if ask not in made:
        made[ask] = make()
        if len(made) > MAX_MADE:
            made.pop(next(iter(made)))
    return made[ask]


def first_look(catalog: Catalog) -> FlowState:
    """What is shown on first open: the first example whose latent is installed, else the deepest residual dictionary's first latent."""
    for example in state.EXAMPLES.values():
        try:
            return FlowState(catalog.latent(LatentId.parse(example.latent)), prompt=Prompt(example.text), token=example.token)
        except AnalysisError:
            continue
    residual = [spec for spec in catalog.specs if spec.site.point is Point.RESID_POST]
    if not residual:
        raise BadAsk(f"A flow runs through residual dictionaries; none of the {len(catalog.specs)} SAEs of this model is one. Bring one.")
    return FlowState(max(residual, key=lambda spec: spec.site.layer).latent(0))
