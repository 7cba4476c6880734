"""The latent page as a person uses it: real model, real dictionaries and their index, real Chromium."""

import json
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TOKEN, Open, settle, shaded, token

pytestmark = [pytest.mark.browser, pytest.mark.real]

CITIES = "smollm2-135m/15.resid_post/501"
ROW = ".st-key-latent-band-top .row"
PARIS = "The capital of France is Paris."


def latent_page(open_page: Open, latent: str = CITIES, query: str = "", **options: str | int) -> Page:
    return open_page(f"latent?latent={quote(latent)}{query}", ready=options.pop("ready", ROW), **options)


def title(page: Page) -> str:
    return page.locator("h1").inner_text()


def values(page: Page, place: str) -> list[float]:
    return [float(text.rstrip("*").replace(",", "")) for text in page.locator(f"{place} .anchor .value").all_inner_texts()]


def press(page: Page, key: str) -> None:
    """Press a key and wait for another latent."""
    before = title(page)
    page.keyboard.press(key)
    expect(page.locator("h1")).not_to_have_text(before)
    settle(page)


def test_the_strongest_examples_come_strongest_first_on_the_scale_of_the_legend(open_page: Open) -> None:
    page = latent_page(open_page)
    found = values(page, ".st-key-latent-band-top")
    assert len(found) >= 5 and found == sorted(found, reverse=True)
    maximum = re.search(r"([\d.]+)\s+\(its largest", page.locator(".st-key-latent-tests .legend").inner_text())
    assert maximum is not None and found[0] == pytest.approx(float(maximum[1]), rel=1e-3)
    expect(page.locator(".st-key-latent-band-near .row").first).to_contain_text("*")


def test_a_click_on_a_latent_of_the_highlight_page_leads_here_and_back(open_page: Open) -> None:
    page = open_page(f"?prompt={quote(PARIS)}&token=6")
    before = shaded(page)
    row = page.locator(".st-key-highlight-latents .row").nth(1)
    latent = row.get_attribute("data-latent") or ""
    row.locator(".link").click()
    page.wait_for_url(re.compile(f"/latent.*{quote(latent, safe='')}"))
    expect(page.locator(".st-key-latent-tests .row")).to_contain_text("Paris")
    settle(page)
    page.go_back()
    page.wait_for_selector(TOKEN)
    settle(page)
    assert len(shaded(page)) == len(before)
    expect(token(page, 6)).to_have_class(re.compile("selected"))


def test_keys_go_through_the_latents_and_leave_typing_alone(open_page: Open) -> None:
    page = latent_page(open_page)
    press(page, "]")
    assert "latent 502 of" in title(page)
    press(page, "[")
    assert "latent 501 of" in title(page)
    press(page, "r")
    assert "latent 501 of" not in title(page)
    there = title(page)
    page.keyboard.press("t")
    expect(page.locator(".st-key-latent-text textarea")).to_be_focused()
    page.keyboard.type("[r]s")
    expect(page.locator(".st-key-latent-text textarea")).to_have_value("[r]s")
    assert title(page) == there


def test_s_steers_with_this_latent(open_page: Open) -> None:
    page = latent_page(open_page)
    page.keyboard.press("s")
    page.wait_for_url(re.compile(r"/steer\?.*edit=.*501"))


def test_back_returns_to_the_latent_before(open_page: Open) -> None:
    page = latent_page(open_page)
    press(page, "]")
    page.go_back()
    expect(page.locator("h1")).to_contain_text("latent 501 of")


def test_the_live_test_shades_as_the_highlight_page_does(open_page: Open) -> None:
    page = latent_page(open_page)
    box = page.locator(".st-key-latent-text textarea")
    box.fill(PARIS)
    box.press("Control+Enter")
    row = page.locator(".st-key-latent-tests .row")
    expect(row).to_contain_text("Paris")
    settle(page)
    tip = page.locator(".st-key-latent-tests .tip")
    row.locator('[data-token="6"]').hover()
    value = re.search(r"^[\d.]+$", tip.inner_text(), re.MULTILINE)
    assert value is not None
    other = open_page(f"?prompt={quote(PARIS)}&latent={quote(CITIES)}")
    assert value[0] in shaded(other)[6]


def test_an_example_can_be_tested_and_the_test_before_comes_back(open_page: Open) -> None:
    page = latent_page(open_page, query=f"&test={quote(PARIS)}")
    page.locator(ROW).nth(1).hover()
    page.locator(ROW).nth(1).locator(".act").click()
    expect(page.locator(".st-key-latent-text textarea")).not_to_have_value(PARIS)
    settle(page)
    page.get_by_text("Earlier tests (1)").click()
    page.locator(".st-key-latent-earlier-tests .act").click()
    expect(page.locator(".st-key-latent-text textarea")).to_have_value(PARIS)


def test_a_hovered_token_is_marked_on_the_histogram(open_page: Open) -> None:
    page = latent_page(open_page)
    page.locator(ROW).first.locator(".text .at").hover()
    value = page.locator(".st-key-latent-band-top .tip").inner_text().split("\n")[1]
    expect(page.locator(".st-key-latent-bins .marker")).to_contain_text(f"{float(value):.2f}")
    page.locator("h1").hover()
    expect(page.locator(".st-key-latent-bins .marker")).to_have_count(0)


def test_a_bar_filters_the_examples_and_lets_go(open_page: Open) -> None:
    page = latent_page(open_page)
    page.locator('.st-key-latent-bins [data-bin="39"]').click()
    page.wait_for_url(re.compile("bin=39"))
    expect(page.locator(".st-key-latent-band-bin .row")).not_to_have_count(0)
    settle(page)
    most = max(values(page, ".st-key-latent-band-bin"))
    assert all(value > most * 38 / 40 for value in values(page, ".st-key-latent-band-bin"))
    page.locator(".st-key-latent-all button").click()
    expect(page.locator(ROW)).not_to_have_count(0)
    settle(page)
    assert "bin=" not in page.url


def test_a_neighbour_is_a_click_away(open_page: Open) -> None:
    page = latent_page(open_page)
    row = page.locator(".st-key-latent-within .row").first
    wanted = row.get_attribute("data-latent") or ""
    row.locator(".open").click()
    expect(page.locator("h1")).to_contain_text(f"latent {wanted.rpartition('/')[2]} of")


def test_the_vector_is_a_json_array_as_wide_as_the_model(open_page: Open) -> None:
    page = latent_page(open_page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Vector").click()
    assert download.value.suggested_filename.endswith("_501.json")
    numbers = json.loads(download.value.path().read_text())
    assert len(numbers) == 576 and all(isinstance(number, float) for number in numbers)


def test_a_label_and_a_new_list_are_kept(open_page: Open) -> None:
    page = latent_page(open_page)
    label = page.get_by_role("textbox", name="Your label")
    label.fill("names of <b>cities</b>")
    label.press("Enter")
    expect(page.locator("h4")).to_contain_text("names of <b>cities</b>")
    settle(page)
    box = page.locator(".st-key-latent-lists input")
    box.fill("places")
    box.press("Enter")
    settle(page)
    expect(page.locator(".st-key-latent-lists input")).to_have_attribute("placeholder", "In places")
    assert "names of" in latent_page(open_page).locator("h4").inner_text()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1920)])
def test_the_page_follows_the_theme_and_nothing_scrolls_sideways(open_page: Open, scheme: str, width: int) -> None:
    page = latent_page(open_page, scheme=scheme, width=width)
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert (lightness < 60) == (scheme == "dark")
    assert page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth <= e.clientWidth")
