"""Broken and hostile files, in bulk: each is refused in words, nothing of it is run, nothing fills the memory, the rest goes on."""

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dashboard.analysis.errors import AnalysisError, BadAsk, BrokenSaeFile, ModelUnavailable
from dashboard.analysis.model.bridge import load_model, tokenise
from dashboard.analysis.model.sources import look_at
from dashboard.analysis.names import ModelId, SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.sae.loading import load_sae
from dashboard.analysis.sae.public.directory import entries
from dashboard.analysis.sae.public.fetching import check_weights, get_sae
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import random_weights, save_sae

Spoil = Callable[[Path], object]
WEIGHTS = "sae_weights.safetensors"
DEEP = '{"a":' * 200_000 + "1" + "}" * 200_000
_MOST_GROWN = 400 << 20
"""Bytes by which the process may grow while it looks at hostile files."""


class _Trap:
    """Unpickled, it leaves a mark in the folder that the environment names."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ('touch "$TRAP/sprung"',)


@pytest.fixture(autouse=True)
def nothing_is_run_and_memory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TRAP", str(tmp_path))
    entries()  # the directory of public SAEs, once a process, is not a hostile file
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _peak()
    yield
    assert not (tmp_path / "sprung").exists()
    assert _peak() - before < _MOST_GROWN


def _peak() -> int:
    return next(int(line.split()[1]) << 10 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))


def write(name: str, content: str | bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def header(value: Any, length: int | None = None, body: int = 0) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(body)


def tensor(dtype: str, shape: list[Any], offsets: list[Any]) -> dict[str, Any]:
    return {"W_dec": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def config(**changed: Any) -> Spoil:
    """cfg.json with some values changed; None takes one away."""

    def spoil(folder: Path) -> None:
        value = {**json.loads((folder / "cfg.json").read_text()), **changed}
        (folder / "cfg.json").write_text(json.dumps({name: part for name, part in value.items() if part is not None}))

    return spoil


def numbers(**changed: float) -> Spoil:
    def spoil(folder: Path) -> None:
        stored = load_file(folder / WEIGHTS)
        for name, value in changed.items():
            stored[name].view(-1)[0] = value
        save_file(stored, folder / WEIGHTS)

    return spoil


def topk(k: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        stored = load_file(folder / WEIGHTS)
        del stored["threshold"]
        save_file(stored, folder / WEIGHTS)
        config(architecture="topk", k=k)(folder)

    return spoil


META = {"model_name": "tests/tiny"}
HOOK = {"hook_name": "blocks.1.hook_mlp_out"}

AT_ONCE: dict[str, Spoil] = {
    "half": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:3000]),
    "empty": write(WEIGHTS, b""),
    "seven bytes": write(WEIGHTS, b"1234567"),
    "10 GB header": write(WEIGHTS, header(b"{}", 10 << 30)),
    "10 GB of tensors": write(WEIGHTS, header(tensor("F32", [50_000, 50_000], [0, 10**10]), body=64)),
    "endless header length": write(WEIGHTS, b"\xff" * 64),
    "deep header": write(WEIGHTS, header(DEEP.encode())),
    "header is a list": write(WEIGHTS, header([1, 2])),
    "header of numbers": write(WEIGHTS, header({"W_dec": 7})),
    "no such dtype": write(WEIGHTS, header(tensor("F99", [4], [0, 16]), body=16)),
    "negative shape": write(WEIGHTS, header(tensor("F32", [-4, -1], [0, 16]), body=16)),
    "shape of text": write(WEIGHTS, header(tensor("F32", ["x"], [0, 16]), body=16)),
    "shape overflows": write(WEIGHTS, header(tensor("F32", [1 << 62, 1 << 62], [0, 16]), body=16)),
    "offsets backwards": write(WEIGHTS, header(tensor("F32", [4], [16, 0]), body=16)),
    "a pickle in its name": write(WEIGHTS, pickle.dumps(_Trap())),
    "a folder": instead(WEIGHTS, lambda path: path.mkdir()),
    "a pipe": instead(WEIGHTS, os.mkfifo),
    "a link to itself": instead(WEIGHTS, lambda path: path.symlink_to(path)),
    "a link to endless zeros": instead(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "pickle beside config": instead(WEIGHTS, lambda path: path.with_name("ae.pt").write_bytes(pickle.dumps(_Trap()))),
    "no config": write("cfg.json", ""),
    "config is half": lambda folder: (folder / "cfg.json").write_bytes((folder / "cfg.json").read_bytes()[:50]),
    "config is deep": write("cfg.json", DEEP),
    "config is not text": write("cfg.json", b"\xff\xfe\x00{}"),
    "config is 40 MB": write("cfg.json", b'{"a": "' + b"x" * (40 << 20) + b'"}'),
    "config is a pipe": instead("cfg.json", os.mkfifo),
    "config is endless": instead("cfg.json", lambda path: path.symlink_to("/dev/zero")),
    "config is a list": write("cfg.json", "[]"),
    "widths not a number": config(d_in=float("nan")),
    "widths infinite": config(d_in=float("inf"), d_sae=float("inf")),
    "widths negative": config(d_in=-32),
    "widths zero": config(d_sae=0),
    "widths huge": config(d_in=10**12, d_sae=10**12),
    "a number of 5,000 digits": lambda folder: (folder / "cfg.json").write_text('{"d_in": ' + "9" * 5000 + "}"),
    "widths true": config(d_in=True),
    "widths as text": config(d_in="32"),
    "another width": config(d_in=31),
    "many more latents": config(d_sae=2_000_000_000),
    "no architecture": config(architecture=None),
    "no such architecture": config(architecture="../../evil"),
    "architecture is a list": config(architecture=["jumprelu"]),
    "a transcoder": config(architecture="transcoder"),
    "a temporal one": config(architecture="temporal"),
    "hook leads out": config(metadata={**META, "hook_name": "../../../etc/passwd"}),
    "hook of layer 99999": config(metadata={**META, "hook_name": "blocks.99999.hook_out"}),
    "hook is a number": config(metadata={**META, "hook_name": 7}),
    "one head alone": config(metadata={**META, **HOOK, "hook_head_index": 3}),
    "metadata is text": config(metadata="blocks"),
    "metadata is null": lambda folder: write("cfg.json", json.dumps({"architecture": "jumprelu", "d_in": 32, "metadata": None}))(folder),
    "model has no name": config(metadata={**HOOK, "model_name": "@"}),
    "model's name is a book": config(metadata={**HOOK, "model_name": "acme/" + "m" * 100_000}),
    "model's name moves the cursor": config(metadata={**HOOK, "model_name": "acme/\x1b[2Jtiny"}),
    "record is deep": write("record.json", DEEP),
    "record not a number": write("record.json", '{"evaluation": {"l0": NaN}}'),
    "record infinite": write("record.json", '{"evaluation": {"fvu": 1e999}}'),
    "record too large to be": write("record.json", '{"evaluation": {"fvu": ' + "9" * 400 + "}}"),
    "record is text": write("record.json", '{"evaluation": "good"}'),
}
WHEN_LOADED: dict[str, Spoil] = {
    "a weight that is not a number": numbers(W_dec=float("nan")),
    "an infinite weight": numbers(W_enc=float("inf")),
    "an infinite bias": numbers(b_dec=float("-inf")),
    "k above its latents": topk(10**9),
    "k negative": topk(-3),
    "k is text": topk("many"),
    "no such norm": config(normalize_activations="../../evil"),
    "a tensor too few": lambda folder: save_file({k: v for k, v in load_file(folder / WEIGHTS).items() if k != "b_enc"}, folder / WEIGHTS),
}
HARMLESS: dict[str, Spoil] = {
    "no such dtype": config(dtype="torch.evil; import os"),
    "a device that is not here": config(device="cuda:99"),
    "remote code": config(auto_map={"AutoModel": "evil.Model"}, trust_remote_code=True),
    "a link to itself beside it": lambda folder: (folder.parent / "loop").symlink_to(folder.parent / "loop"),
    "a link to its own folder": lambda folder: (folder / "again").symlink_to(folder.parent),
    "a model's name that leads out": config(metadata={**HOOK, "model_name": "../../../etc/passwd"}),
}


def release_with(spoil: Spoil, tmp_path: Path) -> Settings:
    """A release of a whole SAE and a spoilt one."""
    release = tmp_path / "rel"
    for name in ("whole", "spoilt"):
        save_sae(release / name, "blocks.1.hook_mlp_out", random_weights(1))
    spoil(release / "spoilt")
    return Settings(cache=tmp_path / "cache", sae_folders=(release,))


@pytest.mark.parametrize("damage", AT_ONCE)
def test_a_spoilt_folder_is_named_and_harms_no_other(damage: str, tmp_path: Path) -> None:
    found = read_catalog(release_with(AT_ONCE[damage], tmp_path), tmp_path)
    assert [str(spec.id) for spec in found.specs] == ["rel/whole"]
    assert list(found.broken) == [SaeId("rel", "spoilt")]
    with pytest.raises(BrokenSaeFile, match=r"spoilt cannot be read as an SAE: .+\. Copy or download it again"):
        found.get(SaeId("rel", "spoilt"))
    assert len(str(found.broken[SaeId("rel", "spoilt")])) < 600


@pytest.mark.parametrize("damage", WHEN_LOADED)
def test_what_only_weights_show_is_refused_when_they_are_read(damage: str, tmp_path: Path) -> None:
    settings = release_with(WHEN_LOADED[damage], tmp_path)
    found = read_catalog(settings, tmp_path)
    assert any(str(spec.id) == "rel/whole" for spec in found.specs)
    with pytest.raises(BrokenSaeFile, match=r"cannot be read as an SAE: .+"):
        load_sae(found.get(SaeId("rel", "spoilt")), settings.cache, "cpu")


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = release_with(WHEN_LOADED["a tensor too few"], tmp_path)
    with pytest.raises(BrokenSaeFile, match="b_enc"):
        load_sae(read_catalog(settings, tmp_path).get(SaeId("rel", "spoilt")), settings.cache, "cpu")


@pytest.mark.parametrize("damage", ["hook leads out", "a transcoder", "widths as text", "model's name is a book", "record is text"])
def test_what_pages_could_not_read_is_refused_by_get_and_not_kept(damage: str, tmp_path: Path) -> None:
    settings = release_with(AT_ONCE[damage], tmp_path)
    with pytest.raises(BrokenSaeFile, match=r"spoilt cannot be read as an SAE: .+"):
        get_sae(str(settings.sae_folders[0] / "spoilt"), settings.cache, print)
    assert not list(settings.cache.rglob("cfg.json"))


@pytest.mark.parametrize("name", ["a**b", "[", "*"])
def test_a_name_with_wildcards_is_a_name(name: str, tmp_path: Path) -> None:
    save_sae(tmp_path / "rel" / name, "blocks.1.hook_mlp_out", random_weights(1))
    other = tmp_path / "cache" / "releases" / "rel" / "building-other-1"
    other.mkdir(parents=True)
    assert str(get_sae(str(tmp_path / "rel" / name), tmp_path / "cache", print)) == f"rel/{name}"
    assert other.is_dir()  # another process is making it


@pytest.mark.parametrize("oddity", HARMLESS)
def test_what_is_odd_but_harmless_is_read(oddity: str, tmp_path: Path) -> None:
    settings = release_with(HARMLESS[oddity], tmp_path)
    found = read_catalog(settings, tmp_path)
    assert [str(spec.id) for spec in found.specs] == ["rel/spoilt", "rel/whole"] and not found.broken
    assert load_sae(found.specs[0], settings.cache, "cpu").W_dec.dtype == torch.float32


def test_a_folder_that_is_a_loop_or_not_there_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    save_sae(tmp_path / "rel" / "whole", "blocks.1.hook_mlp_out", random_weights(1))
    os.mkfifo(tmp_path / "pipe")
    folders = (tmp_path / "loop", tmp_path / "none", tmp_path / "pipe", Path("/dev/null"), tmp_path / "rel")
    assert [str(spec.id) for spec in read_catalog(Settings(cache=tmp_path, sae_folders=folders), tmp_path).specs] == ["rel/whole"]


def _npz(members: dict[str, bytes], compressed: bool = False) -> Spoil:
    def spoil(file: Path) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: np.savez(file, W_enc=np.array([_Trap()], dtype=object)),
        _npz({"W_enc.npy": pickle.dumps(_Trap())}),
        _npz({"../../evil.npy": b"x", "/etc/evil.npy": b"y"}),
        _npz({"W_enc.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 70_000}),
        _npz({"W_enc.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5), }".ljust(127) + b"\n"}),
        _npz({"W_enc.npy": b"\x93NUMPY\x09\x00"}),
        _npz({f"{n}.npy": bytes(1 << 20) for n in range(40)}, compressed=True),
        lambda file: file.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda file: os.mkfifo(file),
    ],
)
def test_an_npz_that_is_none_is_refused_by_its_headers(spoil: Spoil, tmp_path: Path) -> None:
    spoil(tmp_path / "params.npz")
    with pytest.raises(BrokenSaeFile):
        check_weights(tmp_path / "params.npz")


def test_a_bomb_of_many_small_members_is_one_too(tmp_path: Path) -> None:
    file, array = tmp_path / "params.npz", np.zeros((8 << 20) // 4, "f4")
    np.savez_compressed(file, **{f"x{n}": array for n in range(10)})  # type: ignore[arg-type]
    with pytest.raises(BrokenSaeFile, match="zip bomb"):
        check_weights(file)


@pytest.mark.parametrize(
    "name",
    [
        "../x/y",
        "acme/../x",
        "acme/x/../../../etc",
        "acme/x/..",
        "/etc/passwd",
        "acme\\x/y/z",
        "acme/x/\0",
        "a" * 5000,
        "",
        "/",
        "acme/x y/z",
    ],
)
def test_a_name_that_leads_out_is_refused_and_makes_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError):
        get_sae(name, tmp_path / "cache", print)
    assert not (tmp_path / "cache").exists() or not any(path.is_file() and path.suffix != ".lock" for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("file", ["ae.pt", "model.bin", "sae.pkl", "weights.pth"])
def test_a_folder_of_pickles_is_refused_with_the_reason(file: str, tmp_path: Path) -> None:
    (tmp_path / "dl").mkdir()
    (tmp_path / "dl" / "config.json").write_text("{}")
    (tmp_path / "dl" / file).write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(BadAsk, match=rf"only pickled weights \({file}\): pickles can run arbitrary code"):
        get_sae(str(tmp_path / "dl"), tmp_path / "cache", print)


def model_config(**changed: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        value = {**json.loads((folder / "config.json").read_text()), **changed}
        (folder / "config.json").write_text(json.dumps(value))

    return spoil


def model_index(**files: str) -> Spoil:
    def spoil(folder: Path) -> None:
        shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))

    return spoil


def evil_code(folder: Path) -> None:
    for name in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py"):
        (folder / name).write_text("import os\nos.system('touch \"$TRAP/sprung\"')\n")
    auto = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    model_config(auto_map=auto, trust_remote_code=True)(folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**tokenizer, "auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", None]}})
    )


def evil_type(folder: Path) -> None:
    evil_code(folder)
    model_config(model_type="evil", architectures=["EvilForCausalLM"])(folder)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        stored = load_file(folder / "model.safetensors")
        change(stored)
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


MODELS: dict[str, Spoil] = {
    "half": lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:9000]),
    "10 GB header": write("model.safetensors", header(b"{}", 10 << 30)),
    "deep header": write("model.safetensors", header(DEEP.encode())),
    "weights are a pipe": instead("model.safetensors", os.mkfifo),
    "weights are endless": instead("model.safetensors", lambda path: path.symlink_to("/dev/zero")),
    "pickle only": instead("model.safetensors", lambda path: path.with_name("pytorch_model.bin").write_bytes(pickle.dumps(_Trap()))),
    "a pickle in its name": write("model.safetensors", pickle.dumps(_Trap())),
    "config is deep": write("config.json", DEEP),
    "config is empty": write("config.json", ""),
    "config is endless": instead("config.json", lambda path: path.symlink_to("/dev/zero")),
    "no such type": model_config(model_type="evil"),
    "code of its own": evil_type,
    "no causal model": model_config(architectures=["LlamaForSequenceClassification"]),
    "architectures are numbers": model_config(architectures=[7]),
    "negative width": model_config(hidden_size=-32),
    "no width": model_config(hidden_size=0),
    "width is text": model_config(hidden_size="../../x"),
    "huge width": model_config(hidden_size=1 << 40),
    "huge vocabulary": model_config(vocab_size=10**10),
    "huge mlp": model_config(intermediate_size=10**9),
    "a billion layers": model_config(num_hidden_layers=10**9),
    "negative layers": model_config(num_hidden_layers=-1),
    "more layers than weights": model_config(num_hidden_layers=9),
    "no heads": model_config(num_attention_heads=0),
    "index leads out": model_index(a="../outside.safetensors"),
    "index leads to the root": model_index(a="/etc/passwd"),
    "index names a pickle": model_index(a="pytorch_model.bin"),
    "index names what is not there": model_index(a="model-00001-of-00002.safetensors"),
    "index is deep": write("model.safetensors.index.json", DEEP),
    "a layer is missing": tensors(lambda stored: [stored.pop(name) for name in list(stored) if "layers.1." in name]),
    "one tensor has another name": tensors(lambda stored: stored.update({"other": stored.pop("model.norm.weight")})),
    "another shape": tensors(lambda stored: stored.update({"model.norm.weight": torch.ones(40)})),
    "a weight that is not a number": tensors(lambda stored: stored["model.norm.weight"].fill_(float("nan"))),
    "no tokenizer": lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")],
    "tokenizer is half": lambda folder: (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes()[:500]),
    "tokenizer is none": write("tokenizer.json", "{}"),
    "tokenizer is deep": write("tokenizer.json", DEEP),
    "tokenizer is of another form": write("tokenizer.json", '{"model": {"type": "Evil"}, "version": "1.0"}'),
}


@pytest.mark.parametrize("damage", MODELS)
def test_a_spoilt_model_is_refused_by_name(damage: str, tiny_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_path, tmp_path / "model")
    MODELS[damage](folder)
    with pytest.raises(ModelUnavailable, match=r"^acme/tiny.+[.]") as refused:
        look_at(folder, ModelId("acme/tiny"))
        load_model(folder, ModelId("acme/tiny"), Settings(cache=tmp_path, device="cpu", dtype="float32"))
    assert len(str(refused.value)) < 700


def test_code_beside_a_models_weights_is_never_run(tiny_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_path, tmp_path / "model")
    evil_code(folder)
    look_at(folder, ModelId("acme/tiny"))
    model = load_model(folder, ModelId("acme/tiny"), Settings(cache=tmp_path, device="cpu", dtype="float32"))
    assert tokenise(model, Prompt("The quick brown fox")).ids


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ raise_exception('no') }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ 1/0 }}"]
)
def test_a_chat_template_that_fails_is_said_so(template: str, tiny_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_path, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    model = load_model(folder, ModelId("acme/tiny"), Settings(cache=tmp_path, device="cpu", dtype="float32"))
    with pytest.raises(BadAsk, match="chat template of acme/tiny fails"):
        tokenise(model, Prompt("Hi", chat=True))
    assert tokenise(model, Prompt("Hi")).ids


def test_a_token_without_an_embedding_is_named(tiny_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_path, tmp_path / "model")
    written = json.loads((folder / "tokenizer.json").read_text())
    written["added_tokens"].append({**written["added_tokens"][0], "id": 5000, "content": "<image>"})
    (folder / "tokenizer.json").write_text(json.dumps(written))
    model = load_model(folder, ModelId("acme/tiny"), Settings(cache=tmp_path, device="cpu", dtype="float32"))
    with pytest.raises(BadAsk, match=r"no embedding for '<image>'"):
        tokenise(model, Prompt("An <image> here"))
