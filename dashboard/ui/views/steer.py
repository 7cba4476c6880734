"""What the steer page shows, and what a person can do with it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

from dashboard.analysis.asks.edits import Intervention, NamedVector, Op, Unit, Where, parse_where, print_amount, print_where
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.index.file import read_index
from dashboard.analysis.methods.steering.comparison import PLAIN, STEERED, SteeringAsk, Written, ask_of
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.tokens import Prompt, TokenSpan
from dashboard.ui.shell.page import Page
from dashboard.ui.shell.resources import choice as chosen_model
from dashboard.ui.shell.resources import get_catalog, get_vectors
from dashboard.ui.shell.view import Part, View, flag, latent, long_text, part
from dashboard.ui.views.steer_presets import PRESETS, Preset, presets_of

SPAN, FROM = "span", "from"
WHERES = {
    Where.EVERYWHERE.value: "everywhere",
    Where.PROMPT.value: "prompt",
    Where.GENERATED.value: "new tokens",
    FROM: "from a token on",
    SPAN: "a span",
}
MAX_EDITS = 8
_STANDARD = Sampling(48)
_LACKS_PROMPT = "This link does not include its prompt: it was too long for a link, or was left out. Enter it again."
_STOPPED, _PARTIAL, _SUBSETS, _SPAN = "stopped", "partial", "subsets", "span"


@dataclass(frozen=True)
class Edit:
    """One line of the list of edits; its vector may be gone."""

    direction: str
    """A latent's name, or vector/NAME."""
    op: Op
    amount: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.direction}:{self.op.value}:{print_amount(self.amount)}:{self.unit.value}"

    @property
    def is_vector(self) -> bool:
        """Whether the direction is not a latent."""
        return self.direction.startswith("vector/")

    @classmethod
    def of(cls, edit: Intervention) -> "Edit":
        """The line of an intervention."""
        return cls(str(edit.direction), edit.op, edit.amount, edit.unit)

    def intervention(self, place: Where | TokenSpan, vectors: Mapping[str, NamedVector]) -> Intervention:
        """The edit as the core takes it.

        Raises:
            AnalysisError: if it cannot be used.
        """
        return replace(Intervention.parse(f"{self.direction}:{self.op.value}:0:{self.unit.value}", place, vectors), amount=self.amount)


def _read_edit(said: str, catalog: Catalog) -> Edit:
    edit = Intervention.parse(said, vectors=own_vectors() if said.startswith("vector/") else None)
    if isinstance(edit.direction, LatentId):
        catalog.latent(edit.direction)
    return Edit.of(edit)


def _sampled(name: str, field: str, kind: type[int] | type[float]) -> Any:
    def read(said: str, _: Catalog) -> int | float:
        try:
            value = kind(said)
        except ValueError as error:
            raise ValueError("not a whole number" if kind is int else "not a number") from error
        given: dict[str, Any] = {field: value}
        return getattr(Sampling(**given), field)

    return part(getattr(_STANDARD, field), Part(name, read, "{:.10g}".format if kind is float else str, always=True, takes=kind))


def _read_pick(said: str, catalog: Catalog) -> tuple[str, int]:
    del catalog
    side, _, index = said.partition(":")
    if side not in (PLAIN, STEERED) or not (index.isdecimal() and len(index) < 5):
        raise ValueError("not a token: write for example steered:3")
    return side, int(index)


@dataclass(frozen=True)
class SteerView(View):
    """Everything that the steer page shows."""

    text: str = long_text("prompt", always=True)
    chat: bool = flag("chat")
    edits: tuple[Edit, ...] = part(
        (),
        Part("edit", _read_edit, most=MAX_EDITS, repeats=True, too_many="The link has {n} edits; the first {most} are taken.", takes=tuple),
    )
    place: Where | TokenSpan = part(
        Where.EVERYWHERE, Part("where", lambda said, _: parse_where(said), print_where, always=True, beside="edit")
    )
    """Which tokens are edited."""
    n_tokens: int = _sampled("tokens", "max_new_tokens", int)
    temperature: float = _sampled("temperature", "temperature", float)
    top_p: float = _sampled("top_p", "top_p", float)
    seed: int = _sampled("seed", "seed", int)
    picked: tuple[str, int] | None = part(None, Part("pick", _read_pick, lambda picked: f"{picked[0]}:{picked[1]}"))
    """The token that was clicked: `plain` or `steered`, and its index among the new ones."""
    shade: LatentId | None = latent("shade", None)
    """The latent that shades both texts."""
    added: tuple[str, ...] = part((), Part("latent", lambda said, _: said, most=4 * MAX_EDITS, repeats=True, takes=tuple))
    """What an address adds to the edits; empty once that is done."""

    @property
    def prompt(self) -> Prompt:
        """The text as the model reads it."""
        return Prompt(self.text, self.chat)

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn.

        Raises:
            BadAsk: if that is not possible.
        """
        return Sampling(self.n_tokens, self.temperature, self.top_p, self.seed)

    def completed(self, named: Collection[str], catalog: Catalog, before: Any) -> tuple[Self, list[str]]:
        """Latents alone are added to what the tab shows, on first open to the first preset's prompt; a text that lacks is said."""
        view: Any = self
        problems: list[str] = []
        if self.added and {*named} <= {"latent"}:
            view = replace(first_look(catalog), edits=()) if before is None else before
        elif "prompt" not in named:
            problems.append(_LACKS_PROMPT)
        view, more = with_edits(view, self.added, catalog)
        return replace(view, added=()), problems + more


