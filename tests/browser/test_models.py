"""Two models in one installation: the sidebar switches to the other and back."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from dashboard.analysis.roster.models import remember_model, remember_saes
from dashboard.analysis.settings import Settings
from tests.browser.conftest import TOKEN, Open, settle
from tests.conftest import exact_weights, random_weights, save_sae

NAME = "switched-llama"
SLOW_MS = 90_000


def choose(page: Page, name: str) -> None:
    box = page.get_by_test_id("stSidebar").get_by_role("combobox", name="Model")
    box.click()
    page.get_by_role("option", name=name, exact=True).click()


def test_the_sidebar_switches_to_another_model_and_back(open_page: Open, server_cache: Path, tiny_path: Path, tmp_path: Path) -> None:
    page = open_page()
    model = shutil.copytree(tiny_path, tmp_path / NAME)
    save_sae(tmp_path / "mine" / "exact", "blocks.2.hook_resid_post", exact_weights(), NAME)
    save_sae(tmp_path / "mine" / "random", "blocks.1.hook_resid_post", random_weights(1), NAME)
    own = Settings(cache=server_cache)
    remember_model(str(model), own)
    remember_saes(tmp_path / "mine", own)
    page.reload()
    page.wait_for_selector(TOKEN)
    choose(page, NAME)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("4 layers, width 32", timeout=SLOW_MS)
    settle(page)
    assert f"model={NAME}" in page.url and "mine%2F" in page.url and page.locator(TOKEN).count() > 20
    # A fresh tab with this address has the same model.
    other = open_page(page.url.partition("/?")[2].join(("?", "")))
    expect(other.get_by_test_id("stSidebar")).to_contain_text("4 layers, width 32")
    choose(page, "HuggingFaceTB/SmolLM2-135M-Instruct")
    expect(page.get_by_test_id("stSidebar")).to_contain_text("30 layers, width 576", timeout=SLOW_MS)
    settle(page)
    assert "smollm2-135m" in page.url and page.locator(TOKEN).count() > 20
