"""The steer page in a real Chromium, with the default model: what a person does with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import TIMEOUT_MS, Open, settle

TOKEN = ".st-key-steer-pair [data-position]"
LATENT = "smollm2-135m/15.resid_post/501"
EDIT = f"{LATENT}:add:0.4:norm"
LINK = f"steer?prompt=My+favourite+thing+about+the+weekend+is&edit={EDIT}&tokens={{tokens}}&temperature=0"


def text_of(page: Page, side: str) -> str:
    return "".join(page.locator(f".st-key-steer-pair .side.{side} .tokens").all_text_contents())


def amount(page: Page):
    return page.get_by_role("spinbutton", name="Number")


def set_amount(page: Page, value: str) -> None:
    amount(page).fill(value)
    amount(page).press("Enter")


def test_the_first_open_shows_two_texts_that_part_and_says_what_is_seen(open_page: Open) -> None:
    page = open_page("steer", ready=TOKEN)
    assert text_of(page, "plain").strip() and text_of(page, "plain") != text_of(page, "steered")
    expect(page.locator(".st-key-steer-pair")).to_contain_text("KL, nats")
    expect(page.get_by_text("One text shows that it can happen")).to_be_visible()


@pytest.fixture
def writing(browser: Browser, server: str) -> Iterator[Page]:
    """A page in the middle of writing 400 tokens."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{server}/{LINK.format(tokens=400)}")
    page.locator("[data-testid=stHtml]", has_text="Steered").first.wait_for()
    yield page
    page.context.close()


def stop(page: Page) -> int:
    """Stop writing; returns how many tokens there are."""
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    page.wait_for_selector(TOKEN)
    settle(page)
    return page.locator(".st-key-steer-pair .side.steered [data-position]").count()


def test_a_slider_dragged_while_it_writes_starts_anew_at_its_new_place(writing: Page, open_page: Open) -> None:
    box = writing.get_by_role("slider", name="Amount").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    writing.mouse.move(*middle)
    writing.mouse.down()
    for step in range(6):
        writing.mouse.move(middle[0] + 8 * step, middle[1])
    writing.mouse.up()
    expect(amount(writing)).not_to_have_value("0.4")
    moved = float(amount(writing).input_value())
    assert moved > 0.4
    writing.wait_for_function(f"decodeURIComponent(location.href).includes('add:{moved:g}:norm')")
    writing.locator("[data-testid=stHtml]", has_text="Steered").first.wait_for()
    written = stop(writing)
    assert 0 < written < 400
    whole = open_page(LINK.format(tokens=40).replace("add:0.4", f"add:{moved:g}"), ready=TOKEN)
    shorter = min(len(text_of(whole, "steered")), len(text_of(writing, "steered")))
    assert text_of(writing, "steered")[:shorter] == text_of(whole, "steered")[:shorter] != ""


def test_the_slider_and_back_gives_the_same_text_again(open_page: Open) -> None:
    page = open_page(LINK.format(tokens=16), ready=TOKEN)
    before = text_of(page, "steered")
    slider = page.get_by_role("slider", name="Amount")
    slider.focus()
    for _ in range(6):
        slider.press("ArrowRight")
    expect(amount(page)).to_have_value("0.55")
    settle(page)
    assert text_of(page, "steered") != before
    set_amount(page, "0.4")
    page.wait_for_function("decodeURIComponent(location.href).includes('add:0.4:norm')")
    settle(page)
    assert text_of(page, "steered") == before


def test_stop_keeps_what_has_been_written(writing: Page) -> None:
    assert 0 < stop(writing) < 400
    expect(writing.locator(".st-key-steer-pair")).to_contain_text("stopped")


def test_the_link_opens_the_same_texts_in_another_browser(open_page: Open) -> None:
    page = open_page(LINK.format(tokens=16), ready=TOKEN)
    page.locator(".st-key-steer-pair .side.steered [data-position='5']").click()
    expect(page.get_by_text("Token 5 of the steered text")).to_be_visible()
    settle(page)
    other = open_page(page.url.split("/", 3)[3], ready=TOKEN)
    expect(other.get_by_text("Token 5 of the steered text")).to_be_visible()
    for side in ("plain", "steered"):
        assert text_of(other, side) == text_of(page, side)


def test_two_browsers_steer_differently_at_the_same_time(open_page: Open) -> None:
    first, second = (open_page(LINK.format(tokens=24), ready=TOKEN) for _ in range(2))
    set_amount(first, "0.9")
    set_amount(second, "-0.9")
    for page, value in ((first, "0.9"), (second, "-0.9")):
        settle(page)
        expect(amount(page)).to_have_value(value)
        assert f"add:{value}:norm" in page.url.replace("%3A", ":")
    assert text_of(first, "plain") == text_of(second, "plain")
    assert text_of(first, "steered") != text_of(second, "steered")
    for page, value in ((first, "0.9"), (second, "-0.9")):
        alone = open_page(LINK.format(tokens=24).replace("add:0.4", f"add:{value}"), ready=TOKEN)
        assert text_of(alone, "steered") == text_of(page, "steered")


