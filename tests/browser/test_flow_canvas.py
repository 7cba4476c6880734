"""The canvas in a real Chromium, in an app that has nothing else: real clicks on nodes and links, keys, and a page of its own."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from components.graph.files import web_page
from components.graph.picture import picture
from tests.browser.conftest import TIMEOUT_MS
from tests.browser.serving import ROOT, served
from tests.components.graph.test_graph import chain, hostile

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)  # the server may share its cores with other work
STAGE = ".stage[data-ready]"
CITIES, CAPITALS = "tiny/11.resid_post/501", "tiny/10.mlp_out/7"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, here = tmp_path_factory.mktemp("tiny"), {"PYTHONPATH": str(ROOT)}
    with served("streamlit", "run", "tests/browser/flow_app.py", port_option="--server.port", folder=folder, environment=here) as url:
        yield url


@pytest.fixture
def page(browser: Browser, tiny: str) -> Iterator[Page]:
    """The tiny app. In the end: no other host was asked and no script failed."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    foreign, failures = [], []
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((tiny, "data:", "blob:")) else None)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(tiny)
    page.wait_for_selector(STAGE)
    yield page
    context.close()
    assert foreign == [] and failures == []


def place(page: Page, key: str) -> tuple[float, float]:
    """Where a node is on the window."""
    stage = page.locator(STAGE)
    box = stage.bounding_box()
    at = stage.evaluate("(stage, key) => stage.whereIs(key)", key)
    assert box and at, key
    return box["x"] + at["x"], box["y"] + at["y"]


def said(page: Page, text: str) -> None:
    expect(page.get_by_text(f"said: {text}", exact=True)).to_be_visible()


def test_a_node_is_clicked_on_the_canvas_and_the_graph_stays(page: Page) -> None:
    page.locator(STAGE).evaluate("stage => { stage.querySelector('canvas').dataset.same = 1; }")
    page.mouse.click(*place(page, CAPITALS))
    said(page, f"click {CAPITALS}")
    page.mouse.click(*place(page, CITIES))
    said(page, f"click {CITIES}")
    assert page.locator(f"{STAGE} canvas").get_attribute("data-same") == "1"


def test_shift_pins_an_edge_can_be_clicked_and_the_empty_canvas_too(page: Page) -> None:
    page.keyboard.down("Shift")
    page.mouse.click(*place(page, CITIES))
    page.keyboard.up("Shift")
    said(page, f"shift {CITIES}")
    (x0, y0), (x1, y1) = place(page, "tiny/10.resid_post/1039"), place(page, CITIES)
    page.mouse.click((x0 + x1) / 2, (y0 + y1) / 2)
    said(page, f"click tiny/10.resid_post/1039 {CITIES}")
    page.mouse.click(x0, y0 + 200)
    said(page, "click nothing")


def test_a_double_click_makes_a_node_the_seed_of_another_graph(page: Page) -> None:
    page.mouse.dblclick(*place(page, "tiny/9.resid_post/1898"))
    said(page, "double tiny/9.resid_post/1898")
    page.mouse.click(*place(page, CAPITALS))
    said(page, f"click {CAPITALS}")


def test_hovering_tells_the_name_the_label_and_the_note(page: Page) -> None:
    page.mouse.move(*place(page, CITIES))
    expect(page.locator(".tip")).to_have_text(re.compile(rf"^{re.escape(CITIES)}\s<b>cities & towns</b>\ss_R 0.67$"))
    page.mouse.move(3, 3)
    expect(page.locator(".tip")).to_have_count(0)


def test_the_keyboard_does_all_that_the_mouse_does(page: Page) -> None:
    page.locator(STAGE).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    said(page, "click tiny/10.resid_post/1039")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("p")
    said(page, f"shift {CAPITALS}")
    expect(page.locator(".heard")).to_contain_text("capitals")
    page.keyboard.press("Control+Enter")
    said(page, f"double {CAPITALS}")


def test_light_comes_and_goes_without_another_graph(page: Page) -> None:
    expect(page.locator(".bar")).not_to_contain_text("its largest")
    page.get_by_text("light", exact=True).click()
    expect(page.locator(".bar")).to_contain_text("its largest")
    page.mouse.move(*place(page, CITIES))
    expect(page.locator(".tip")).to_contain_text("8.0000 here")


@pytest.mark.parametrize("graph", [chain(), hostile()], ids=["a chain", "hostile text"])
def test_a_saved_page_opens_without_a_network_and_its_nodes_can_be_clicked(graph: tuple, browser: Browser, tmp_path: Path) -> None:
    drawn = picture(*graph)
    file = tmp_path / "flow.html"
    file.write_text(web_page(drawn, "A flow", [("Seed", drawn.nodes[-1].key)]), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1100, "height": 800}, offline=True)
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto(file.as_uri())
    page.wait_for_selector(STAGE)
    page.mouse.click(*place(page, drawn.nodes[0].key))
    expect(page.locator("#said")).to_contain_text(drawn.nodes[0].key)
    assert page.locator(STAGE).evaluate("stage => stage.nodeIds().length") == len(drawn.nodes)
    context.close()
    assert asked == [file.as_uri()] and complaints == []


def test_the_canvas_follows_the_theme_and_the_width_of_the_page(page: Page) -> None:
    corner = "s => { const c = s.querySelector('canvas'); return [...c.getContext('2d').getImageData(c.width / 2, 40, 1, 1).data].join(); }"
    light = page.locator(STAGE).evaluate(corner)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        f"before => ({corner})(document.querySelector('[data-testid=stBidiComponentIsolated]') && [...document.querySelectorAll('*')]"
        ".map(e => e.shadowRoot?.querySelector('.stage[data-ready]')).find(Boolean)) !== before",
        arg=light,
    )
    far = place(page, CITIES)[0]
    page.set_viewport_size({"width": 700, "height": 800})
    deadline = time.monotonic() + 20
    while place(page, CITIES)[0] >= far and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert place(page, CITIES)[0] < min(far, 700)
    assert re.fullmatch(r"\d+px", page.locator(STAGE).evaluate("stage => stage.style.height"))
