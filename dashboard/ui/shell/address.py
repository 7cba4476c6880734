"""The address bar: what a page says in it, and, once a tab has had another model than the first, which model it is.

Streamlit adds an entry to the browser's history whenever an address changes outside a step back or forward. So a page is to be gone
to by the very address that it would write (the `query` of its state), and an address that a page completes on its own, such as an
empty one, means that completed one when the tab comes back to it. Of a page that is left, Streamlit keeps one entry more, with its
path and the query of the next page: it means what the page showed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

MODEL = "model"
_NAMED, _PAGE, _ARRIVED, _ENTERING, _OWNERS, _MEANINGS = (
    "model_named", "page", "arrived", "entering", "address_owners", "address_meanings",
)  # fmt: skip
_MAX_KEPT = 500

Query = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Bar:
    """What one page and the address have said to each other in this tab."""

    page: str

    def stands(self, url: Mapping[str, list[str]], *, acted: bool) -> bool:
        """Whether the address need not be read: the page shows that already, or a person has just done something there.

        A click carries the address of its moment, which may be older than what has been written since: what a callback has just
        done counts more. Back, forward and links run no callback.
        """
        if acted:
            self.forget_problems()
        return acted or self._kept("written") == url

    def took(self, url: Mapping[str, list[str]], problems: Sequence[str] = ()) -> list[str]:
        """The address was taken over; what in it was wrong, for people, until the next user action."""
        self._keep(written=url, problems=list(problems))
        return self.problems()

    def problems(self) -> list[str]:
        """What was wrong in the address when it was taken over."""
        return self._kept("problems") or []

    def forget_problems(self) -> None:
        """The user has acted since."""
        self._keep(problems=[])

    def say(self, url: Mapping[str, list[str]]) -> None:
        """Make the address say what is on the screen."""
        if url != self._kept("written") or url != said():
            _write(url)
            self._keep(written=url)

    # Reserved session key: two colons, so that no widget key can collide with it.

    def _kept(self, name: str) -> Any:
        return st.session_state.get(f"{self.page}::{name}")

    def _keep(self, **said: object) -> None:
        for name, value in said.items():
            st.session_state[f"{self.page}::{name}"] = value


def enter(page: str) -> None:
    """Note which page is drawn, so that it knows whether the tab has just come from another one."""
    kept = st.session_state
    kept[_ARRIVED] = kept.get(_PAGE, page) != page
    kept[_ENTERING] = kept.get(_PAGE) != page
    kept[_PAGE] = page


def arrived() -> bool:
    """Whether the tab has just come from another page."""
    return st.session_state.get(_ARRIVED, False)


def stay() -> None:
    """What is written next comes from a user action on the page, and not from completing the address on entry."""
    st.session_state[_ENTERING] = False


def said() -> dict[str, list[str]]:
    """The query in the address bar, without the model."""
    return {key: st.query_params.get_all(key) for key in st.query_params if key != MODEL}


def read() -> dict[str, list[str]]:
    """What the address means to the page that is drawn. That of another page says nothing."""
    kept, url = st.session_state, said()
    page, key = kept.get(_PAGE), _key(url)
    if (meaning := _meaning(url)) is not None:
        return meaning
    if kept.get(_OWNERS, {}).get(key, page) != page:
        return {}
    _keep(_OWNERS, key, page)
    return url


def clear() -> None:
    """Make the address name the model at most."""
    _write({})


def _write(url: Mapping[str, list[str]]) -> None:
    page = st.session_state.get(_PAGE)
    if st.session_state.get(_ENTERING, False):
        _keep(_MEANINGS, (page, _key(said())), dict(url))
    st.query_params.from_dict({**named(), **url})
    _keep(_OWNERS, _key(url), page)


def named() -> dict[str, list[str]]:
    """The part that names the tab's model; nothing while it need not be said."""
    # Presenters make links outside a page too: in a job's thread no tab is there.
    name = st.session_state.get(_NAMED) if get_script_run_ctx(suppress_warning=True) else None
    return {MODEL: [name]} if name else {}


def name_model(name: str) -> None:
    """Name the tab's model in every address from now on."""
    st.session_state[_NAMED] = name


def go(page: str, query: Mapping[str, list[str]]) -> NoReturn:
    """Go to another page, by the address that it will write."""
    kept, key = st.session_state, _key(query)
    _keep(_MEANINGS, (kept.get(_PAGE), key), read())
    kept[_OWNERS] = {known: owner for known, owner in kept.get(_OWNERS, {}).items() if known != key}
    st.switch_page(page, query_params=to(query))


def to(query: Query) -> dict[str, str | Sequence[str]]:
    """The query of a page that this tab goes to."""
    return {**named(), **query}


def _meaning(url: Mapping[str, list[str]]) -> dict[str, list[str]] | None:
    """What this address means on the page, if for another one. From another page, an empty one means: show what the page showed last."""
    kept = st.session_state
    return None if arrived() and not url else kept.get(_MEANINGS, {}).get((kept.get(_PAGE), _key(url)))


def _key(url: Mapping[str, Sequence[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(values)) for name, values in sorted(url.items()))


def _keep(name: str, key: object, value: object) -> None:
    """The newest _MAX_KEPT of them are remembered."""
    kept = {**st.session_state.get(name, {}), key: value}
    st.session_state[name] = dict(list(kept.items())[-_MAX_KEPT:])
