"""The highlight page as a person uses it: real model, real dictionaries, real Chromium."""

import csv
import io
import json
import re
import subprocess
import sys
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TOKEN, Open, expect_legend, settle, shaded, token, type_prompt
from tests.browser.serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.real]

PARIS = "The capital of France is Paris."


def first_row(page):
    return page.locator(".st-key-highlight-latents .row").first


def test_first_open_is_a_worked_example_that_says_what_is_seen(open_page: Open) -> None:
    page = open_page()
    expect(page.get_by_text(re.compile(r"fires on \d+ of \d+ tokens of this text"))).to_be_visible()
    expect(page.locator(".st-key-highlight-latents .row.shown")).to_have_count(1)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("device")


def test_a_click_on_a_token_lists_the_latents_that_the_command_line_lists(open_page: Open) -> None:
    page = open_page(f"?sae=smollm2-135m/19.resid_post&prompt={quote(PARIS)}")
    token(page, 6).click()
    expect(page.locator(".st-key-highlight-latents .row")).not_to_have_count(0)
    settle(page)
    listed = [
        (row.get_attribute("data-latent"), row.locator(".value").get_attribute("title"))
        for row in page.locator(".st-key-highlight-latents .row").all()[:5]
    ]
    command = [sys.executable, "-m", "dashboard", "highlight", PARIS, "--sae", "smollm2-135m/19.resid_post", "--json"]
    answer = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    expected = [(f"smollm2-135m/19.resid_post/{entry['latent']}", f"{entry['value']:.4f}") for entry in answer["tokens"][6]["latents"]]
    assert listed == expected


