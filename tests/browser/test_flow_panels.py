"""The panels below the flow graph as a person uses them: a small study of origins on the shipped text, and what a click opens."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, settle

pytestmark = [pytest.mark.browser, pytest.mark.real]
PANELS = ".st-key-flow_on_text"
FOUND_MS = 240_000
"""A first study loads dictionaries, and goes after everything interactive."""


def opened(open_page: Open, **more: object) -> Page:
    page = open_page("flow", ready=".st-key-flow_canvas .stage[data-ready]", **more)
    page.get_by_text("On text: origins, deactivation, steering").click()
    expect(page.get_by_role("button", name="Find origins")).to_be_visible()
    settle(page)
    return page


def find_origins(page: Page) -> None:
    box = page.locator(".st-key-flow_origins_texts input")
    box.fill("6")
    box.press("Tab")
    page.get_by_role("button", name="Find origins").click()
    expect(page.get_by_text(re.compile("tokens of 6 texts. Click a piece of a bar"))).to_be_visible(timeout=FOUND_MS)
    settle(page)


def test_origins_are_found_and_a_clicked_bar_lists_its_latents(open_page: Open) -> None:
    page = opened(open_page)
    find_origins(page)
    bars = page.locator(f"{PANELS} .js-plotly-plot .barlayer .trace")
    expect(bars).to_have_count(8)
    piece = bars.nth(1).locator(".point").last
    piece.scroll_into_view_if_needed()
    box = piece.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # plotly takes clicks on a layer above its marks
    expect(page.get_by_text("From RES, layer 19", exact=True)).to_be_visible()
    expect(page.locator(f"{PANELS} [data-testid=stDataFrame]")).to_be_visible()
    assert page.locator("[data-testid=stMain]").evaluate("pane => pane.scrollWidth <= pane.clientWidth")


def test_a_second_tab_with_equal_settings_has_the_result_and_its_command(open_page: Open) -> None:
    first = opened(open_page)
    find_origins(first)
    second = opened(open_page, scheme="dark")
    find_origins(second)  # nothing is read again
    second.locator(".st-key-flow_origins_made summary").click()
    expect(second.locator(f"{PANELS} [data-testid=stCode]")).to_contain_text(
        "latents flow origins smollm2-135m --layers=8,9,10,11,12,13,14,15,16,17,18,19 --texts=6"
    )