def test_a_latent_comes_from_the_highlight_page_and_its_text_is_there_on_return(open_page: Open) -> None:
    page = open_page("?prompt=Lisbon+and+Porto&latent=" + LATENT)
    page.get_by_role("button", name="Steer").click()
    page.wait_for_selector(TOKEN)
    settle(page)
    assert f"edit={LATENT}:add" in page.url.replace("%2F", "/").replace("%3A", ":")
    page.get_by_role("link", name="Highlight").click()
    page.wait_for_selector(".st-key-highlight-strip [data-position]")
    settle(page)
    expect(page.get_by_role("textbox", name="Text")).to_have_value("Lisbon and Porto")


def test_files_hold_the_comparison_and_the_html_opens_without_a_network(open_page: Open, browser: Browser, tmp_path: Path) -> None:
    page = open_page(LINK.format(tokens=16), ready=TOKEN)
    plain, steered = text_of(page, "plain"), text_of(page, "steered")
    files = {}
    for name in ("HTML", "JSON", "Neuronpedia JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(f"{name}$")).filter(has_text=re.compile(f"(^|download){name}$")).click()
        files[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[name])
    answer = json.loads(files["JSON"].read_text())
    assert answer["plain"]["text"] == plain and answer["steered"]["text"] == steered
    assert len(answer["kl"]) == len(answer["steered"]["ids"]) == 16
    assert answer["record"]["ask"]["edits"] == [{"edit": EDIT, "where": "everywhere"}]
    response = json.loads(files["Neuronpedia JSON"].read_text())["response"]
    assert response["STEERED"].endswith(steered) and len(response["steeredLogProbs"]) == 16
    alone = browser.new_context(offline=True).new_page()
    requests: list[str] = []
    alone.on("request", lambda request: requests.append(request.url))
    alone.goto(files["HTML"].as_uri())
    alone.wait_for_selector("[data-position]")
    assert "".join(alone.locator(".side.steered .tokens").all_text_contents()) == steered
    assert requests == [files["HTML"].as_uri()]
    alone.context.close()


def test_a_dose_response_runs_in_the_background_and_can_be_cancelled(open_page: Open) -> None:
    page = open_page(LINK.format(tokens=8), ready=TOKEN)
    page.get_by_role("tab", name="Dose response").click()
    page.get_by_label("Seeds").fill("1")
    page.get_by_role("button", name=re.compile("Measure")).click()
    expect(page.get_by_text("done: 5 of 5 texts")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("KL per token, nats").first).to_be_visible()
    page.get_by_label("Seeds").fill("50")
    page.get_by_role("button", name=re.compile("Measure")).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled at")).to_be_visible(timeout=60_000)
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector(TOKEN)


def test_a_saved_run_can_be_opened_again(open_page: Open) -> None:
    page = open_page(LINK.format(tokens=12), ready=TOKEN)
    steered = text_of(page, "steered")
    page.get_by_role("button", name="Save this run").click()
    expect(page.get_by_text("Saved as steer/")).to_be_visible()
    page.get_by_role("button", name="Without cities").click()
    page.wait_for_function("location.href.includes('Paris')")
    settle(page)
    page.get_by_role("tab", name="Saved runs").click()
    page.locator('[class*="st-key-steer-open-"] button').first.click()
    page.wait_for_function("location.href.includes('weekend')")
    settle(page)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".st-key-steer-pair .side.steered")).to_contain_text(steered.split()[1])
    settle(page)
    assert text_of(page, "steered") == steered


def test_any_latent_shades_both_texts_and_a_wrong_name_is_told(open_page: Open) -> None:
    page = open_page(LINK.format(tokens=12), ready=TOKEN)
    box = page.get_by_role("combobox", name="Shade both texts by")
    box.fill("smollm2-135m/15.resid_post/145")
    box.press("Enter")
    expect(page.locator(".st-key-steer-pair")).to_contain_text("15.resid_post/145")
    page.wait_for_function("decodeURIComponent(location.href).includes('shade=smollm2-135m/15.resid_post/145')")
    settle(page)
    box.fill("smollm2-135m/15.resid_post/99999")
    box.press("Enter")
    expect(page.get_by_text("it has 2,048 latents")).to_be_visible()
    expect(page.locator(TOKEN).first).to_be_visible()
