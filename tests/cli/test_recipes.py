"""Laws of `latents recipe` and of `--recipe`: the same edits wherever a recipe is used."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.settings import get_settings
from dashboard.cli import app, studies
from tests.analysis.methods.contrast.test_contrast import FRIENDLY, HOSTILE

Command = Callable[..., dict[str, Any]]
PATH = "flow-path tiny/2.resid_post/7 --t-res 0.1 --unit raw --strength 8"


@pytest.fixture
def latents(runner: LocalRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command on the tiny model."""
    monkeypatch.setattr(studies, "open_default_runner", lambda *_: runner)
    monkeypatch.setenv("LATENTS_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    Path("first.txt").write_text("\n".join(FRIENDLY), encoding="utf-8")
    Path("second.txt").write_text("\n".join(HOSTILE), encoding="utf-8")

    def run(*words: str) -> dict[str, Any]:
        found = CliRunner().invoke(app, [*words, "--json"])
        if found.exception is not None:
            raise found.exception
        return json.loads(found.stdout)

    yield run
    get_settings.cache_clear()


def test_a_recipe_prints_its_edits_with_evidence_source_and_record(latents: Command) -> None:
    found = latents("recipe", *PATH.split())
    assert {*found} == {"edits", "vectors", "evidence", "notes", "source", "record"}
    assert {edit["edit"].rsplit(":", 3)[0] for edit in found["edits"]} == {row["latent"] for row in found["evidence"]}
    assert found["record"]["kind"] == "recipe flow path" and "2502.03032" in found["source"]


def test_steering_and_sweeping_with_a_recipe_uses_the_edits_that_it_prints(latents: Command) -> None:
    edits = [edit["edit"] for edit in latents("recipe", *PATH.split())["edits"]]
    more = "tiny/1.resid_post/3:add:2:raw"
    short = ("--max-new-tokens", "3", "--set", more, "--recipe", PATH)
    steered = latents("steer", "The fox", *short, "--where", "prompt")
    assert [edit["edit"] for edit in steered["interventions"]] == [more, *edits]
    assert {edit["where"] for edit in steered["interventions"]} == {"prompt"}
    swept = latents("sweep", "The fox", *short, "--factors", "0,1", "--together")
    assert [edit["edit"] for edit in swept["record"]["ask"]["curves"][0]["edits"]] == [more, *edits]
    assert [point["factor"] for point in swept["points"]] == [0, 1]


def test_a_vector_that_a_recipe_makes_can_be_named_afterwards(latents: Command) -> None:
    recipe = "contrast-direction --first first.txt --second second.txt --vector"
    (edit,) = latents("steer", "The fox", "--max-new-tokens", "3", "--recipe", recipe)["interventions"]
    assert edit["edit"].startswith("vector/contrast-")
    (again,) = latents("steer", "The fox", "--max-new-tokens", "3", "--set", edit["edit"])["interventions"]
    assert again == edit


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(latents: Command) -> None:
    with pytest.raises(BadAsk, match=r"no recipe 'cake'\. There are: flow-path, contrast-direction"):
        latents("steer", "The fox", "--recipe", "cake --layers 3")


def test_contrast_prints_what_it_always_printed(latents: Command) -> None:
    Path("sets.json").write_text(json.dumps({"friendly": FRIENDLY, "hostile": HOSTILE}), encoding="utf-8")
    found = latents("contrast", "sets.json", "--sae", "tiny/2.resid_post", "--top", "3")
    assert {name: found[name] for name in found if name != "latents"} == {
        "first": "friendly",
        "second": "hostile",
        "n_first": 4,
        "n_second": 5,
    }
    columns = ["latent", "auroc", "p", "q", "mean_first", "mean_second", "firing_first", "firing_second", "promotes"]
    assert [[*row] for row in found["latents"]] == [columns] * 3
