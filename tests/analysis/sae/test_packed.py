"""The shipped form: small, close to what was packed, and repaired when half made. Broken files are refused in words."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file

from dashboard.analysis.errors import BrokenSaeFile, UnknownSae
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae import packed
from dashboard.analysis.sae.catalog import folder_spec, read_catalog
from dashboard.analysis.sae.loading import load_sae, sae_folder
from dashboard.analysis.settings import Settings


@pytest.fixture
def shipped(tiny_release: Path, tmp_path: Path) -> Path:
    """An assets folder with one packed SAE."""
    packed.pack(tiny_release / "2.resid_post", tmp_path / "assets" / "saes" / "rel" / "2.resid_post", {"kind": "batchtopk"})
    return tmp_path / "assets"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache", device="cpu")


def spec_of(shipped: Path, settings: Settings):
    return read_catalog(settings, shipped).get(SaeId("rel", "2.resid_post"))


def test_unpacked_weights_are_within_a_float8_step_of_the_packed_ones(shipped: Path, settings: Settings, tiny_release: Path) -> None:
    spec = spec_of(shipped, settings)
    before = load_file(tiny_release / "2.resid_post" / "sae_weights.safetensors")
    after = load_file(sae_folder(spec, settings.cache) / "sae_weights.safetensors")
    for name, axis in (("W_enc", 0), ("W_dec", 1)):
        largest = before[name].abs().amax(dim=axis, keepdim=True)
        # e4m3 has 3 bits of mantissa: half a step is 1/16 of the value, and at least half the smallest subnormal.
        bound = torch.maximum(before[name].abs() / 16, largest / 448 * 2**-10) * 1.001
        assert ((before[name] - after[name]).abs() <= bound).all()
        assert not torch.equal(before[name], after[name])
    for name in ("b_enc", "b_dec", "threshold"):
        assert torch.equal(before[name], after[name])


def test_a_packed_sae_is_a_quarter_of_its_size_and_loads_with_sae_lens(shipped: Path, settings: Settings) -> None:
    spec = spec_of(shipped, settings)
    folder = sae_folder(spec, settings.cache)
    assert spec.source.stat().st_size < 0.45 * (folder / "sae_weights.safetensors").stat().st_size
    assert SAE.load_from_disk(folder).W_dec.shape == (spec.n_latents, spec.d_in)
    assert spec.kind == "batchtopk" and spec.measured("fvu") is None


def test_a_packed_release_anywhere_can_be_added(shipped: Path, tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache", sae_folders=(shipped / "saes" / "rel",))
    spec = read_catalog(settings, tmp_path / "nothing").get(SaeId("rel", "2.resid_post"))
    assert load_sae(spec, settings.cache, "cpu").W_dec.shape == (spec.n_latents, spec.d_in)


def test_packing_what_was_unpacked_changes_nothing(shipped: Path, settings: Settings, tmp_path: Path) -> None:
    spec = spec_of(shipped, settings)
    packed.pack(sae_folder(spec, settings.cache), tmp_path / "again" / "x", {})
    first, again = load_file(spec.source), load_file(tmp_path / "again" / "x.safetensors")
    assert torch.equal(first["decoder_rows"].float(), again["decoder_rows"].float())


def test_unpacking_that_was_killed_half_way_is_made_again(shipped: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(shipped, settings)

    def die(tensors: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(packed, "save_file", die)
        sae_folder(spec, settings.cache)
    assert load_sae(spec, settings.cache, "cpu").W_dec.shape == (spec.n_latents, spec.d_in)


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_damage_to_what_was_unpacked_is_repaired(shipped: Path, settings: Settings, damage: str) -> None:
    spec = spec_of(shipped, settings)
    weights = sae_folder(spec, settings.cache) / "sae_weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8]) if damage == "truncated" else weights.unlink()
    sae_folder(spec, settings.cache)
    assert weights.read_bytes() == whole


def test_two_saes_of_one_name_are_told_apart(tiny_release: Path, tmp_path: Path) -> None:
    for run in ("a", "b"):
        shutil.copytree(tiny_release, tmp_path / run / "same")
        shutil.copytree(tiny_release / "2.resid_post", tmp_path / run / "saes" / "2.resid_post")
    folders = (tmp_path / "a" / "same", tmp_path / "b" / "same", tmp_path / "a" / "saes", tmp_path / "b" / "saes")
    catalog = read_catalog(Settings(cache=tmp_path, sae_folders=folders), tmp_path)
    assert len({spec.id for spec in catalog.specs}) == len(catalog.specs) == 4 + 2
    assert {str(spec.id) for spec in catalog.specs} >= {"a/2.resid_post", "b/2.resid_post"}
    assert all("already called" in str(error) for error in catalog.broken.values()) and len(catalog.broken) == 4


def test_a_truncated_packed_file_is_refused_by_name(shipped: Path, settings: Settings) -> None:
    spec = spec_of(shipped, settings)
    spec.source.write_bytes(spec.source.read_bytes()[:-100])
    with pytest.raises(BrokenSaeFile, match=r"2\.resid_post\.safetensors"):
        load_sae(spec, settings.cache, "cpu")


def broken_folder(tiny_release: Path, target: Path, damage: str) -> Path:
    shutil.copytree(tiny_release / "2.resid_post", target)
    weights = target / "sae_weights.safetensors"
    content = load_file(weights)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-64])
    elif damage == "huge header":
        weights.write_bytes(struct.pack("<Q", 10 * 2**30) + weights.read_bytes()[8:])
    elif damage == "missing tensor":
        content.pop("W_enc")
        save_file(content, weights)
    elif damage == "wrong shape":
        save_file({**content, "W_dec": content["W_dec"][:, :-1].contiguous()}, weights)
    elif damage == "nan":
        content["W_enc"][0, 0] = float("nan")
        save_file(content, weights)
    elif damage == "pickle":
        weights.unlink()
        torch.save(content, target / "sae_weights.pt")
    elif damage == "no weights":
        weights.unlink()
    return target


@pytest.mark.parametrize("damage", ["truncated", "huge header", "missing tensor", "wrong shape", "nan", "pickle", "no weights"])
def test_damaged_weights_are_refused_in_words(tiny_release: Path, tmp_path: Path, damage: str) -> None:
    folder = broken_folder(tiny_release, tmp_path / "rel" / "x", damage)
    with pytest.raises(BrokenSaeFile, match="cannot be read as an SAE"):
        load_sae(folder_spec(folder), tmp_path, "cpu")
    found = read_catalog(Settings(cache=tmp_path, sae_folders=(folder.parent,)), tmp_path)
    assert bool(found.broken) == (damage != "nan")  # what a header shows is known before anything is chosen


@pytest.mark.parametrize(
    "config",
    ["", "[]", "{}", '{"d_in": "x"}', '{"d_in": 32, "d_sae": 64, "architecture": "jumprelu"}', "[" * 100_000],
    ids=["empty", "list", "nothing", "text", "no hook", "deep"],
)
def test_a_damaged_config_harms_no_other_entry(tiny_release: Path, tmp_path: Path, config: str) -> None:
    release = tmp_path / "mixed"
    shutil.copytree(tiny_release, release)
    (release / "1.mlp_out" / "cfg.json").write_text(config)
    catalog = read_catalog(Settings(cache=tmp_path, sae_folders=(release,)), tmp_path)
    assert len(catalog.broken) == 1 and len(catalog.specs) == 3
    with pytest.raises(BrokenSaeFile):
        catalog.get(SaeId("mixed", "1.mlp_out"))
    with pytest.raises(UnknownSae):
        catalog.get(SaeId("mixed", "7.mlp_out"))


@pytest.mark.parametrize(
    "config",
    [
        {"metadata": ["x"]},
        {"metadata": {"hook_name": "blocks.1.hook_mlp_out"}, "d_in": float("inf"), "d_sae": 4, "architecture": "jumprelu"},
        {"metadata": 7, "d_in": 4, "d_sae": 4, "architecture": "jumprelu"},
    ],
)
def test_odd_values_in_a_config_are_broken_too(tmp_path: Path, config: dict) -> None:
    (tmp_path / "rel" / "x").mkdir(parents=True)
    (tmp_path / "rel" / "x" / "cfg.json").write_text(json.dumps(config))
    catalog = read_catalog(Settings(cache=tmp_path, sae_folders=(tmp_path / "rel",)), tmp_path)
    assert catalog.specs == () and list(catalog.broken) == [SaeId("rel", "x")]


@pytest.mark.parametrize("record", [{"evaluation": None}, {"evaluation": {"l0": "many"}}, {"evaluation": 3}])
def test_odd_values_in_a_record_are_broken_too(tiny_release: Path, tmp_path: Path, record: dict) -> None:
    shutil.copytree(tiny_release / "2.resid_post", tmp_path / "rel" / "x")
    (tmp_path / "rel" / "x" / "record.json").write_text(json.dumps(record))
    with pytest.raises(BrokenSaeFile):
        folder_spec(tmp_path / "rel" / "x")


def test_a_record_without_weights_is_broken(shipped: Path, settings: Settings) -> None:
    record = shipped / "saes" / "rel" / "9.resid_post.json"
    record.write_text(json.dumps({"config": {}}))
    assert [error.path.name for error in read_catalog(settings, shipped).broken.values()] == ["9.resid_post.json"]
