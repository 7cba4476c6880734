"""The address bar over several pages: where a tab comes from, goes to and goes back to, on the tiny model."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry, Notebook
from dashboard.ui.views import flow, highlight, latent, lists, search, steer
from tests.app_pages.conftest import Open

Gone = list[tuple[str, dict[str, list[str]]]]
PAGES = ("highlight", "latent", "search", "lists", "flow", "steer")
A, B = "tiny/2.resid_post/7", "tiny/1.resid_post/9"
FOX = "The quick brown fox"


def address(app: AppTest) -> dict[str, list[str]]:
    return {name: [value] if isinstance(value, str) else list(value) for name, value in app.query_params.items()}


def refused(app: AppTest) -> list[str]:
    """What was wrong in an address."""
    return [warning.value for warning in app.warning if warning.icon == ":material/link_off:"]


def at(app: AppTest, page: str, query: dict[str, Any] | None = None) -> AppTest:
    """As a link or a step in the browser's history does it: this page, this address."""
    app.query_params.clear()
    for name, value in (query or {}).items():
        app.query_params[name] = value
    app.switch_page(f"app_pages/{page}.py").run()
    assert not app.exception
    return app


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Gone:
    """Every way that was taken from page to page: to where, with which address."""
    ways: Gone = []
    go = st.switch_page

    def switch_page(page: str, *, query_params: dict[str, Any]) -> None:
        ways.append((page, {name: [value] if isinstance(value, str) else list(value) for name, value in query_params.items()}))
        go(page, query_params=query_params)

    monkeypatch.setattr(st, "switch_page", switch_page)
    return ways


def press(key: str) -> Callable[[AppTest], AppTest]:
    return lambda app: app.button(key).click().run()


WAYS = {
    "latent to steer": ("latent", {"latent": A}, press(latent.PAGE.key("steer")), "steer"),
    "latent to flow": ("latent", {"latent": A}, press(latent.PAGE.key("flow")), "flow"),
    "latent to highlight": ("latent", {"latent": A, "test": FOX, "chat": "1"}, press(latent.PAGE.key("highlight")), "highlight"),
    "latent to highlight without a text": ("latent", {"latent": A}, press(latent.PAGE.key("highlight")), "highlight"),
    "flow to steer": ("flow", {"seed": A}, press(flow.PAGE.key("steer")), "steer"),
    "flow to steer with a path": ("flow", {"seed": A}, press(flow.PAGE.key("steer path")), "steer"),
    "flow to latent": ("flow", {"seed": A, "prompt": FOX}, press(flow.PAGE.key("open")), "latent"),
    "lists to steer": ("lists", {"name": "two"}, press(lists.PAGE.key("steer")), "steer"),
}
FIRST_CHANGES: dict[str, Callable[[AppTest], AppTest]] = {
    "highlight": lambda app: app.text_area(highlight.PAGE.key("text")).set_value(FOX).run(),
    "latent": press(latent.PAGE.key("next")),
    "search": lambda app: app.toggle(search.PAGE.key("is_common")).set_value(True).run(),
    "flow": lambda app: app.toggle(flow.PAGE.key("every_layer")).set_value(True).run(),
    "steer": lambda app: app.number_input(steer.PAGE.key("seed")).set_value(7).run(),
}


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "again"])
@pytest.mark.parametrize("way", WAYS)
def test_a_page_is_gone_to_by_the_very_address_that_it_writes(
    open_page: Open, gone: Gone, tmp_path: Path, way: str, is_first: bool
) -> None:
    start, query, go, end = WAYS[way]
    Notebook(tmp_path / "notebook.sqlite").save_list(LatentList("two", entries=tuple(ListEntry(LatentId.parse(one)) for one in (A, B))))
    app = open_page()
    if not is_first:
        at(app, end)
    go(at(app, start, query))
    ((page, said),) = gone
    assert page == f"app_pages/{end}.py"
    assert address(app) == said, "a second address would be a second step back"
    assert not app.exception and not refused(app)


@pytest.mark.parametrize("page", FIRST_CHANGES)
def test_back_at_the_address_it_was_entered_by_a_page_shows_what_it_showed_there(open_page: Open, page: str) -> None:
    app = at(at(open_page(), "models"), page)
    first = address(app)
    FIRST_CHANGES[page](app)
    changed = address(app)
    assert changed != first != {}
    at(app, "models")
    at(app, page)
    assert address(app) == changed, "what was done is there again"
    app.query_params.clear()
    app.run()
    assert address(app) == changed, "and so it is after a step back"


@pytest.mark.parametrize(("page", "other"), permutations(PAGES, 2))
def test_the_address_of_the_page_that_was_left_says_nothing_of_this_one(open_page: Open, page: str, other: str) -> None:
    app = at(at(open_page(), "models"), page)
    own = address(app)
    at(app, other)
    at(app, page, address(app))
    assert address(app) == own and not refused(app)


def test_a_link_to_another_page_that_this_tab_once_had_is_that_pages(open_page: Open) -> None:
    app = at(at(open_page(), "steer", {"latent": A}), "flow", {"seed": A})
    press(flow.PAGE.key("open"))(app)
    assert address(app) == {"latent": [A]}


def test_back_at_a_link_that_adds_a_latent_it_is_not_added_again(open_page: Open) -> None:
    app = at(open_page(), "steer", {"latent": A})
    edits = address(app)["edit"]
    at(app, "models")
    at(app, "steer", {"latent": A})
    assert address(app)["edit"] == edits


def test_a_page_that_was_used_again_in_between_shows_what_it_showed_when_it_was_left(open_page: Open, gone: Gone) -> None:
    app = at(open_page(), "latent", {"latent": A, "log": "1", "test": FOX})
    left = address(app)
    press(latent.PAGE.key("steer"))(app)
    ((_, query),) = gone
    at(at(app, "latent", {"latent": B}), "models")
    at(app, "latent", query)
    assert address(app) == left


LONG = "The quick brown fox. " * 500
TEXTS = {
    "highlight": (highlight.PAGE.key("text"), highlight.PAGE.key("chat")),
    "latent": (latent.PAGE.key("text"), latent.PAGE.key("chat")),
    "steer": (steer.PAGE.key("text"), steer.PAGE.key("chat")),
}


@pytest.mark.parametrize("page", TEXTS)
def test_a_text_that_is_too_long_for_an_address_outlives_a_step_back(open_page: Open, page: str) -> None:
    text, chat = TEXTS[page]
    app = at(at(open_page(), "models"), page)
    app.text_area(text).set_value(LONG).run()
    before = address(app)
    if page == "latent":
        press(latent.PAGE.key("next"))(app)
    else:
        app.toggle(chat).set_value(True).run()
    assert address(app) != before
    at(app, page, before)
    assert app.text_area(text).value == LONG and address(app) == before and not refused(app)


def test_what_a_person_does_is_no_completion_of_the_address_the_page_was_entered_by() -> None:
    def page() -> None:
        import streamlit as st

        from dashboard.ui.shell import address

        address.enter("flow")
        address.stay()
        address.Bar("flow").say({"seed": ["second"]})
        st.query_params.from_dict({"seed": "first"})
        st.text(address.read()["seed"][0])

    app = AppTest.from_function(page)
    app.query_params["seed"] = "first"
    assert app.run().text[0].value == "first"