def test_a_click_on_a_latent_shades_the_strip_by_it_and_pins_stay(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=6")
    rows = page.locator(".st-key-highlight-latents .row")
    second = rows.nth(1).get_attribute("data-latent")
    rows.nth(1).locator(".open .name").click()
    expect_legend(page, second)
    first = rows.nth(0).get_attribute("data-latent")
    rows.nth(0).locator(".pin").click()
    expect(page.locator(".st-key-highlight-strip .lane")).to_contain_text(first)
    settle(page)
    rows.nth(2).locator(".pin").click()
    expect(page.locator(".st-key-highlight-strip .lane")).to_have_count(2)
    expect(token(page, 6)).to_have_css("box-shadow", re.compile("oklab|rgb|color"))
    settle(page)
    page.locator(".st-key-highlight-strip .lane").first.click()
    expect(page.locator(".st-key-highlight-strip .lane")).to_have_count(1)


def test_the_link_opens_the_same_view_in_another_browser(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=6")
    page.locator(".st-key-highlight-latents .row").nth(2).locator(".pin").click()
    expect(page.locator(".st-key-highlight-strip .lane")).to_have_count(1)
    settle(page)
    page.locator(".st-key-highlight-latents .row").nth(1).locator(".name").click()
    expect(page.locator(".st-key-highlight-latents .row").nth(1)).to_have_class(re.compile("shown"))
    settle(page)
    other = open_page("?" + page.url.split("?", 1)[1])
    assert shaded(other) == shaded(page)
    assert other.locator(".st-key-highlight-latents").inner_text() == page.locator(".st-key-highlight-latents").inner_text()
    assert other.locator(".st-key-highlight-map").inner_text() == page.locator(".st-key-highlight-map").inner_text()


@pytest.mark.parametrize("gap_ms", [0, 60, 200, 350])
def test_of_quick_clicks_the_last_one_wins(open_page: Open, gap_ms: int) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=6")
    for position in (1, 3, 2, 5):
        token(page, position).click()
        page.wait_for_timeout(gap_ms)
    expect(token(page, 5)).to_have_class(re.compile("selected"))
    page.wait_for_url(re.compile("token=5"))
    settle(page)
    expect(token(page, 5)).to_have_class(re.compile("selected"))


def test_a_token_beyond_the_prompt_leaves_the_page_whole(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=400")
    expect(page.locator(".st-key-highlight-map .cells")).to_have_count(36)
    expect(page.locator(f'{TOKEN}[tabindex="0"]')).to_have_count(1)


def test_back_returns_to_the_view_before(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=6")
    page.goto(page.url.replace("token=6", "token=2"))
    page.wait_for_selector(TOKEN)
    expect(token(page, 2)).to_have_class(re.compile("selected"))
    page.go_back()
    expect(token(page, 6)).to_have_class(re.compile("selected"))


def test_hover_tells_the_value_to_four_decimals(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}")
    token(page, 6).hover()
    expect(page.locator(".st-key-highlight-strip .tip")).to_contain_text(re.compile(r"\d+\.\d{4}"))


def test_special_tokens_are_shown_but_out_of_the_scale(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}")
    expect(token(page, 0)).to_have_class(re.compile("special"))
    expect(token(page, 0)).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    legend = page.locator(".st-key-highlight-strip .legend").inner_text().replace(",", "")
    values = [float(re.search(r"([\d,]+\.\d{4})", label).group(1).replace(",", "")) for label in shaded(page)]
    assert f"{max(values[1:]):.2f}" in legend


def test_characters_across_token_borders_are_whole(open_page: Open) -> None:
    text = "한국어 👩‍👩‍👧 🇰🇷 e\u0301 done"
    page = open_page(f"?prompt={quote(text)}")
    shown = [cell.inner_text() for cell in page.locator(TOKEN).all()[1:]]
    assert "".join(shown).strip() == text
    assert any("👩‍👩‍👧" in part for part in shown) and any("🇰🇷" in part for part in shown)


def test_the_map_goes_to_another_layer(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&sae=smollm2-135m/15.resid_post")
    line = page.locator('.st-key-highlight-map [data-row^="smollm2-135m/11.resid_post"]')
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 6.5 / 8, box["y"] + box["height"] / 2)
    expect_legend(page, "smollm2-135m/11.resid_post/")
    expect(token(page, 6)).to_have_class(re.compile("selected"))
    assert "sae=smollm2-135m%2F11.resid_post" in page.url


def test_everything_works_from_the_keyboard(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}")
    token(page, 0).focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(token(page, 6)).to_have_class(re.compile("selected"))
    settle(page)
    expect(first_row(page)).to_be_visible()
    first_row(page).locator(".open").focus()
    page.keyboard.press("p")
    expect(page.locator(".st-key-highlight-strip .lane")).to_have_count(1)
    settle(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-highlight-latents .row").nth(1)).to_have_class(re.compile("shown"))


def test_markup_in_a_prompt_is_text(open_page: Open) -> None:
    text = "<script>alert(1)</script><img src=x onerror=alert(2)> **bold** $x$"
    page = open_page()
    type_prompt(page, text)
    expect(page.locator(".st-key-highlight-strip .strip")).to_contain_text("onerror=alert(2)")
    settle(page)
    assert "".join(cell.inner_text() for cell in page.locator(TOKEN).all()[1:]) == text
    assert page.locator(".st-key-highlight-strip img, .st-key-highlight-strip script").count() == 0
    hostile = open_page(f"?latent={quote('<img src=x onerror=alert(1)>/x/1')}")
    expect(hostile.get_by_test_id("stAlert").first).to_contain_text("<img src=x")


@pytest.mark.parametrize(("text", "message"), [("", "0 tokens"), ("word " * 20_000, "the limit is 2,048")])
def test_bad_input_is_said_and_the_next_request_works(open_page: Open, text: str, message: str) -> None:
    page = open_page()
    type_prompt(page, text)
    expect(page.get_by_test_id("stAlert").first).to_contain_text(message)
    settle(page)
    type_prompt(page, PARIS)
    expect(page.locator(TOKEN)).to_have_count(8)
    expect(page.get_by_test_id("stAlert").filter(has_text=message)).to_have_count(0)


def test_two_browsers_at_once_see_their_own_numbers(open_page: Open) -> None:
    texts = [PARIS, "def add(a, b): return a + b"]
    alone = [shaded(open_page(f"?prompt={quote(text)}&latent=smollm2-135m/19.resid_post/615")) for text in texts]
    one, two = open_page(), open_page()
    for _ in range(3):
        type_prompt(one, texts[0])
        type_prompt(two, "")
        type_prompt(two, texts[1])
        expect(one.locator(TOKEN)).to_have_count(len(alone[0]))
        expect(two.locator(TOKEN)).to_have_count(len(alone[1]))
        settle(one), settle(two)
        assert [shaded(one), shaded(two)] == alone


def test_the_csv_is_what_the_strip_shows(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}")
    page.get_by_role("button", name="Copy as CSV").click()
    lines = list(csv.reader(io.StringIO(page.get_by_test_id("stCode").inner_text().strip())))
    values = [float(re.search(r"([\d,]+\.\d{4})", label).group(1).replace(",", "")) for label in shaded(page)]
    assert [float(line[-1]) for line in lines[1:]] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_theme_and_nothing_scrolls_sideways(open_page: Open, scheme: str) -> None:
    page = open_page(scheme=scheme)
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert (lightness < 60) == (scheme == "dark")
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_three_hundred_tokens_and_a_chat_are_drawn(open_page: Open) -> None:
    page = open_page(f"?chat=1&prompt={quote('The dog sleeps. ' * 70)}")
    assert page.locator(TOKEN).count() > 280
    expect(page.locator(f"{TOKEN}.special")).to_have_count(5)
