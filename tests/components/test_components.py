"""Components: no address of another host, no markup from data, and colours only from the palette."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import components
from components.data import ExampleRow, Scale, TokenCell, WrittenText, WrittenToken
from components.example_list import list_data
from components.generation_pair import pair_data
from components.pages import one_component as standalone

FILES = sorted(path for path in Path(components.__file__).parent.rglob("*") if path.suffix in {".js", ".css"})


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_loaded_and_nothing_is_parsed_as_markup(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"https?://|@import|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_colours_come_from_the_palette(file: Path) -> None:
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", file.read_text())


def test_the_code_outside_tests_knows_no_address_of_another_host() -> None:
    root = Path(components.__file__).parents[1]
    for folder in ("dashboard", "components"):
        for file in (root / folder).rglob("*.py"):
            assert not re.findall(r"https?://(?!\{|127\.0\.0\.1)", file.read_text()), file


def test_the_only_address_among_the_assets_is_the_one_that_a_person_asks_for_entities() -> None:
    """Only `latents entities build` asks it, and LATENTS_WIKIDATA names another."""
    assets = Path(components.__file__).parents[1] / "assets"
    found = {(file.name, one) for file in assets.rglob("*.toml") for one in re.findall(r"https?://[^\s\"/]+", file.read_text("utf-8"))}
    assert found == {("wikidata.toml", "https://query.wikidata.org")}


HOSTILE = "</script><script>alert(1)</script><!--<script>"


def hostile_pair() -> dict[str, Any]:
    """A pair in which every text wants to be markup; what is not known of its tokens is None."""
    tokens = (
        WrittenToken(HOSTILE, 1.5, None, None, False),
        WrittenToken("", 0.0, 0.25, -0.5, False),
        WrittenToken("</s>", 0.0, 0.0, 0.0, True),
    )
    text = WrittenText(HOSTILE, HOSTILE, tokens, HOSTILE)
    return pair_data(HOSTILE, text, text, Scale(HOSTILE, 1.5, HOSTILE), first_difference=1)


class Read(HTMLParser):
    """What a browser finds in a page: elements with their attributes, the text of each kind of element, and the policy."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.policy = next(have["content"] or "" for _, have in self.elements if have.get("http-equiv") == "Content-Security-Policy")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.texts.append(("", ""))

    def handle_data(self, data: str) -> None:
        if self.texts:
            tag, text = self.texts[-1]
            self.texts[-1] = (tag, text + data)

    def of(self, tag: str) -> list[str]:
        return [text for each, text in self.texts if each == tag]


def test_a_pair_gives_the_browser_one_list_a_field_and_leaves_unknown_numbers_unknown() -> None:
    def script() -> None:
        from components.data import WrittenText, WrittenToken
        from components.generation_pair import generation_pair

        plain = WrittenText(
            "Plain", "n", (WrittenToken("a", 0.0, None, None, False), WrittenToken("</s>", 2.0, 0.0, -1.5, True)), "stopped"
        )
        steered = WrittenText("Steered", "", (), "")
        generation_pair("p", plain, steered, None, first_difference=None, selected=("plain", 1), key="pair", on_pick=lambda: None)

    app = AppTest.from_function(script).run()
    assert not app.exception
    drawn = json.loads(app.get("bidi_component")[0].proto.json)
    assert drawn["plain"] == {
        "title": "Plain",
        "note": "n",
        "ended": "stopped",
        "texts": ["a", "</s>"],
        "shades": [0.0, 2.0],
        "kl": [None, 0.0],
        "differences": [None, -1.5],
        "special": [False, True],
    }
    assert drawn["steered"]["texts"] == [] and drawn["prompt"] == "p"
    assert (drawn["scale"], drawn["first_difference"], drawn["selected"]) == (None, None, {"side": "plain", "index": 1})


def test_examples_give_the_browser_one_list_a_field_and_their_text_as_it_is() -> None:
    cells = (TokenCell(HOSTILE, 1.5, (), False), TokenCell("", 0.0, (), True))
    row = ExampleRow("12", HOSTILE, 0, 1.5, "", cells, True, False, "+2 more here")
    data = list_data([row], Scale("l", 3.0, "m"), legend=True, wrapped=False, action="test")
    assert data["rows"] == [
        {
            "key": "12",
            "note": HOSTILE,
            "anchor": 0,
            "value": 1.5,
            "value_note": "",
            "before": True,
            "after": False,
            "more": "+2 more here",
            "texts": [HOSTILE, ""],
            "values": [1.5, 0.0],
            "special": [False, True],
        }
    ]
    assert data["scale"] == {"label": "l", "maximum": 3.0, "maximum_of": "m"} and data["legend"] and not data["wrapped"]
    page = Read(standalone.page("example_list", data, "", []))
    assert json.loads(page.of("script")[0]) == data


def test_a_list_of_latents_draws_only_what_somebody_listens_to() -> None:
    def script() -> None:
        from components.data import LatentRow
        from components.latent_list import latent_list

        rows = [LatentRow("a/b/1", "1", 0.5, 0.5, "", False, False, href="latent?latent=a%2Fb%2F1")]
        assert latent_list(rows, key="bare", on_show=lambda: None) is None
        latent_list(rows, key="full", on_show=lambda: None, on_pin=lambda: None, on_open=lambda: None, keep="add")

    app = AppTest.from_function(script).run()
    assert not app.exception
    bare, full = (json.loads(element.proto.json) for element in app.get("bidi_component"))
    assert (bare["keep"], bare["links"]) == ("", False) and (full["keep"], full["links"]) == ("add", True)


def test_a_page_of_its_own_keeps_hostile_text_as_text() -> None:
    data = hostile_pair()
    page = Read(standalone.page("generation_pair", data, HOSTILE, [(HOSTILE, HOSTILE)]))
    assert [have for tag, have in page.elements if tag == "script"] == [{"type": "application/json", "id": "data"}, {"type": "module"}]
    inert, script = page.of("script")
    assert "<" not in inert and json.loads(inert) == data
    assert page.of("h1") == page.of("title") == page.of("dt") == page.of("dd") == [HOSTILE]
    assert "alert" not in script


def test_a_page_of_its_own_runs_only_its_own_scripts_and_styles_and_loads_nothing() -> None:
    page = Read(standalone.page("generation_pair", hostile_pair(), "A pair", [("Model", "tiny")]))
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    hashed = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (page.of("script")[1], *page.of("style"))]
    assert rules == {
        "default-src": "'none'",
        "script-src": hashed[0],
        "style-src": f"{hashed[1]} {hashed[2]}",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not {"src", "href", "style", "action"} & {name for _, have in page.elements for name in have}
    assert not any(
        re.search(r"(https?|wss?):|@import|\burl\(|\bimport\b|\bfetch\b", text) for text in (*page.of("script"), *page.of("style"))
    )
    assert not any(name.startswith("on") for _, have in page.elements for name in have)


@pytest.mark.parametrize(
    "component",
    ["token_strip", "latent_list", "layer_map", "generation_pair", "example_list", "histogram", "token_columns", "word_grid", "hotkeys"],
)
def test_every_component_can_be_drawn_on_a_page_of_its_own(component: str) -> None:
    _, script = Read(standalone.page(component, {}, "", [])).of("script")
    assert script.count("const draw = function") == 1 and "export" not in re.sub(r"//.*", "", script)
