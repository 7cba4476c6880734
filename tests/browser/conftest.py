"""A real server with the default model and the shipped dictionaries, and a real Chromium that may talk to nobody else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard.analysis.settings import get_settings
from tests.browser.find_chromium import CURE, find
from tests.browser.serving import served

IDLE = '[data-testid="stApp"][data-test-connection-state="CONNECTED"][data-test-script-state="notRunning"]'
TOKEN = ".st-key-highlight-strip [data-position]"
ARGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
TIMEOUT_MS = 60_000

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the server."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_cache: Path) -> Iterator[str]:
    folder = server_cache
    # A cache of its own, with the model that is there: what tests save must not stand among a person's results.
    real = get_settings().cache
    for kept in ("models", "saes", "corpora"):
        (real / kept).mkdir(parents=True, exist_ok=True)
        (folder / kept).symlink_to(real / kept)
    with served("dashboard", "run", port_option="--port", folder=folder, environment={"LATENTS_CACHE": str(folder)}) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find()
    assert path is not None, CURE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[Open]:
    """Opens the dashboard in a context of its own. In the end: no other host was asked, no script failed, nothing crashed."""
    contexts, foreign, failures = [], [], []

    def open_page(query: str = "", *, scheme: str = "light", width: int = 1280, ready: str = TOKEN) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on(
            "request",
            lambda r: foreign.append(r.url) if not r.url.startswith((server, server.replace("http", "ws"), "data:", "blob:")) else None,
        )
        page.on("websocket", lambda w: foreign.append(w.url) if not w.url.startswith(server.replace("http", "ws")) else None)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on(
            "console",
            lambda message: failures.append(message.text) if message.type == "error" and "BidiComponent" in message.text else None,
        )
        page.on("dialog", lambda dialog: (failures.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(f"{server}/{query}")
        page.wait_for_selector(ready)
        page.wait_for_selector(IDLE)
        return page

    yield open_page
    crashed = [page for context in contexts for page in context.pages if page.locator("[data-testid=stException]").count()]
    for context in contexts:
        context.close()
    assert foreign == [] and failures == [] and not crashed


def token(page: Page, position: int):
    """One token of the strip."""
    return page.locator(f'.st-key-highlight-strip [data-position="{position}"]')


def settle(page: Page) -> None:
    """Wait until the script has run."""
    page.wait_for_selector(IDLE)


def type_prompt(page: Page, text: str) -> None:
    """Replace the prompt and read it."""
    box = page.get_by_role("textbox", name="Text")
    box.fill(text)
    box.press("Control+Enter")


def shaded(page: Page) -> list[str]:
    """What each token says of itself: its text and its values to 4 decimals."""
    return [cell.get_attribute("aria-label") or "" for cell in page.locator(TOKEN).all()]


def expect_legend(page: Page, latent: str) -> None:
    """The strip is shaded by this latent."""
    expect(page.locator(".st-key-highlight-strip .legend")).to_contain_text(latent)
    settle(page)
