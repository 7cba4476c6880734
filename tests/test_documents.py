"""The documents list what there is: a command, a setting, a page, a study, a recipe, a room that is missing in them is found."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from dashboard.analysis import registry
from dashboard.analysis.settings import Settings
from dashboard.cli import app

ROOT = Path(__file__).parents[1]
README, HOUSE, CONTRIBUTING = (ROOT / name for name in ("README.md", "dashboard/README.md", "CONTRIBUTING.md"))
OTHERS = ("CHANGELOG.md", "components/README.md", "tests/README.md", "dashboard/DECISIONS.md")
DOCUMENTS = (README, HOUSE, CONTRIBUTING, *(ROOT / name for name in OTHERS))


def commands(command: Any, words: tuple[str, ...] = ("latents",), parent: Any = None) -> list[str]:
    """Every command that does something, in the words that are typed."""
    if not hasattr(command, "list_commands"):
        return [" ".join(words)]
    context = command.make_context(words[-1], [], parent=parent, resilient_parsing=True)
    below = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [one for name, each in below for one in commands(each, (*words, name), context)]


def test_every_command_is_in_the_readme_of_the_house() -> None:
    text = HOUSE.read_text()
    assert [one for one in commands(typer.main.get_command(app)) if f"`{one}`" not in text] == []


def test_every_setting_is_in_the_readme() -> None:
    text = README.read_text()
    assert [name for name in Settings.model_fields if f"LATENTS_{name.upper()}" not in text] == []


def test_every_page_is_in_the_readme_of_the_house() -> None:
    titles = re.findall(r'st\.Page\([^)]*title="([^"]+)"', (ROOT / "dashboard/app.py").read_text())
    scripts = [file.stem for file in (ROOT / "dashboard/app_pages").glob("*.py") if file.stem != "__init__"]
    text = HOUSE.read_text()
    assert len(titles) == len(scripts) and [one for one in (*titles, *scripts) if f"`{one}`" not in text and f"**{one}**" not in text] == []


def test_every_study_and_every_recipe_is_in_the_readme_of_the_house() -> None:
    declared = [*(study.kind for study in registry.studies()), *(recipe.name for recipe in registry.recipes())]
    text = HOUSE.read_text()
    assert [one for one in declared if f"`{one}`" not in text] == []


@pytest.mark.parametrize("folder", ["dashboard/analysis", "dashboard/ui", "dashboard/analysis/methods", "components"])
def test_every_room_has_a_sentence_in_its_document(folder: str) -> None:
    text = (ROOT / "components/README.md" if folder == "components" else HOUSE).read_text()
    rooms = [room.parent.name for room in (ROOT / folder).glob("*/__init__.py")]
    assert rooms and [room for room in rooms if not re.search(rf"[`/ ]{room}[`/,]", text)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_and_files_that_documents_name_are_there(document: Path) -> None:
    text = document.read_text()
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in linked if not (document.parent / link).exists()] == []
    files = re.findall(r"`((?:dashboard|components|tests|assets)/[\w./-]+)`", text)
    assert [name for name in files if "NAME" not in name and not (ROOT / name).exists()] == []


def test_the_readme_is_short_and_its_code_can_be_imported() -> None:
    text = README.read_text()
    assert len(text.splitlines()) < 250
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec("\n".join(line for line in block.splitlines() if line.startswith(("from ", "import "))), {})


def test_no_room_has_more_than_about_twenty_modules() -> None:
    crowded = {
        str(folder.relative_to(ROOT)): n
        for root in ("dashboard", "components", "tests")
        for folder in (ROOT / root).rglob("*")
        if folder.is_dir() and (n := len([*folder.glob("*.py")])) > 22
    }
    assert crowded == {}


def test_pages_have_at_most_120_lines() -> None:
    assert {file.name: n for file in (ROOT / "dashboard/app_pages").glob("*.py") if (n := len(file.read_text().splitlines())) > 120} == {}


def test_strict_types_are_checked_where_the_house_promises_it() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]
    assert {"dashboard", "components"} <= {*own["include"]}
    promised = ("names.py", "tokens.py", "asks", "studies", "errors.py", "graphs.py")
    assert [one for one in promised if f"dashboard/analysis/{one}" not in own["strict"]] == []
