"""A page of a tab: what it shows, its address, its widgets, its way back and what it has to say, all from one frozen value.

    PAGE = Page("flow", "app_pages/flow.py", FlowView, first_look)

    problems = PAGE.open(catalog)                     # take over the address; what in it was wrong, for people
    st.slider("...", 0.0, 1.0, **PAGE.bind("t_res"))  # a widget of a field
    st.button("...", on_click=PAGE.change, kwargs={"pins": ()})
    PAGE.write()                                      # the address says what is on the screen
    OTHER.go(OtherView(...))                          # leave for another page

The value is the truth: a widget is set to it whenever it is drawn, and what a person does with the widget changes it.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

import streamlit as st

from dashboard.analysis.sae.catalog import Catalog
from dashboard.ui.shell import address, failures, tab
from dashboard.ui.shell.view import Url, V, base_of, locals_of, parse, part_of, query

T = TypeVar("T")
_MAX_UNDO, _MAX_MADE = 50, 48


def _says_something(url: Url) -> bool:
    return bool(url)


@dataclass(frozen=True)
class Page(Generic[V]):
    """One page, in whichever tab asks."""

    name: str
    script: str
    """Its file, as Streamlit switches to it."""
    view_class: type[V]
    first_look: Callable[[Catalog], V]
    """What an address that says nothing shows on first open."""
    owns: Callable[[Url], bool] = _says_something
    """Whether an address says something of this page; two of one script tell theirs apart."""

    def key(self, widget: str) -> str:
        """The key of one of its widgets. With a colon in it no widget of Streamlit or of another page has the same."""
        return f"{self.name}:{widget}"

    # Address

    @property
    def view(self) -> V:
        """What this tab shows."""
        return st.session_state[self._at("view")]

    @property
    def is_open(self) -> bool:
        """Whether this tab has shown the page before."""
        return self._at("view") in st.session_state

    def open(self, catalog: Catalog) -> list[str]:
        """Take over what the address says when a tab opens it or goes back to it; returns what in it was wrong, for people.

        Where the tab comes from another page, an address that says nothing leaves everything as it was.
        """
        url, bar = address.read(), self._bar
        before = self.view if self.is_open else None
        if bar.stands(url, acted=tab.has_acted()) and before is not None:
            return bar.problems()
        if before is not None and not self.owns(url) and (url or address.arrived()):
            return bar.took(url)
        view, problems = self.read(url, catalog, before)
        self.take(view)
        return bar.took(url, problems)

    def read(self, url: Url, catalog: Catalog, before: V | None = None) -> tuple[V, list[str]]:
        """What an address shows in a tab that showed `before`, and what in it is wrong, for people."""
        if self.owns(url):
            return parse(base_of(self.view_class, lambda: self.first_look(catalog), before), url, catalog, before)
        first = self.first_look(catalog)
        return (first if before is None else replace(first, **locals_of(before))), []

    def write(self, view: V | None = None) -> None:
        """Make the address say what is on the screen: the view, or what of it is drawn."""
        self._bar.say(query(self.view if view is None else view))

    def go(self, view: V) -> NoReturn:
        """Leave another page for this one.

        It shows the view before it is gone to, so that its address is the one that it will write, and a text that no address
        can carry comes along. What is the tab's alone stays as it was here.
        """
        view = replace(view, **locals_of(self.view)) if self.is_open else view
        self.take(view)
        self._bar.took(query(view))
        address.go(self.script, query(view))

    # Changes

    def take(self, view: V) -> None:
        """Show this from now on: widgets follow when they are drawn."""
        self._keep("view", view)

    def show(self, view: V) -> None:
        """Callback: show something else; what was there before can be had back."""
        self.touch()
        if view != self.view:
            self._keep("history", (*self._kept("history", ()), self.view)[-_MAX_UNDO:])
        self.take(view)

    def change(self, **fields: Any) -> None:
        """Callback: show something else in some fields."""
        self.show(replace(self.view, **fields))

    def toggle(self, field: str, value: Any) -> None:
        """Callback: put a value among those of a field, or take it out; the oldest make room."""
        values = getattr(self.view, field)
        most = part_of(self.view_class, field).most
        self.change(**{field: tuple(one for one in values if one != value) if value in values else (*values, value)[-most:]})

    def undo(self) -> None:
        """Callback: as it was before the last change."""
        self.touch()
        if history := self._kept("history", ()):
            self._keep("history", history[:-1])
            self.take(history[-1])

    def can_undo(self) -> int:
        """How many steps lead back."""
        return len(self._kept("history", ()))

    def settle(self, **fields: Any) -> V:
        """Show what only the answer can tell, before its widgets are drawn: no step of a person, so nothing to undo."""
        self.take(replace(self.view, **fields))
        return self.view

    def touch(self) -> None:
        """Callback: the user's last action takes precedence over the address."""
        tab.note_change()
        self._bar.forget_problems()

    # Widgets

    def bind(self, field: str, **also: Any) -> dict[str, Any]:
        """Arguments of the widget of a field: `st.slider("...", **PAGE.bind("t_res"))`. A change sets further fields `also`."""
        value, own = getattr(self.view, field), part_of(self.view_class, field)
        return self.widget(field, list(value) if own.most else value, lambda new: self.change(**{field: own.takes(new)}, **also))

    def widget(self, name: str, shows: Any, take: Callable[[Any], object]) -> dict[str, Any]:
        """Arguments of a widget that shows a value; `take` gets what a person makes of it, in the callback."""
        kept, key = st.session_state, self.key(name)
        if key not in kept or kept[key] != shows:  # what is being typed stays where nothing else is to be shown
            kept[key] = shows
        return {"key": key, "on_change": partial(self._took, key, take)}

    def event(self, component: str, name: str) -> Any:
        """What one of our components reports, in its callback; None for nothing."""
        self.touch()
        return self.held(component, {}).get(name)

    def held(self, widget: str, otherwise: Any = None) -> Any:
        """What a widget that belongs to no field holds."""
        return st.session_state.get(self.key(widget), otherwise)

    def put(self, widget: str, value: Any) -> None:
        """Callback: put another value into a widget that belongs to no field."""
        st.session_state[self.key(widget)] = value

    # Words and what is kept for later runs

    def say(self, line: str) -> None:
        """Show a line once, with the next run of the page."""
        self._keep("said", (*self._kept("said", ()), line))

    def toast(self, line: str) -> None:
        """Show a line once in the corner: the change is not visible on the page."""
        self._keep("toasts", (*self._kept("toasts", ()), line))

    def tell(self, *more: str) -> None:
        """Draw what was wrong in the address, until the next user action, `more` complaints, and one-off notices."""
        for problem in (*self._bar.problems(), *more):
            st.warning(failures.plain(problem), icon=":material/link_off:")
        for line in self.said():
            st.info(failures.plain(line), icon=":material/info:")
        for line in self._kept("toasts", ()):
            st.toast(failures.plain(line), icon=":material/list:")
        self._keep("toasts", ())

    def said(self) -> tuple[str, ...]:
        """Pending notices; reading clears them."""
        lines = self._kept("said", ())
        self._keep("said", ())
        return lines

    def remember(self, name: str, value: Any) -> None:
        """Keep something for later runs in this tab."""
        self._keep(f"own {name}", value)

    def recall(self, name: str, otherwise: Any = None) -> Any:
        """What was kept."""
        return self._kept(f"own {name}", otherwise)

    def once(self, ask: Hashable, make: Callable[[], T]) -> T:
        """What this tab has made before, else made now: a click waits for no turn of the engine. Of many, the latest are kept."""
        made: dict[Hashable, T] = self._kept("made", {})
        if ask not in made:
            made = {**made, ask: make()}
            self._keep("made", dict(list(made.items())[-_MAX_MADE:]))
        return made[ask]

    @property
    def _bar(self) -> address.Bar:
        return address.Bar(self.name)

    def _took(self, key: str, take: Callable[[Any], object]) -> None:
        take(st.session_state[key])

    def _at(self, what: str) -> str:
        return f"{self.name}::{what}"

    def _kept(self, what: str, otherwise: Any) -> Any:
        return st.session_state.get(self._at(what), otherwise)

    def _keep(self, what: str, value: Any) -> None:
        st.session_state[self._at(what)] = value
