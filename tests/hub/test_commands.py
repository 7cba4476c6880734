"""Commands on models of other families: each answers, from training a dictionary to a study of its latents. Tiny models, random weights."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis.settings import get_settings
from tests.command_line import answer, latents
from tests.hub.families import FAMILIES, TEXT, build

Ask = Callable[..., Any]
OTHERS = ("A ship lay in the harbour.", "Two and two make four.", "He wrote three letters to Anna.", "It rained in Oslo.")


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ask(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Runs a command on a tiny model of the family and reads its JSON."""
    settings = {
        "LATENTS_MODEL": str(build(family, tmp_path / f"tiny-{family}")),
        "LATENTS_CACHE": str(tmp_path / "cache"),
        "LATENTS_SAE_FOLDERS": str(tmp_path / "pack" / "mine"),
        "LATENTS_DEVICE": "cpu",
        "LATENTS_DTYPE": "float32",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield lambda *words: answer(*map(str, words))
    get_settings.cache_clear()


def test_commands_answer_on_a_model_of_another_family(family: str, ask: Ask, tmp_path: Path) -> None:
    is_whole = family == "gemma3"
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"{other} {TEXT} " * 5}) + "\n" for other in OTHERS * 8))
    sites = [word for layer in (1, 2) for point in ("resid_post", "mlp_out") for word in ("--site", f"{layer}.{point}")]
    run = ask("sae", "train", "--name", "one", "--text", text, *sites, "--tokens", 3000, "--latents", 96, "--k", 8, "--batch", 256)["run"]
    ask("sae", "pack", run, "--release", "mine", "--into", tmp_path / "pack")
    measured = ask("sae", "eval", "mine", "--text", text, "--tokens", 256, "--loss-tokens", 256, "--write")
    assert len(measured) == 4 and all(one["fvu"] > 0 and one["ce_clean"] > 0 for one in measured.values())
    assert {name: one["l0"] for name, one in measured.items() if not 8 / 3 < one["l0"] < 8 * 3} == {}
    assert len(ask("index", "build", "mine", "--text", text)) == 4
    seen = ask("highlight", TEXT, "--sae", "mine/2.resid_post", "--top", 2)
    latent = next(entry["latent"] for token in seen["tokens"] if not token["special"] for entry in token["latents"])
    name = f"mine/2.resid_post/{latent}"
    assert ask("latent", name)["maximum"] > 0
    steered = ask("steer", TEXT, "--set", f"{name}:add:0.5:norm", "--set", f"{name}:ablate", "--max-new-tokens", 4)
    assert steered
    assert ask("flow", name, "--t-res", 0, "--t-module", 0)
    chat = latents("highlight", TEXT, "--sae", "mine/2.resid_post", "--chat", "--json")
    if family == "gpt2":
        assert chat.status != 0 and "no chat template" in chat.stderr
    else:
        assert json.loads(chat.stdout)["tokens"]
    if not is_whole:
        return
    assert ask("search", TEXT, "--top", 3)
    ask("search", "river", "--word")
    assert ask("sweep", TEXT, "--set", f"{name}:add:1:max", "--factors=-1,1", "--words", "river", "--max-new-tokens", 3)
    for command in ("origins", "coactivation", "deactivate"):  # over the text that ships, in this model's own tokens
        assert ask("flow", command, "mine", "--texts", 2)
    assert ask("study", "entities", "--types", "city", "--sae", "mine/*", "--most", 8, "--shuffles", 10)
    # The packed ones are called mine/...: those of the run are another release.
    opened = ask("open", Path(run) / "saes" / "1.resid_post", "--text", text, "--no-serve")
    assert opened["name"] == "one/1.resid_post" and "one/1.resid_post" in [row["name"] for row in ask("sae", "list")]
