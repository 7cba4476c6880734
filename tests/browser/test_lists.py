"""Lists and search by word as a person uses them: real model, real dictionaries, real Chromium."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.list_forms import pack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry
from dashboard.ui.shell.examples import EXAMPLES
from tests.browser.conftest import TIMEOUT_MS, Open, settle

pytestmark = [pytest.mark.browser, pytest.mark.real]

SHOWN = list(EXAMPLES.values())[:3]
LATENTS = tuple(LatentId.parse(one.latent) for one in SHOWN)
WANTED = [str(latent) for latent in LATENTS]
LINK = "lists?list=" + str(
    pack_link(
        LatentList(
            "linked", "from elsewhere", " ".join(one.text for one in SHOWN), tuple(ListEntry(latent, "a note") for latent in LATENTS)
        )
    )
)
LINE, FOUND = ".st-key-lists-rows .line", ".st-key-word-rows .line"


def keys(page: Page) -> list[str]:
    return [line.get_attribute("data-latent") or "" for line in page.locator(LINE).all()]


def keep(page: Page, name: str) -> None:
    """Keep the list that is shown under a name of its own."""
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_role("button", name="Save this list").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    settle(page)


def test_each_latent_of_a_linked_list_shades_its_text(open_page: Open) -> None:
    page = open_page(LINK, ready=LINE)
    assert keys(page) == WANTED
    for line in page.locator(LINE).all():
        expect(line.locator(".shaded .token.peak")).to_have_count(1)
    page.locator(f"{LINE} .shaded .peak").first.hover()
    expect(page.locator(".tip")).to_contain_text(re.compile(r"full shade [\d.]+ \((its largest in the corpus|largest here)\)"))


def test_a_list_is_kept_reordered_noted_and_comes_back_in_another_tab(open_page: Open) -> None:
    page = open_page(LINK, ready=LINE)
    keep(page, "reordered")
    first, second, *rest = keys(page)
    page.get_by_role("button", name=f"Move down: {first}").click()
    expect(page.locator(LINE).first).to_have_attribute("data-latent", second)
    settle(page)
    page.locator(f'{LINE}[data-latent="{rest[0]}"] .grip').drag_to(page.locator(f'{LINE}[data-latent="{second}"]'))
    expect(page.locator(LINE).first).to_have_attribute("data-latent", rest[0])
    settle(page)
    note = page.get_by_role("textbox", name=f"Note on {first}")
    note.fill("<b>mine</b> [x](y)")
    note.press("Enter")
    settle(page)
    page.get_by_role("button", name=f"Remove from the list: {second}").click()
    expect(page.locator(f'{LINE}[data-latent="{second}"]')).to_have_count(0)
    settle(page)
    other = open_page("lists?name=reordered", ready=LINE)
    assert keys(other) == keys(page) == [rest[0], first, *rest[1:]]
    expect(other.get_by_role("textbox", name=f"Note on {first}")).to_have_value("<b>mine</b> [x](y)")


def test_a_list_goes_out_as_a_file_and_comes_in_again(open_page: Open, tmp_path: Path) -> None:
    page = open_page(LINK, ready=LINE)
    keep(page, "out and in")
    wanted = keys(page)
    page.get_by_text("Import, export, link").click()
    for name, suffix in (("JSON", "json"), ("Neuronpedia list", "json"), ("Neuronpedia features", "jsonl")):
        button = page.get_by_role("button", name=re.compile(f"(^|download ?){name}$"))
        with page.expect_download() as download:
            button.click()
        file = tmp_path / f"{name}.{suffix}"
        download.value.save_as(file)
        if name == "Neuronpedia list":
            features = json.loads(file.read_text())["features"]
            assert [f"{one['index']}" for one in features] == [key.rpartition("/")[2] for key in wanted]
        box = page.get_by_test_id("stFileUploader").locator("input[type=file]")
        expect(box).to_have_count(1)
        box.set_input_files(file)
        expect(page.get_by_text(re.compile(r"^Saved as "))).to_be_visible()
        settle(page)
        assert keys(page) == wanted


def test_a_link_carries_the_list_and_a_latent_opens_with_its_text(open_page: Open) -> None:
    page = open_page(LINK, ready=LINE)
    page.get_by_text("Import, export, link").click()
    link = page.get_by_test_id("stCode").filter(has_text="?list=").inner_text().strip()
    other = open_page(link.split("/", 3)[3], ready=LINE)
    assert keys(other) == keys(page)
    expect(other.get_by_role("button", name="Save this list")).to_be_visible()
    name = keys(other)[0]
    other.locator(f'{LINE}[data-latent="{name}"] .name').click()
    other.wait_for_url(re.compile("/latent"))
    settle(other)
    assert name in other.url.replace("%2F", "/")


def test_a_list_is_deleted_after_it_was_confirmed(open_page: Open) -> None:
    page = open_page(LINK, ready=LINE)
    keep(page, "short-lived")
    page.get_by_role("button", name="Delete", exact=False).first.click()
    page.get_by_role("button", name="Cancel").click()
    settle(page)
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("short-lived")
    page.get_by_role("button", name="Delete", exact=False).first.click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("short-lived is deleted")).to_be_visible()


def test_the_steer_page_opens_with_the_latents_of_a_list(open_page: Open) -> None:
    page = open_page(LINK, ready=LINE)
    wanted = keys(page)
    page.get_by_role("button", name="Steer").click()
    page.wait_for_url(re.compile("/steer"))
    for name in wanted:
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=TIMEOUT_MS)


def test_a_word_leads_to_a_list_and_to_a_latent(open_page: Open) -> None:
    page = open_page("search?find=word&word=the&how=exact", ready=FOUND)
    row = page.locator(FOUND).first
    name = row.get_attribute("data-latent") or ""
    row.get_by_role("button", name="Add to the list").click()
    expect(page.get_by_text("is now in the list")).to_be_visible()
    settle(page)
    listed = open_page("lists?name=My latents", ready=LINE)
    assert name in keys(listed)
    row.locator(".name").click()
    page.wait_for_url(re.compile("/latent"))
    settle(page)
    page.go_back()
    page.wait_for_selector(FOUND)
    settle(page)
    page.get_by_role("textbox", name="Word").fill("")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The query is empty")).to_be_visible()
