"""The known-or-unknown page in a real Chromium, with the default model: a preview is made, a point leads to its latent and back."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import IDLE, TIMEOUT_MS, Open, settle

pytestmark = [pytest.mark.browser, pytest.mark.real]
SCATTER, STRIP = ".st-key-known_scatter", ".st-key-known_strip"
SLOW_MS = 400_000
"""The server may share its cores with much other work; on a quiet machine all this takes seconds."""
NEXT = 'xpath=ancestor::*[@data-testid="stElementContainer"][1]'
PLACE = """(element, key) => {
  const plot = element.querySelector(".js-plotly-plot"), { xaxis, yaxis } = plot._fullLayout;
  const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
  for (const trace of plot.data) {
    const i = (trace.customdata || []).findIndex((row) => row[0] === key);
    if (i >= 0) return [box.left + xaxis.d2p(trace.x[i]), box.top + yaxis.d2p(trace.y[i])];
  }
  return null;
}"""
HIGHEST = """(element) => element.querySelector(".js-plotly-plot").data
  .flatMap((trace) => (trace.customdata || []).map((row, i) => [trace.y[i] || 0, row[0]])).sort((a, b) => b[0] - a[0])[0][1]"""
KEYS = """(element, name) => element.querySelector(".js-plotly-plot").data
  .filter((trace) => trace.name === name).flatMap((trace) => trace.customdata.map((row) => row[0]))"""


def click_mark(page: Page, figure: str, key: str, below: float = 0) -> None:
    """Click a mark of a figure where plotly listens: on a layer above its marks; a bar some pixels below its end."""
    plot = page.locator(figure)
    plot.scroll_into_view_if_needed()
    place = plot.evaluate(PLACE, key)
    assert place, f"{key} is not drawn"
    page.mouse.click(place[0], place[1] + below)


def shown(page: Page, label: str) -> Locator:
    return page.get_by_test_id("stMainBlockContainer").get_by_label(label, exact=True)


def went(page: Page, path: str) -> None:
    page.wait_for_url(re.compile(path), timeout=SLOW_MS)
    page.wait_for_selector(IDLE, timeout=SLOW_MS)


@pytest.fixture(scope="module")
def study(browser: Browser, server: str) -> Iterator[str]:
    """The address of a preview of countries, made by a click."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{server}/known_unknown")
    types = page.get_by_test_id("stMainBlockContainer").get_by_role("toolbar", name="Types of entities")
    for name in ("Animals", "Cities", "Movies", "Players", "Songs"):
        types.get_by_role("button", name=name, exact=True).click()
        page.wait_for_selector(IDLE)
    page.get_by_role("button", name="Run the preview").click()
    page.wait_for_selector(f"{SCATTER} .nsewdrag", timeout=SLOW_MS)
    page.wait_for_selector(IDLE)
    yield page.url.split("/", 3)[3]
    page.context.close()


def test_a_point_of_the_preview_leads_to_its_latent_and_back_to_the_same_view(open_page: Open, study: str) -> None:
    page = open_page(f"{study}&split=train", ready=f"{SCATTER} .nsewdrag")
    (best, *_) = page.locator(SCATTER).evaluate(KEYS, "best for unknown")
    place = page.locator(SCATTER).evaluate(PLACE, best)
    click_mark(page, SCATTER, best)
    went(page, r"/latent\?")
    (opened,) = parse_qs(urlsplit(page.url).query)["latent"]
    _, sae, index = opened.split("/")
    expect(page.get_by_role("heading", name=f"What makes latent {index} of {sae} fire?")).to_be_visible()
    page.go_back()
    went(page, r"/known_unknown\?.*split=train")
    page.wait_for_selector(f"{SCATTER} .nsewdrag")
    # Several latents can fire on as many entities: the uppermost of them was clicked.
    assert page.locator(SCATTER).evaluate(PLACE, opened) == pytest.approx(place, abs=3)
    assert page.locator(SCATTER).evaluate(KEYS, "chosen") == [opened]
    view = page.url
    click_mark(page, SCATTER, best)
    went(page, r"/latent\?")
    page.get_by_role("link", name="Known or unknown").click()
    went(page, r"/known_unknown\?")
    assert page.url == view


def test_an_entity_of_the_strip_shows_its_text_which_leads_to_the_latent(open_page: Open, study: str) -> None:
    page = open_page(f"{study}&tab=Entities", ready=f"{STRIP} .nsewdrag")
    entity = page.locator(STRIP).evaluate(HIGHEST)
    kind, name = entity.split("/", 1)
    click_mark(page, STRIP, entity, below=5)
    page.wait_for_url(re.compile("entity=country%2F"))
    settle(page)
    page.get_by_role("button", name=re.compile(f"^open: {kind} {re.escape(name)}")).click()
    went(page, r"/latent\?.*test=")
    page.go_back()
    went(page, r"/known_unknown\?.*entity=country%2F")
    expect(page.get_by_role("button", name=re.compile(f"^open: {kind} {re.escape(name)}"))).to_be_visible()


def test_the_same_preview_again_is_the_stored_one_and_every_part_opens(open_page: Open, study: str) -> None:
    page = open_page(study, ready=f"{SCATTER} .nsewdrag")
    for tab in ("Layers", "Entities", "Questions", "Causality", "Uncertainty", "Report", "Latents"):
        page.get_by_test_id("stMainBlockContainer").get_by_role("radio", name=tab, exact=True).click()
        page.wait_for_url(re.compile(f"tab={tab}" if tab != "Latents" else "known_unknown(?!.*tab=)"))
        settle(page)
        expect(page.get_by_text("This is a fault of ours")).to_have_count(0)
