"""The search page as a person uses it: real model, real dictionaries, real Chromium."""

import json
import re
import subprocess
import sys
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, settle
from tests.browser.serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.real]
expect.set_options(timeout=30_000)  # the server may share its cores with other work

PARIS = "The capital of France is Paris."
ROWS = ".st-key-search-results .line"
TEXT = ".st-key-search-results .text"


def opened(open_page: Open, query: str = "", **more: object) -> Page:
    return open_page(f"search?prompt={quote(PARIS)}{query}", ready=ROWS, **more)


def names(page: Page) -> list[str]:
    return [row.get_attribute("data-latent") or "" for row in page.locator(ROWS).all()]


def cell(page: Page, position: int):
    return page.locator(f'{TEXT} [data-position="{position}"]')


def type_text(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Text", exact=True).fill(text)


def test_first_open_is_a_worked_example(open_page: Open) -> None:
    page = open_page("search", ready=ROWS)
    expect(page.get_by_text(re.compile(r"latents of \d+ SAEs? fire on the tokens that count"))).to_be_visible()
    expect(page.locator(ROWS)).to_have_count(50)


def test_the_rows_are_those_of_the_command_line(open_page: Open) -> None:
    page = opened(open_page, "&by=sum&density=any&token=4&token=6")
    command = [sys.executable, "-m", "dashboard", "search", PARIS, "--by", "sum", "--token", "4", "--token", "6", "--top", "50", "--json"]
    answer = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert names(page) == [row["latent"] for row in answer["rows"]]
    first = answer["rows"][0]
    expect(page.locator(ROWS).first.locator(".figure").first).to_have_text(f"{first['sum']:.2f}")
    expect(page.locator(ROWS).first.locator(".peak")).to_have_text(first["token"])


def test_clicked_tokens_rank_and_all_tokens_take_it_back(open_page: Open) -> None:
    page = opened(open_page)
    before = names(page)
    cell(page, 6).click()
    expect(cell(page, 6)).to_have_class(re.compile("chosen"))
    expect(page).to_have_url(re.compile("token=6"))
    settle(page)
    assert names(page) != before
    cell(page, 4).click()
    expect(page).to_have_url(re.compile("token=4&token=6"))
    page.get_by_role("button", name="all tokens").click()
    expect(page).not_to_have_url(re.compile("token="))
    settle(page)
    assert names(page) == before


def test_a_row_under_the_pointer_shades_the_text_and_a_token_marks_its_rows(open_page: Open) -> None:
    page = opened(open_page)
    row = page.locator(ROWS).first
    row.locator(".label").hover()
    expect(page.locator(TEXT)).to_have_class(re.compile(r"\bby\b"))
    firing = {int(one.get_attribute("data-at") or -1) for one in row.locator("[data-at]").all()}
    shaded = {
        int(one.get_attribute("data-position") or -1)
        for one in page.locator(f"{TEXT} .token.shade").all()
        if float(one.evaluate("cell => cell.style.getPropertyValue('--t')")) > 0
    }
    assert shaded == firing != set()
    cell(page, next(iter(firing))).hover()
    expect(row).to_have_class(re.compile("fires"))


def test_a_typed_text_is_stale_until_it_is_read(open_page: Open) -> None:
    page = opened(open_page)
    before = names(page)
    type_text(page, "def f(x): return x")
    page.locator("h1").click()
    expect(page.get_by_text("Stale")).to_be_visible()
    settle(page)
    assert names(page) == before
    page.get_by_role("button", name="Run again").click()
    expect(page.locator(TEXT)).to_contain_text("def f(x): return x")
    expect(page.get_by_text("Stale")).to_have_count(0)


def test_ctrl_enter_reads(open_page: Open) -> None:
    page = opened(open_page)
    type_text(page, "Rain in Seoul")
    page.get_by_role("textbox", name="Text", exact=True).press("Control+Enter")
    expect(page.locator(TEXT)).to_contain_text("Rain in Seoul")
    expect(page.get_by_text("Stale")).to_have_count(0)
    expect(page).to_have_url(re.compile("Rain"))


def test_the_filter_says_how_many_it_hides(open_page: Open) -> None:
    page = opened(open_page)
    expect(page.get_by_text(re.compile(r"[1-9][\d,]* hidden by the density filter"))).to_be_visible()
    page.locator(".st-key-search-density").get_by_text("any", exact=True).click()
    expect(page).to_have_url(re.compile("density=any"))
    expect(page.get_by_text(re.compile(r"hidden by the density filter"))).to_have_count(0)
    page.locator(".st-key-search-density").get_by_text("5 %", exact=True).click()
    expect(page.get_by_text(re.compile(r"[1-9][\d,]* hidden by the density filter"))).to_be_visible()
    expect(page).to_have_url(re.compile("density=5"))


def test_a_layer_is_searched_alone_and_the_others_still_count(open_page: Open) -> None:
    page = opened(open_page)
    bars = page.locator(".st-key-search-results .layer")
    counts, layer = bars.locator(".n").all_inner_texts(), bars.nth(1).locator(".of").inner_text()
    bars.nth(1).click()
    expect(page).to_have_url(re.compile(f"layer={layer}"))
    settle(page)
    assert {name.split("/")[1].split(".")[0] for name in names(page)} == {layer}
    assert bars.locator(".n").all_inner_texts() == counts


def test_a_name_leads_to_the_latents_page_with_the_text(open_page: Open) -> None:
    page = opened(open_page)
    latent = names(page)[0]
    page.locator(ROWS).first.locator(".name").click()
    expect(page).to_have_url(re.compile(rf"latent\?.*{re.escape(quote(latent, safe=''))}|latent\?.*{re.escape(latent)}"))
    settle(page)
    assert "France" in page.url
    page.get_by_role("link", name="Search").click()
    page.wait_for_selector(ROWS)
    settle(page)
    assert names(page)[0] == latent and "prompt=The+capital" in page.url


def test_leafing_goes_on_where_the_page_ended(open_page: Open) -> None:
    page = opened(open_page, "&by=sum")
    first = names(page)
    page.get_by_role("button", name=re.compile("next", re.IGNORECASE)).click()
    expect(page).to_have_url(re.compile("part=2"))
    settle(page)
    second = names(page)
    assert len(second) == 50 and not {*first} & {*second}
    page.get_by_text("Max", exact=True).click()
    expect(page).not_to_have_url(re.compile("part="))


def test_a_latent_goes_into_the_list_and_out_of_it(open_page: Open) -> None:
    page = opened(open_page)
    button = page.locator(ROWS).first.locator(".list")
    button.click()
    expect(button).to_have_text("listed")
    expect(page.get_by_text(re.compile("is now in the list My latents"))).to_be_visible()
    settle(page)
    button.click()
    expect(button).to_have_text("+ list")


def test_the_link_opens_the_same_view(open_page: Open) -> None:
    page = opened(open_page, "&by=quantile&density=5&token=4&shade=common")
    other = open_page("search?" + page.url.split("?", 1)[1], ready=ROWS)
    assert other.locator(".st-key-search-results").inner_text() == page.locator(".st-key-search-results").inner_text()


def test_words_and_texts_are_two_sides_of_one_page(open_page: Open) -> None:
    page = opened(open_page)
    before = names(page)
    page.get_by_text("By word", exact=True).click()
    expect(page).to_have_url(re.compile("find=word"))
    settle(page)
    page.get_by_text("By text", exact=True).click()
    page.wait_for_selector(ROWS)
    expect(page).to_have_url(re.compile("prompt=The"))
    settle(page)
    assert names(page) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_nothing_scrolls_sideways(open_page: Open, scheme: str, width: int) -> None:
    page = opened(open_page, scheme=scheme, width=width)
    # The document itself never scrolls: Streamlit's main pane does.
    assert page.locator("[data-testid=stMain]").evaluate("element => element.scrollWidth <= element.clientWidth")
    table = page.locator(".st-key-search-results .table")
    assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