def view_of(ask: SteeringAsk) -> SteerView:
    """An ask that comes from elsewhere: a preset, a saved run, a recipe."""
    place = ask.interventions[0].where if ask.interventions else Where.EVERYWHERE
    drawn, edits = ask.sampling, tuple(map(Edit.of, ask.interventions))
    return SteerView(ask.prompt.text, ask.prompt.chat, edits, place, drawn.max_new_tokens, drawn.temperature, drawn.top_p, drawn.seed)


def first_look(catalog: Catalog) -> SteerView:
    """The first preset whose latents are installed; without any, its prompt alone."""
    first = next(iter(presets_of(catalog).values()), None)
    return view_of(first.ask if first else SteeringAsk(Prompt(next(iter(PRESETS.values())).prompt)))


PAGE = Page("steer", "app_pages/steer.py", SteerView, first_look)


@dataclass(frozen=True)
class Asked:
    """What the page asks of the model."""

    ask: SteeringAsk
    lines: tuple[int, ...]
    """Of each of its interventions, the line in the list of edits."""
    problems: tuple[str, ...]
    """What cannot be used, and is left out."""


def asked(view: SteerView, vectors: Mapping[str, NamedVector]) -> Asked:
    """What a view asks of the model.

    Raises:
        BadAsk: if the sampling is not possible.
    """
    usable: dict[int, Intervention] = {}
    problems: list[str] = []
    for line, edit in enumerate(view.edits):
        try:
            usable[line] = edit.intervention(view.place, vectors)
        except AnalysisError as error:
            problems.append(str(error))
    return Asked(SteeringAsk(view.prompt, tuple(usable.values()), view.sampling), tuple(usable), tuple(problems))


def own_vectors() -> dict[str, NamedVector]:
    """The vectors of this tab's model."""
    return get_vectors().all(str(chosen_model()))


def go_with(latents: Sequence[LatentId]) -> NoReturn:
    """Leave for the steer page, with further latents among the edits there."""
    catalog = get_catalog()
    shown = PAGE.view if PAGE.is_open else replace(first_look(catalog), edits=())
    view, problems = with_edits(shown, [str(one) for one in latents], catalog)
    for problem in problems:
        PAGE.say(problem)
    PAGE.go(view)


def go_with_recipe(edits: Sequence[Intervention]) -> NoReturn:
    """Leave for the steer page with all edits of a recipe in the place of those there; its prompt stays."""
    text = (PAGE.view.text if PAGE.is_open else "") or PRESETS["Places"].prompt
    PAGE.go(view_of(SteeringAsk(Prompt(text), tuple(edits), _STANDARD)))


def with_edits(view: SteerView, names: Sequence[str], catalog: Catalog) -> tuple[SteerView, list[str]]:
    """A view with further edits, each by a name or as LATENT:OP:AMOUNT:UNIT; and what could not be added, for people."""
    problems: list[str] = []
    for name in names:
        try:
            if len(view.edits) >= MAX_EDITS:
                raise BadAsk(f"{len(view.edits)} edits are on already; remove one first.")
            view = replace(view, edits=(*view.edits, _named_edit(name, catalog)), picked=None)
        except AnalysisError as error:
            problems.append(str(error))
    return view, problems


def _named_edit(name: str, catalog: Catalog) -> Edit:
    """An edit as it is first added: in units of the latent's own maximum where that is known."""
    edit = _read_edit(name if ":" in name else f"{name}:add:{first_amount(Unit.NORM)}:norm", catalog)
    if ":" in name or edit.is_vector:
        return edit
    latent = LatentId.parse(edit.direction)
    try:
        read_index(catalog.get(latent.sae)).maximum_of(latent)
    except AnalysisError:
        return edit
    return replace(edit, unit=Unit.MAX, amount=first_amount(Unit.MAX))


def add(name: str) -> list[str]:
    """Add an edit by its name; what was wrong with it, for people."""
    view, problems = with_edits(PAGE.view, [name.strip()], get_catalog())
    if not problems:
        PAGE.show(view)
    return problems


def add_all(edits: Sequence[Intervention]) -> list[str]:
    """Put the edits of a recipe among those of the page, all or none; what was wrong with them, for people."""
    there = PAGE.view.edits
    if len(there) + len(edits) > MAX_EDITS:
        return [f"{len(there)} edits are on already and the recipe makes {len(edits)}; at most {MAX_EDITS} fit. Remove some first."]
    PAGE.show(replace(PAGE.view, edits=(*there, *map(Edit.of, edits)), picked=None))
    return []


