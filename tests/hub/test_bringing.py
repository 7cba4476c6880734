"""A model by name from a hub on loopback, and `latents open` on a folder of an SAE."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.analysis.errors import HubRefused, ModelUnavailable
from dashboard.analysis.install.bringing import keep_measured
from dashboard.analysis.model.sources import look_at, prepare_model
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.roster.kinship import Kinship, caution, hub_name, kinship
from dashboard.analysis.sae.catalog import folder_spec
from dashboard.analysis.sae.release import write_figures
from dashboard.analysis.settings import Settings
from tests.conftest import exact_weights, save_sae
from tests.hub.conftest import Hub

NAME = "acme/tiny-llama"


def test_a_model_is_fetched_by_name_and_needs_no_hub_afterwards(hub: Hub, tiny_path: Path) -> None:
    shutil.copytree(tiny_path, hub.folder(NAME), dirs_exist_ok=True)
    (hub.folder(NAME) / "modeling_evil.py").write_text("raise SystemExit('code was run')")
    settings = Settings(model=NAME)
    said: list[str] = []
    path = prepare_model(settings, said.append)
    assert look_at(path, chosen_model(settings)).architecture == "LlamaForCausalLM"
    assert "MiB of weights" in said[0] and not (path / "modeling_evil.py").exists()
    hub.stop()
    hub.waited.clear()
    assert prepare_model(settings, said.append) == path
    assert not hub.waited


def test_a_gated_model_says_where_to_accept_the_licence(hub: Hub) -> None:
    hub.gated["google/gemma-2-2b"] = 403
    with pytest.raises(HubRefused, match=r"ccept the licence at http://127.*/google/gemma-2-2b.*HF_TOKEN"):
        prepare_model(Settings(model="google/gemma-2-2b"), print)


def test_a_repository_with_pickles_alone_is_refused_before_a_byte_of_them_is_fetched(hub: Hub, tiny_path: Path) -> None:
    shutil.copy(tiny_path / "config.json", hub.folder(NAME))
    (hub.folder(NAME) / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelUnavailable, match="only pickled weights"):
        prepare_model(Settings(model=NAME), print)
    assert not any("resolve" in line for line in hub.asked)


@pytest.mark.parametrize(
    ("made_for", "loaded", "expected"),
    [
        ("gemma-2-2b", "google/gemma-2-2b", Kinship.SAME),
        ("gpt2-small", "openai-community/gpt2", Kinship.SAME),
        ("google/gemma-3-270m", "google/gemma-3-270m-pt", Kinship.SAME),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct", Kinship.TWIN),
        ("gemma-2-2b", "google/gemma-2-2b-it", Kinship.TWIN),
        ("gemma-2-2b", "google/gemma-2-9b", Kinship.OTHER),
        ("gemma-2-2b", "some-folder", Kinship.UNKNOWN),
    ],
)
def test_names_of_one_model(made_for: str, loaded: str, expected: Kinship) -> None:
    one, other = ModelId.parse(made_for), ModelId.parse(loaded)
    assert kinship(one, other) is expected
    assert (caution(one, other) is None) == (expected in (Kinship.SAME, Kinship.OTHER))
    assert kinship(ModelId.parse(hub_name(one)), one) is Kinship.SAME


def test_open_checks_measures_and_indexes_a_folder(tiny_path: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_path, tmp_path / "tiny-llama")
    save_sae(tmp_path / "mine" / "exact", "blocks.2.hook_resid_post", exact_weights(), "tiny-llama")
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 40)
    environment = {
        **os.environ,
        "LATENTS_CACHE": str(tmp_path / "cache"),
        "LATENTS_MODEL": str(model),
        "LATENTS_DEVICE": "cpu",
        "LATENTS_DTYPE": "float32",
    }
    command = [sys.executable, "-m", "dashboard", "open", str(tmp_path / "mine" / "exact"), "--text", str(text), "--no-serve", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["name"] == "mine/exact" and answer["site"] == "2.resid_post" and answer["model"] == "tiny-llama"
    assert answer["caution"] is None and answer["fvu"] < 1e-9
    # Of a model with random weights the loss with the site at zero may be no worse than its own: then there is nothing to recover.
    assert answer["ce_recovered"] is None or answer["ce_recovered"] == pytest.approx(1, abs=1e-3)
    assert answer["l0"] == pytest.approx(32, abs=0.5)
    assert (tmp_path / "mine" / "exact" / "index.parquet").is_file()
    record = json.loads((tmp_path / "mine" / "exact" / "record.json").read_text())
    assert record["evaluation"]["n_tokens"] == answer["n_tokens"]


@pytest.mark.parametrize(("known", "stays"), [(None, False), (436, False), (437, False), (438, True), ("not said", True)])
def test_figures_of_a_longer_text_are_not_written_over(tmp_path: Path, known: int | str | None, stays: bool) -> None:
    save_sae(tmp_path / "mine" / "one", "blocks.2.hook_resid_post", exact_weights(), "tiny-llama")
    if known is not None:
        write_figures(
            folder_spec(tmp_path / "mine" / "one"), evaluation={"fvu": 0.5} | ({"n_tokens": known} if known != "not said" else {})
        )
    keep_measured(folder_spec(tmp_path / "mine" / "one"), {"l0": 3.0, "fvu": 0.25, "ce_recovered": None, "n_tokens": 437})
    assert folder_spec(tmp_path / "mine" / "one").measured("fvu") == (0.5 if stays else 0.25)
