"""The known-or-unknown page in a real Chromium, with the default model: a preview is made, a point leads to its latent and back."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import IDLE, TIMEOUT_MS, Open, settle

pytestmark = [pytest.mark.browser, pytest.mark.real]
SCATTER, STRIP = ".st-key-known-scatter", ".st-key-known-strip"
SLOW_MS = 240_000
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


BARS = """(element) => [...element.querySelectorAll(".js-plotly-plot")].slice(0, 2)
  .map((plot) => plot.data.map((trace) => Array.from(trace.y)))"""
ROWS = """(table) => [...table.querySelectorAll("tr")].map((row) => [...row.children].map((cell) => cell.textContent))"""


def click_mark(page: Page, figure: str, key: str, below: float = 0) -> None:
    """Click a mark of a figure where plotly listens: on a layer above its marks; a bar some pixels below its end."""
    plot = page.locator(figure)
    plot.scroll_into_view_if_needed()
    place = plot.evaluate(PLACE, key)
    assert place, f"{key} is not drawn"
    page.mouse.click(place[0], place[1] + below)


def shown(page: Page, label: str) -> Locator:
    return page.get_by_test_id("stMainBlockContainer").get_by_label(label, exact=True)


def editor(page: Page, column: str) -> Locator:
    """The table that has such a column."""
    return page.get_by_test_id("stDataFrame").filter(has=page.locator("th", has_text=re.compile(f"^{column}$")))


def choose(page: Page, column: str, value: str) -> None:
    """Choose a value in the first row of an editor, as a person does: on the canvas, then by keys; once more if the page still moved."""
    table, cell = editor(page, column), page.get_by_role("combobox").last
    for wait_ms in (5_000, 5_000, TIMEOUT_MS):
        table.scroll_into_view_if_needed()
        place, (header, *_) = table.bounding_box(), table.evaluate(ROWS)
        assert place
        page.mouse.click(place["x"] + 40, place["y"] + 52)
        for _ in range(header.index(column)):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        with suppress(AssertionError):
            expect(cell).to_be_focused(timeout=wait_ms)
            break
        page.keyboard.press("Escape")
    page.keyboard.type(value)
    page.keyboard.press("Enter")


def first_row(page: Page, column: str) -> dict[str, str]:
    header, row, *_ = editor(page, column).evaluate(ROWS)
    return dict(zip(header, row, strict=True))


def went(page: Page, path: str) -> None:
    page.wait_for_url(re.compile(path))
    settle(page)


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
        expect(page.get_by_text("Internal error")).to_have_count(0)


def test_a_latent_is_tried_out_and_a_verdict_by_hand_moves_the_bars(open_page: Open, study: str) -> None:
    page = open_page(f"{study}&tab=Causality", ready="text=No interventions have been run")
    for label, value in (("Questions per type and side", 1), ("Random latents", 2), ("New tokens", 2)):
        page.get_by_role("spinbutton", name=label).fill(str(value))
        page.keyboard.press("Tab")
    page.get_by_label(re.compile("^Amount added, ")).first.fill("1")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Run the interventions").click()
    page.wait_for_url(re.compile("causality="), timeout=SLOW_MS)
    settle(page)
    main = page.get_by_test_id("stMainBlockContainer")
    expect(page.locator(".js-plotly-plot")).to_have_count(6)
    before = main.evaluate(BARS)
    page.get_by_text("Correct a verdict by hand").click()
    editor(page, "verdict").wait_for()
    was = first_row(page, "verdict")["verdict"]
    choose(page, "verdict", "correct" if was == "refusal" else "refusal")
    page.wait_for_function(f"before => JSON.stringify(({BARS})(document)) !== before", arg=json.dumps(before, separators=(",", ":")))
    settle(page)
    found = first_row(page, "verdict")
    assert found["verdict"] != found["matcher"] == was, "the table stays open, and says what the matcher said"


@pytest.fixture
def choices(open_page: Open, study: str) -> Page:
    """The questions of a study of six countries, labelled by choices."""
    page = open_page(study, ready=f"{SCATTER} .nsewdrag")
    page.get_by_text("New study", exact=True).click()
    main = page.get_by_test_id("stMainBlockContainer")
    types = main.get_by_role("toolbar", name="Types of entities")
    for name in ("Animals", "Cities", "Movies", "Players", "Songs"):
        types.get_by_role("button", name=name, exact=True).click()
        settle(page)
    main.get_by_role("radio", name="by choices", exact=True).click()
    settle(page)
    page.get_by_text(re.compile("^Settings: ")).click()
    page.get_by_role("spinbutton", name=re.compile("^Entities of each type")).fill("6")
    page.keyboard.press("Tab")
    settle(page)
    page.get_by_role("button", name="Run the preview").click()
    page.wait_for_url(lambda url: "study=" in url and parse_qs(urlsplit(url).query)["study"][0] not in study, timeout=SLOW_MS)
    settle(page)
    main.get_by_role("radio", name="Questions", exact=True).click()
    page.wait_for_url(re.compile("tab=Questions"))
    editor(page, "grade").wait_for()
    settle(page)
    return page


def test_a_grade_that_is_overruled_counts_is_kept_and_can_be_taken_back(choices: Page) -> None:
    page, was = choices, first_row(choices, "grade")["grade"]
    choose(page, "grade", "error" if was == "correct" else "correct")
    expect(page.get_by_text("; 1 overruled.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("; 1 overruled.")).to_be_visible()
    settle(page)
    assert first_row(page, "grade")["grade"] != was == first_row(page, "grade")["matcher"]
    choose(page, "grade", was)
    expect(page.get_by_text("; 0 overruled.")).to_be_visible()
