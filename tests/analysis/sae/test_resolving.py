"""One name, one meaning: folders, installed SAEs, the directory, repositories."""

from pathlib import Path

import pytest

from dashboard.analysis.errors import BadAsk, BadName, UnknownSae
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.sae.public.directory import DirectoryEntry
from dashboard.analysis.sae.resolving import SaeFolder, SaeRepository, resolve, with_folders
from dashboard.analysis.sae.selecting import select, select_one
from dashboard.analysis.settings import Settings
from tests.conftest import random_weights, save_sae

LISTED = "gpt2-small-res-jb/blocks.0.hook_resid_pre"


@pytest.fixture
def catalog(tiny_settings: Settings, tmp_path: Path) -> Catalog:
    return read_catalog(tiny_settings, assets=tmp_path)


def test_a_name_is_a_folder_then_an_installed_sae_then_a_listed_one_then_a_repository(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("tiny/1.resid_post", catalog) == catalog.get(SaeId("tiny", "1.resid_post"))
    assert resolve("tiny/1.resid_post") == SaeRepository("tiny/1.resid_post", "")
    assert isinstance(resolve(LISTED, catalog), DirectoryEntry)
    assert resolve("acme/saes/layers.3", catalog) == SaeRepository("acme/saes", "layers.3")
    (tmp_path / "acme" / "saes").mkdir(parents=True)
    assert resolve("acme/saes", catalog) == SaeFolder(tmp_path / "acme" / "saes", is_native=False)
    for name in ("tiny/1.resid_post", LISTED):  # a folder that is an SAE goes before all other meanings
        save_sae(tmp_path / name, "blocks.1.hook_resid_post", random_weights(0))
        assert resolve(name, catalog) == SaeFolder(tmp_path / name, is_native=True)


def test_an_sae_has_the_name_by_which_pages_know_it(tmp_path: Path) -> None:
    assert SaeFolder(tmp_path / "mine" / "saes" / "3.mlp_out", is_native=True).id == SaeId("mine", "3.mlp_out")
    assert SaeRepository("acme/saes", "layers.3").id == SaeId("acme--saes", "layers.3")
    assert SaeRepository("acme/saes", "").id == SaeId("acme--saes", "sae")


def test_a_listed_release_without_such_an_sae_and_a_name_without_a_place_are_refused_with_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(UnknownSae, match=r"Nearest: gpt2-small-res-jb/blocks"):
        resolve("gpt2-small-res-jb/blocks.99.hook_resid_pre", catalog)
    with pytest.raises(UnknownSae):
        resolve("nothing-of-that-name", catalog)


def test_installed_saes_are_chosen_by_release_by_name_or_by_folder(catalog: Catalog, tmp_path: Path) -> None:
    own = [spec for spec in catalog.specs if spec.id.release == "tiny"]
    assert select(catalog, ["tiny"]) == own
    assert select(catalog, [str(own[1].id), str(own[0].id)]) == [own[1], own[0]]
    folder = tmp_path / "other" / "one"
    save_sae(folder, "blocks.1.mlp.hook_post", random_weights(0, 48))
    more = with_folders(catalog, [str(folder), "tiny"])
    assert [spec.id for spec in select(more, [str(folder)])] == [SaeId("other", "one")] == [select_one(more, str(folder)).id]
    assert len(more.specs) == len(catalog.specs) + 1 and with_folders(catalog, ["tiny"]) == catalog
    with pytest.raises(UnknownSae, match="tiny"):
        select(catalog, ["nowhere"])
    with pytest.raises(BadName):
        select_one(catalog, "nowhere")
    with pytest.raises(BadAsk, match="2 folders of SAEs were given; 1 can be"):
        with_folders(catalog, [str(folder), str(folder)])
