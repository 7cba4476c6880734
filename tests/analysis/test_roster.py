"""The models of an installation: which there are, and how each is read."""

from pathlib import Path

import pytest

from dashboard.analysis.chosen import DEFAULT_MODEL
from dashboard.analysis.errors import BadAsk, BadName, ModelUnavailable, UnknownModel
from dashboard.analysis.roster import choices, find_choice, remember_model, remember_saes
from dashboard.analysis.settings import Settings


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
    with pytest.raises(ModelUnavailable, match="is no folder"):
        remember_model("../../etc/passwd", own)
    assert names(own) == [str(DEFAULT_MODEL)]
    with pytest.raises(UnknownModel, match="this installation; it has"):
        find_choice("acme/never", own)


@pytest.mark.parametrize("content", ["", "[]", '{"models": 3}', "[" * 100_000, '{"models": {"a b": {}}, "sae_folders": []}'])
def test_a_damaged_file_remembers_nothing(own: Settings, content: str) -> None:
    own.cache.mkdir()
    (own.cache / "brought.json").write_text(content)
    assert names(own) == [str(DEFAULT_MODEL)]


def test_folders_of_saes_that_were_brought_are_looked_through(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    remember_saes(tmp_path / "release", own)
    assert find_choice(str(DEFAULT_MODEL), own).settings(own).sae_folders == (tmp_path / "release",)
