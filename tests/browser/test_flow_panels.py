"""The panels below the flow graph as a person uses them: small studies on the shipped text, and what a click on their figures opens.

One layer, few texts, and a seed without a flow: what is slow in a study is how much of it there is.
"""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from tests.browser.conftest import Open, settle

pytestmark = [pytest.mark.browser, pytest.mark.real]
PANELS = ".st-key-flow-on-text"
FOUND_MS = 120_000
"""The server may share its cores with other work."""
ALONE = "flow?seed=smollm2-135m/9.resid_post/3&t_res=1&t_module=1"


def opened(open_page: Open, tab: str, **more: object) -> Page:
    page = open_page(ALONE, ready=".st-key-flow-canvas .stage[data-ready]", **more)
    page.get_by_text("On text: origins, deactivation, steering").click()
    page.get_by_role("tab", name=tab).click()
    expect(page.get_by_role("tabpanel").filter(visible=True).get_by_role("button").last).to_be_visible()
    settle(page)
    return page


def fill(page: Page, box: str, text: str) -> None:
    found = page.locator(f".st-key-flow_{box} input").first
    found.fill(text)
    found.press("Tab")


def choose(page: Page, box: str, option: str) -> None:
    """Choose in a list by typing, as it is long; a page that is drawn once more closes the list, and it is opened again."""
    found = page.locator(f".st-key-flow_{box} input")
    for wait_ms in (5_000, 5_000, 60_000):
        found.click()
        found.fill(option)
        with suppress(TimeoutError):
            page.get_by_role("option", name=option, exact=True).click(timeout=wait_ms)
            break
    found.press("Escape")
    expect(page.locator(f".st-key-flow_{box}").get_by_role("button", name=re.compile(f"{option}"))).to_be_visible()


def start(page: Page, button: str, kind: str) -> None:
    """Run a study to its end."""
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text(f"How this was made: {kind}")).to_be_visible(timeout=FOUND_MS)
    settle(page)


def click_on(page: Page, mark: Locator) -> None:
    """Plotly takes clicks on a layer above its marks."""
    mark.scroll_into_view_if_needed()
    before, box = None, mark.bounding_box()
    while box != before:  # a figure that has just come still finds its size
        page.wait_for_timeout(150)
        before, box = box, mark.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def find_origins(page: Page) -> None:
    choose(page, "origins_layers", "9")
    fill(page, "origins_texts", "3")
    start(page, "Find origins", "flow origins")
    expect(page.get_by_text(re.compile("tokens of 3 texts. Click a piece of a bar"))).to_be_visible()


def test_origins_are_found_and_a_clicked_bar_lists_its_latents(open_page: Open) -> None:
    page = opened(open_page, "Origins on text")
    find_origins(page)
    bars = page.locator(f"{PANELS} .js-plotly-plot .barlayer .trace")
    expect(bars).to_have_count(8)
    click_on(page, bars.nth(1).locator(".point").last)
    expect(page.get_by_text("From RES, layer 9", exact=True)).to_be_visible()
    expect(page.locator(f"{PANELS} [data-testid=stDataFrame]")).to_be_visible()
    assert page.locator("[data-testid=stMain]").evaluate("pane => pane.scrollWidth <= pane.clientWidth")


def test_a_second_tab_with_equal_settings_has_the_result_and_its_command(open_page: Open) -> None:
    find_origins(opened(open_page, "Origins on text"))
    second = opened(open_page, "Origins on text", scheme="dark")
    find_origins(second)  # nothing is read again
    second.locator(".st-key-flow_origins_made summary").click()
    expect(second.locator(f"{PANELS} [data-testid=stCode]")).to_contain_text("latents flow origins smollm2-135m --layers=9 --texts=3")


def test_predecessors_are_rescaled_and_a_clicked_bar_or_point_lists_its_trials(open_page: Open) -> None:
    page = opened(open_page, "Deactivation")
    for box, text in (("texts", "2"), ("tokens", "1"), ("targets", "2"), ("factors", "0, 1")):
        fill(page, f"deactivation_{box}", text)
    start(page, "Rescale", "flow deactivate")
    trials = page.get_by_test_id("stTabs").locator("details", has_text="Trials")
    expect(trials).not_to_have_attribute("open", "")
    click_on(page, page.locator(f"{PANELS} .barlayer .point").first)
    expect(trials).to_have_attribute("open", "")
    expect(trials.locator("[data-testid=stDataFrame]")).to_be_visible()


def test_a_steered_flow_is_drawn_and_a_clicked_point_shows_its_texts(open_page: Open) -> None:
    page = opened(open_page, "Steer the flow")
    for box, text in (("strengths_activate", "0, 0.5"), ("texts", "1"), ("max_new_tokens", "4")):
        fill(page, f"steering_{box}", text)
    start(page, "Generate and score", "flow steer")
    expect(page.locator(f"{PANELS} .js-plotly-plot")).to_have_count(3)
    click_on(page, page.locator(f"{PANELS} .js-plotly-plot").nth(1).locator(".points path").last)
    expect(page.get_by_text(re.compile(r"^Texts: (flow set|initial set|single layer) at 0\.5$"))).to_be_visible()
