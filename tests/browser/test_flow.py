"""The flow page as a person uses it: real model, real dictionaries, real Chromium, real clicks on the canvas."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, settle
from tests.browser.serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.real]
expect.set_options(timeout=30_000)  # the server may share its cores with other work
STAGE = ".st-key-flow-canvas .stage[data-ready]"
SEED = "smollm2-135m/19.resid_post/615"
CITIES = ["11.resid_post/1898", "15.resid_post/501", "16.resid_post/174", "17.resid_post/1593", "18.resid_post/1847"]
"""What carries the seed through the layers: latents of cities, by their decoder rows alone."""


def opened(open_page: Open, query: str = "", **more: object) -> Page:
    page = open_page(f"flow{query}", ready="h1", **more)
    page.wait_for_selector(STAGE, timeout=200_000)  # the first page of a server loads the model and matches 36 dictionaries
    settle(page)
    return page


def named(short: str) -> str:
    return f"smollm2-135m/{short}"


def place(page: Page, key: str, on: str = STAGE) -> tuple[float, float]:
    """Where a node is on the window."""
    stage = page.locator(on)
    stage.scroll_into_view_if_needed()
    box, at = stage.bounding_box(), stage.evaluate("(stage, key) => stage.whereIs(key)", key)
    assert box and at, key
    return box["x"] + at["x"], box["y"] + at["y"]


def on_card(page: Page, key: str) -> None:
    expect(page.locator("code").get_by_text(key, exact=True)).to_be_visible()


def steers_with(page: Page, latents: list[str]) -> None:
    """The steer page has an edit of each latent, and the texts that it makes."""
    expect(page.get_by_role("spinbutton", name="Number")).to_have_count(len(latents))
    for short in latents:
        expect(page.get_by_test_id("stMain").get_by_text(named(short), exact=True)).to_be_visible()
    expect(page.locator(".st-key-steer-pair .side.steered [data-position]").first).to_be_visible(timeout=120_000)
    settle(page)


def test_first_open_tells_a_true_story(open_page: Open) -> None:
    page = opened(open_page)
    assert {SEED, *map(named, CITIES)} <= set(page.locator(STAGE).evaluate("stage => stage.nodeIds()"))
    expect(page.get_by_text(re.compile("One direction in layers 8 to 19: 12 residual latents"))).to_be_visible()
    on_card(page, SEED)


def test_the_graph_is_that_of_the_command_line(open_page: Open) -> None:
    page = opened(open_page, f"?seed={SEED}&t_res=0.6&t_module=0.2")
    command = [sys.executable, "-m", "dashboard", "flow", SEED, "--t-res", "0.6", "--t-module", "0.2", "--json"]
    answer = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert sorted(page.locator(STAGE).evaluate("stage => stage.nodeIds()")) == sorted(node["id"] for node in answer["nodes"])


def test_a_clicked_node_shows_its_card_beside_the_graph_which_stays(open_page: Open) -> None:
    page = opened(open_page)
    page.locator(f"{STAGE} canvas").evaluate("canvas => { canvas.dataset.same = 1; }")
    for short in CITIES:
        page.mouse.click(*place(page, named(short)))
        on_card(page, named(short))
        settle(page)
    expect(page).to_have_url(re.compile("chosen=smollm2-135m%2F18.resid_post%2F1847"))
    assert page.locator(f"{STAGE} canvas").get_attribute("data-same") == "1"
    # Seen before: nothing has to be computed but the card.
    started = time.monotonic()
    page.mouse.click(*place(page, named(CITIES[2])))
    on_card(page, named(CITIES[2]))
    assert time.monotonic() - started < 10


def test_shift_pins_and_an_edge_compares_its_ends(open_page: Open) -> None:
    page = opened(open_page)
    page.keyboard.down("Shift")
    page.mouse.click(*place(page, named(CITIES[1])))
    page.keyboard.up("Shift")
    expect(page.locator(".st-key-flow-pinned .row, .st-key-flow-pinned [data-latent], .st-key-flow-pinned button").first).to_be_visible()
    expect(page).to_have_url(re.compile("pin=smollm2-135m%2F15.resid_post%2F501"))
    settle(page)
    (x0, y0), (x1, y1) = place(page, named(CITIES[3])), place(page, named(CITIES[4]))
    page.mouse.click((x0 + x1) / 2, (y0 + y1) / 2)
    expect(page.get_by_text(re.compile(r"^Cosine 0\.70"))).to_be_visible()
    expect(page.get_by_text(re.compile("Promoted by both"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"both fire on \d+ of \d+ tokens where either does: "))).to_be_visible()


def test_a_double_click_follows_and_undo_and_back_lead_home(open_page: Open) -> None:
    page = opened(open_page)
    page.mouse.dblclick(*place(page, named(CITIES[4])))
    expect(page).to_have_url(re.compile("seed=smollm2-135m%2F18.resid_post%2F1847"))
    settle(page)
    on_card(page, named(CITIES[4]))
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile("seed=smollm2-135m%2F19.resid_post%2F615"))
    settle(page)
    page.go_back()
    expect(page).to_have_url(re.compile("seed=smollm2-135m%2F18.resid_post%2F1847"))
    settle(page)
    expect(page.get_by_role("textbox", name="Seed")).to_have_value(named(CITIES[4]))


def test_a_text_lights_the_nodes_and_a_clicked_token_moves_the_light(open_page: Open) -> None:
    page = opened(open_page)
    page.mouse.move(*place(page, SEED))
    expect(page.locator(".st-key-flow-canvas .tip")).to_contain_text("on this token")
    page.locator('.st-key-flow-strip [data-position="2"]').click()
    expect(page).to_have_url(re.compile("token=2"))
    settle(page)
    page.mouse.move(5, 5)
    page.mouse.move(*place(page, SEED))
    expect(page.locator(".st-key-flow-canvas .tip")).to_contain_text("silent here")


def test_the_keyboard_walks_chooses_and_pins(open_page: Open) -> None:
    page = opened(open_page)
    page.locator(STAGE).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    on_card(page, named(CITIES[4]))
    settle(page)
    page.locator(STAGE).focus()
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("pin=smollm2-135m%2F18.resid_post%2F1847"))


def test_a_chosen_latent_and_the_whole_path_become_edits_that_steer(open_page: Open) -> None:
    view = f"?seed={SEED}&t_res=0.66&chosen={named(CITIES[4])}"
    page = opened(open_page, view)
    page.get_by_role("button", name="Steer", exact=True).click()
    steers_with(page, [CITIES[4]])
    page = opened(open_page, view)
    page.get_by_role("button", name="Steer path").click()
    expect(page).to_have_url(re.compile(r"/steer\?.*edit=smollm2-135m%2F18.resid_post%2F1847%3Aadd%3A"))
    steers_with(page, [*CITIES[3:], "19.resid_post/615"])


def test_a_latent_goes_into_a_new_list_with_a_word_and_the_graph_stays_where_it_is(open_page: Open) -> None:
    page = opened(open_page, f"?seed={SEED}&t_res=0.66&chosen={named(CITIES[4])}")
    before = place(page, SEED)
    box = page.locator(".st-key-flow-lists input")
    box.fill("cities of the flow")
    box.press("Enter")
    expect(page.get_by_test_id("stToast")).to_contain_text("1 latent is in the list cities of the flow.")
    assert place(page, SEED) == before
    page.get_by_role("link", name="Lists").click()
    expect(page.get_by_role("link", name=CITIES[4], exact=True)).to_be_visible()


def test_a_saved_web_page_is_looked_at_again_beside_the_graph(open_page: Open, tmp_path: Path) -> None:
    page = opened(open_page, f"?seed={SEED}&t_res=0.66")
    page.locator("[data-testid=stExpander]", has_text="Files").locator("summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Web page").click()
    file = tmp_path / "flow.html"
    download.value.save_as(file)
    page.locator(".st-key-flow-import input[type=file]").set_input_files(file)
    again = page.locator(".st-key-flow-imported .stage[data-ready]")
    expect(again).to_be_visible()
    assert again.evaluate("stage => stage.nodeIds()") == page.locator(STAGE).evaluate("stage => stage.nodeIds()")
    settle(page)
    page.mouse.dblclick(*place(page, named(CITIES[4]), ".st-key-flow-imported .stage[data-ready]"))
    expect(page.get_by_role("textbox", name="Seed")).to_have_value(named(CITIES[4]))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("dark", 1920)])
def test_nothing_scrolls_sideways_and_the_graph_fills_its_column(open_page: Open, scheme: str, width: int) -> None:
    page = opened(open_page, scheme=scheme, width=width)
    assert page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollWidth <= document.querySelector('[data-testid=stMain]').clientWidth"
    )
    box = page.locator(STAGE).bounding_box()
    assert box is not None
    xs = [place(page, named(short))[0] for short in ("8.resid_post/133", "19.resid_post/615")]
    assert box["x"] < xs[0] < box["x"] + 0.2 * box["width"] and box["x"] + 0.8 * box["width"] < xs[1] < box["x"] + box["width"]
