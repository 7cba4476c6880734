"""Bytes that are known before anything is fetched, and what `latents sae get` says of a whole release."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.sizing import size_of
from dashboard.analysis.names import ModelId, Point
from dashboard.analysis.roster.kinship import Kinship, kinship
from dashboard.analysis.sae.public.directory import entries, find
from dashboard.analysis.sae.public.families import FAMILIES, Family
from dashboard.analysis.sae.public.sizes import sizes_of
from dashboard.analysis.settings import Settings, get_settings
from dashboard.cli import app
from tests.hub.conftest import Hub
from tests.hub.test_fetching import LLAMA, serve_llama

NAME = "acme/tiny-llama"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LATENTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LATENTS_DEVICE", "cpu")
    monkeypatch.setenv("LATENTS_DTYPE", "float32")
    (tmp_path / "cache").mkdir()
    get_settings.cache_clear()
    yield get_settings()  # type: ignore[misc]
    get_settings.cache_clear()


def test_a_model_on_the_hub_is_sized_without_fetching_a_weight(hub: Hub, own: Settings, tiny_path: Path) -> None:
    shutil.copytree(tiny_path, hub.folder(NAME), dirs_exist_ok=True)
    remote, local = (size_of(own.model_copy(update={"model": given})) for given in (NAME, str(tiny_path)))
    weights = (tiny_path / "model.safetensors").stat().st_size
    assert not remote.is_here and remote.download_bytes == weights and remote.architecture == "LlamaForCausalLM"
    assert local.is_here and local.download_bytes == 0 and local.n_parameters is not None and remote.n_parameters is not None
    assert remote.n_parameters == local.n_parameters and remote.is_exact and local.is_exact
    assert local.weight_bytes == 4 * local.n_parameters and local.fits
    assert not any("model.safetensors" in line and "resolve" in line for line in hub.asked)
    assert f"{NAME}, LlamaForCausalLM: " in remote.in_words() and "about" not in remote.in_words() and "it fits" in remote.in_words()


@pytest.mark.parametrize(
    "change",
    [{"model_type": "never-heard-of"}, {"num_hidden_layers": 10**9}, {"num_hidden_layers": "many"}, {"hidden_size": -1},
     {"num_attention_heads": 0}, {"hidden_size": None}],
    ids=str,
)  # fmt: skip
def test_a_model_whose_config_makes_no_model_is_sized_by_its_files(hub: Hub, own: Settings, tiny_path: Path, change: dict) -> None:
    shutil.copytree(tiny_path, hub.folder(NAME), dirs_exist_ok=True)
    config = hub.folder(NAME) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    found = size_of(own.model_copy(update={"model": NAME}))
    assert not found.is_exact and found.n_parameters == (tiny_path / "model.safetensors").stat().st_size // 4
    assert "about" in found.in_words()


def test_a_release_alone_is_answered_with_its_ids_and_bytes(hub: Hub, own: Settings) -> None:
    serve_llama(hub)
    release = LLAMA.partition("/")[0]
    for repo in {one.repo for one in entries() if one.release == release}:
        hub.folder(repo)
    before = len(hub.asked)
    done = CliRunner().invoke(app, ["sae", "get", release])
    assert isinstance(done.exception, BadAsk)
    assert "is a release of 32 SAEs" in str(done.exception) and "and 31 of unknown size" in str(done.exception)
    assert "--all" in str(done.exception) and not any("resolve" in line for line in hub.asked[before:])


def test_sizes_are_those_of_the_files_and_unknown_where_the_hub_has_none(hub: Hub) -> None:
    serve_llama(hub)
    of_release = [one for one in entries() if one.release == LLAMA.partition("/")[0]]
    sizes = sizes_of(of_release)
    folder = next(hub.folder(f"{one.repo}/{one.path}") for one in of_release if one.name == LLAMA)
    assert sizes.pop(LLAMA) == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert set(sizes.values()) == {None}


def test_all_of_a_release_of_pickles_is_refused_with_the_reason(hub: Hub, own: Settings) -> None:
    done = CliRunner().invoke(app, ["sae", "get", "gpt2-small-hook-z-kk", "--all"])
    assert isinstance(done.exception, BadAsk) and "0 SAEs that can be used here, of 12" in str(done.exception)


def test_models_of_the_installation_are_listed_with_what_fits(own: Settings, tiny_path: Path) -> None:
    assert CliRunner().invoke(app, ["model", "prepare", str(tiny_path), "--json"]).exit_code == 0
    rows = json.loads(CliRunner().invoke(app, ["model", "list", "--json"]).stdout)
    assert [row["name"] for row in rows] == ["HuggingFaceTB/SmolLM2-135M-Instruct", tiny_path.name]
    assert rows[1]["is_here"] and rows[1]["fits"] and rows[1]["weight_bytes"] == 4 * rows[1]["n_parameters"]
    size = json.loads(CliRunner().invoke(app, ["model", "size", str(tiny_path), "--json"]).stdout)
    assert size["n_parameters"] == rows[1]["n_parameters"] and size["download_bytes"] == 0


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.title)
def test_a_preset_names_releases_of_the_directory_on_its_model_at_its_sites(family: Family) -> None:
    found = [one for one in find(family.query) if one.refused is None]
    assert found and {kinship(ModelId.parse(one.model), ModelId.parse(family.model)) for one in found} <= {Kinship.SAME, Kinship.TWIN}
    assert set(family.sites) <= {*Point}
    assert {one.site.partition(".")[2] for one in found if one.site is not None} <= {*family.sites, Point.EMBED}