def add_active() -> None:
    """Callback of the list of active latents."""
    if name := PAGE.event("active", "shown") or PAGE.event("active", "pinned"):
        for problem in add(str(name)):
            PAGE.say(problem)


def remove(line: int) -> None:
    """Callback: take an edit away."""
    edits = PAGE.view.edits
    PAGE.change(edits=edits[:line] + edits[line + 1 :], picked=None)


def set_edit(line: int, **fields: Any) -> None:
    """Callback: another operation, amount or unit of an edit; in another unit an amount means something else, so it is reset."""
    if "unit" in fields:
        fields |= {"amount": first_amount(fields["unit"])}
    edits = PAGE.view.edits
    PAGE.change(edits=(*edits[:line], replace(edits[line], **fields), *edits[line + 1 :]), picked=None)


def kind_of(place: Where | TokenSpan) -> str:
    """Which of WHERES."""
    return place.value if isinstance(place, Where) else FROM if place.end is None else SPAN


def choose_place(kind: str) -> None:
    """Callback: edit other tokens; a span is the one that was there last."""
    now = PAGE.view.place
    last = now if isinstance(now, TokenSpan) else PAGE.recall(_SPAN, TokenSpan(0))
    PAGE.remember(_SPAN, last)
    PAGE.change(place=_span(last.start, last.end, kind) if kind in (FROM, SPAN) else Where(kind), picked=None)


def set_span(start: int, end: int | None) -> None:
    """Callback of the number boxes: a span has one token at least; without an end it is unbounded."""
    PAGE.change(place=_span(start, end, FROM if end is None else SPAN), picked=None)


def _span(start: int, end: int | None, kind: str) -> TokenSpan:
    return TokenSpan(start) if kind == FROM else TokenSpan(start, max(start + 1, end or 0))


def pick_place() -> None:
    """Callback of the prompt's tokens: edit from here on; or a span, whose start is the first click and whose end the second."""
    picked, place = PAGE.event("prompt strip", "picked"), PAGE.view.place
    if picked is None or not isinstance(place, TokenSpan):
        return
    at = int(picked)
    if place.end is None:
        set_span(at, None)
    elif place.end == place.start + 1 and at > place.start:
        set_span(place.start, at + 1)
    else:
        set_span(at, at + 1)


def pick() -> None:
    """Callback of the two texts: choose a token."""
    if picked := PAGE.event("pair", "picked"):
        PAGE.change(picked=(str(picked["side"]), int(picked["index"])))


def shade_by(name: str | None) -> None:
    """Callback: shade both texts by a latent; one that is not there is said."""
    try:
        PAGE.change(shade=get_catalog().latent(LatentId.parse(name)) if name else None)
    except AnalysisError as error:
        PAGE.touch()
        PAGE.say(str(error))


def use_preset(preset: Preset) -> None:
    """Callback: go to a preset."""
    _replace(preset.ask)


def open_run(data: dict[str, Any], vectors: VectorFolder, model: str) -> None:
    """Callback: go to a saved run. Its vectors come back with it, under another name where theirs means something else now."""
    ask = ask_of(data)
    edits: list[Intervention] = []
    for edit in ask.interventions:
        if isinstance(edit.direction, NamedVector):
            edit = replace(edit, direction=vectors.restore(edit.direction, model))
        edits.append(edit)
    _replace(replace(ask, interventions=tuple(edits)))


def _replace(ask: SteeringAsk) -> None:
    PAGE.remember(_STOPPED, None)
    PAGE.show(view_of(ask))


def stop() -> None:
    """Callback: keep what has been written."""
    PAGE.touch()
    PAGE.remember(_STOPPED, PAGE.recall(_PARTIAL))


def keep_partial(ask: SteeringAsk, texts: dict[str, Written]) -> None:
    """Remember how far both texts are, for the case that they are stopped."""
    PAGE.remember(_PARTIAL, (ask, texts))


def stopped(ask: SteeringAsk) -> dict[str, Written] | None:
    """The texts as they were when exactly this ask was stopped. What was stopped before another was drawn is forgotten."""
    kept = PAGE.recall(_STOPPED)
    if kept is not None and kept[0] != ask:
        PAGE.remember(_STOPPED, kept := None)
    return kept[1] if kept is not None else None


def keep_subsets(ask: SteeringAsk, table: list[dict[str, Any]]) -> None:
    """Remember the table of subsets of an ask."""
    PAGE.remember(_SUBSETS, (ask, table))


def subsets_of(ask: SteeringAsk) -> list[dict[str, Any]]:
    """The table of subsets of exactly this ask, if it has been made."""
    kept = PAGE.recall(_SUBSETS)
    return kept[1] if kept and kept[0] == ask else []


def limit_of(unit: Unit) -> float:
    """Where a slider ends; the number box goes further."""
    return {Unit.RAW: 400.0, Unit.MAX: 8.0, Unit.NORM: 2.0}[unit]


def first_amount(unit: Unit) -> float:
    """A strength that is usually seen in the text and does not yet break it."""
    return {Unit.RAW: 40.0, Unit.MAX: 2.0, Unit.NORM: 0.4}[unit]
