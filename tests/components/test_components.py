"""Components: no address of another host, no markup from data, and colours only from the palette."""

import re
from pathlib import Path

import pytest

import components

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
