"""Laws of every recipe of the registry; the asks are those of its own test."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.names import LatentId
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.registry import RECIPES, Entry, recipes
from dashboard.analysis.studies.option import again
from dashboard.analysis.studies.recipe import FoundEdits, Recipe
from dashboard.analysis.studies.study import find, result_of
from dashboard.cli.options import Around, command_of
from tests.recording import Recording, bench_of


def _asks(entry: Entry) -> tuple[Any, ...]:
    """`ASKS` of a recipe's own test: asks of the tiny model."""
    return import_module(f"tests.analysis.{entry.module.rpartition('.')[0]}.test_recipe").ASKS


EACH = [pytest.param(entry.load(), ask, id=f"{entry.command[-1]} {i}") for entry in RECIPES for i, ask in enumerate(_asks(entry))]


def read_words(recipe: Recipe[Any], words: tuple[str, ...]) -> Any:
    found: list[tuple[Any, Around]] = []
    app = typer.Typer(add_completion=False)
    app.command()(command_of(recipe.ask, recipe.about, lambda ask, around: found.append((ask, around))))
    typer.main.get_command(app).main([*words], standalone_mode=False)
    return found[0][0]


def test_names_are_unlike_and_are_those_of_the_registry() -> None:
    assert [entry.command for entry in RECIPES] == [("recipe", recipe.word) for recipe in recipes()]
    assert len({recipe.name for recipe in recipes()}) == len(RECIPES) and all(recipe.source for recipe in recipes())


@pytest.mark.parametrize(("recipe", "ask"), EACH)
def test_an_ask_survives_its_command_line_and_json(recipe: Recipe[Any], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_plain(recipe.ask, to_plain(ask)) == ask
    command = again((), ask)
    monkeypatch.chdir(tmp_path)
    for name, content in command.files.items():
        Path(name).write_text(content, encoding="utf-8")
    assert read_words(recipe, command.words) == ask


@pytest.mark.parametrize(("recipe", "ask"), EACH)
def test_evidence_names_every_latent_in_the_edits_and_is_found_again_without_asking_the_model(
    recipe: Recipe[Any], ask: Any, runner: LocalRunner, tmp_path: Path
) -> None:
    found = result_of(recipe.study(), bench_of(runner, tmp_path), ask)
    assert found.edits and all(one.numbers for one in found.evidence)
    latents = {edit.direction for edit in found.edits if isinstance(edit.direction, LatentId)}
    rows = [one.latent for one in found.evidence]
    assert latents <= {*rows} and len({*rows}) == len(rows)
    assert from_plain(FoundEdits, to_plain(found)) == found
    recording = Recording(runner)
    kept = find(recipe.study(), bench_of(recording, tmp_path), ask)
    assert kept is not None and kept.result == found and recording.asked == []
