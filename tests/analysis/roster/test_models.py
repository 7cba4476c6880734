"""The models of an installation: which there are, and how each is read."""

from pathlib import Path

import pytest

from dashboard.analysis.errors import BadAsk, BadName, ModelUnavailable, UnknownModel
from dashboard.analysis.install.bringing import fetch
from dashboard.analysis.roster.chosen import DEFAULT_MODEL
from dashboard.analysis.roster.models import choices, find_choice, remember_model, remember_saes, settings_of_first
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings
from tests.conftest import random_weights, save_sae


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache")


def names(settings: Settings) -> list[str]:
    return [str(one) for one in choices(settings)]


def test_the_model_of_the_settings_is_first_and_the_default_one_is_always_there(own: Settings) -> None:
    assert names(own) == [str(DEFAULT_MODEL)]
    assert names(own.model_copy(update={"model": "acme/tiny"})) == ["acme/tiny", str(DEFAULT_MODEL)]


def test_a_model_that_was_remembered_stays_with_how_it_is_read(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "tiny-gpt"
    folder.mkdir()
    remember_model("acme/tiny", own, bos=False, dtype="float32")
    remember_model(str(folder), own)
    assert names(own) == [str(DEFAULT_MODEL), "acme/tiny", "tiny-gpt"]
    tiny = find_choice("acme/tiny", own).settings(own)
    assert (tiny.model, tiny.bos, tiny.dtype) == ("acme/tiny", False, "float32")
    assert find_choice("tiny-gpt", own).settings(own).model == str(folder)
    # What is not said again stays as it was.
    assert remember_model("acme/tiny", own, bos=True).dtype == "float32"
    folder.rmdir()
    assert names(own) == [str(DEFAULT_MODEL), "acme/tiny"]


def test_what_the_environment_says_of_its_model_counts_more_than_what_was_remembered(own: Settings) -> None:
    remember_model("acme/tiny", own, bos=False)
    assert not find_choice("acme/tiny", Settings(cache=own.cache, model="acme/tiny")).bos
    assert find_choice("acme/tiny", Settings(cache=own.cache, model="acme/tiny", bos=True)).bos


def test_two_folders_of_one_name_are_refused_with_the_cure(own: Settings, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place / "tiny").mkdir(parents=True)
    remember_model(str(tmp_path / "a" / "tiny"), own)
    with pytest.raises(BadAsk, match="Rename one"):
        remember_model(str(tmp_path / "b" / "tiny"), own)


def test_a_name_that_is_none_is_refused_and_not_remembered(own: Settings) -> None:
    with pytest.raises(BadName, match="OWNER/NAME"):
        remember_model("no model", own)
    with pytest.raises(ModelUnavailable, match="is not a folder"):
        remember_model("../../etc/passwd", own)
    assert names(own) == [str(DEFAULT_MODEL)]
    with pytest.raises(UnknownModel, match="this installation; it has"):
        find_choice("acme/never", own)


@pytest.mark.parametrize("content", ["", "[]", '{"models": 3}', "[" * 100_000, '{"models": {"a b": {}}, "sae_folders": []}'])
def test_a_damaged_file_remembers_nothing(own: Settings, content: str) -> None:
    own.cache.mkdir()
    (own.cache / "brought.json").write_text(content)
    assert names(own) == [str(DEFAULT_MODEL)]


def test_commands_and_pages_see_the_same_folders_that_were_brought(own: Settings, tmp_path: Path) -> None:
    for name in ("tiny-llama", "acme/other"):
        save_sae(tmp_path / name.rpartition("/")[2] / "one", "blocks.1.hook_resid_post", random_weights(0), name)
        remember_saes(tmp_path / name.rpartition("/")[2], own)
    (tmp_path / "acme" / "tiny-llama").mkdir(parents=True)
    own = own.model_copy(update={"model": str(tmp_path / "acme" / "tiny-llama")})
    pages = read_catalog(find_choice("tiny-llama", own).settings(own), tmp_path)
    assert [str(spec.id) for spec in pages.specs] == ["other/one", "tiny-llama/one"]  # what a folder's model is, its name does not say
    assert read_catalog(own, tmp_path) == pages
    default = own.model_copy(update={"model": ""})
    assert read_catalog(default, tmp_path).specs == ()
    assert len(read_catalog(default.model_copy(update={"sae_folders": (tmp_path / "other",)}), tmp_path).specs) == 1  # it was named


def test_commands_read_texts_as_was_said_on_the_page(own: Settings) -> None:
    remember_model("acme/tiny", own, bos=False, dtype="float32")
    read = settings_of_first(Settings(cache=own.cache, model="acme/tiny"))
    assert (read.model, read.bos, read.dtype) == ("acme/tiny", False, "float32")
    assert settings_of_first(Settings(cache=own.cache, model="acme/tiny", bos=True)).bos


@pytest.mark.parametrize("place", ["cache/runs/mine/saes", "elsewhere/mine", "named/mine"])
def test_an_sae_of_a_folder_is_found_by_its_name_from_then_on(own: Settings, tmp_path: Path, place: str) -> None:
    folder = tmp_path / place / "one"
    save_sae(folder, "blocks.1.hook_resid_post", random_weights(0), str(DEFAULT_MODEL))
    own = own.model_copy(update={"sae_folders": (tmp_path / "named" / "mine",)})
    spec = fetch(str(folder), own, lambda line: None)
    assert str(spec.id) == "mine/one" and [one.id for one in read_catalog(own, tmp_path).specs] == [spec.id]
    assert read_catalog(own, tmp_path).broken == {}
    assert fetch("mine/one", own, lambda line: None).source == folder
    save_sae(tmp_path / "another" / "mine" / "one", "blocks.1.hook_resid_post", random_weights(0), str(DEFAULT_MODEL))
    with pytest.raises(BadAsk, match="is already called mine/one"):
        fetch(str(tmp_path / "another" / "mine" / "one"), own, lambda line: None)


def test_a_folder_of_saes_is_answered_with_their_folders(own: Settings, tmp_path: Path) -> None:
    save_sae(tmp_path / "run" / "saes" / "one", "blocks.1.hook_resid_post", random_weights(0))
    for folder in (tmp_path / "run", tmp_path / "run" / "saes"):
        with pytest.raises(BadAsk, match=r"1 SAEs\. Name one of them: .*run/saes/one"):
            fetch(str(folder), own, lambda line: None)
    with pytest.raises(BadAsk, match="holds no SAE"):
        fetch(str(tmp_path), own, lambda line: None)
