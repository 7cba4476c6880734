"""Number formats, quantised weights, several devices: as far as a CPU can show it."""

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from accelerate.hooks import AlignDevicesHook
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, DeviceUnavailable, ModelTooLarge, ModelUnavailable
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.model.bridge import LoadedModel, assemble_model, load_model, load_tokenizer
from dashboard.analysis.model.orthogonal import without_direction
from dashboard.analysis.model.sources import admit_model, look_at
from dashboard.analysis.model.weights import check_quantization, is_spread, loading_options, put_in_place
from dashboard.analysis.names import LatentId, ModelId, SaeId, Site
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import TEXT, TINY

SAE = SaeId("tiny", "1.resid_post")
CAPTURE = CaptureAsk(Prompt(TEXT), (SAE,), fidelity=True)
STEERED = (Variant("plain"), Variant("steered", (Intervention(LatentId(SAE, 3), Op.CLAMP, 3.0),)))
WRITE = GenerationAsk(Prompt(TEXT), STEERED, Sampling(6))


def changed(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


def runner_on(model: LoadedModel, runner: LocalRunner) -> LocalRunner:
    return LocalRunner(model, runner.catalog, runner._cache)


@pytest.mark.parametrize(("dtype", "off"), [("float16", 0.02), ("bfloat16", 0.1)])
def test_half_formats_read_what_float32_reads_up_to_rounding(
    runner: LocalRunner, tiny_path: Path, tiny_settings: Settings, dtype: str, off: float
) -> None:
    half = runner_on(load_model(tiny_path, TINY, changed(tiny_settings, dtype=dtype)), runner)
    assert half.describe().dtype == dtype
    a, b = (one.ask(CAPTURE).fidelity[SAE].fvu for one in (runner, half))
    assert a is not None and b is not None and b == pytest.approx(a, rel=off)
    assert len(list(half.stream(WRITE))) == len(list(runner.stream(WRITE)))


def test_a_device_map_on_one_device_changes_nothing(runner: LocalRunner, tiny_path: Path, tiny_settings: Settings) -> None:
    settings = changed(tiny_settings, device_map="auto")
    assert not is_spread(settings, "cpu") and "device_map" not in loading_options(settings, "cpu", torch.float32)
    spread = runner_on(load_model(tiny_path, TINY, settings), runner)
    assert spread.ask(CAPTURE).fidelity == runner.ask(CAPTURE).fidelity


def test_a_model_that_accelerate_dispatches_part_by_part_gives_equal_numbers(
    runner: LocalRunner, tiny_path: Path, tiny_settings: Settings
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32, attn_implementation="eager")
    parts = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    parts |= {f"model.layers.{layer}": "cpu" for layer in range(4)}
    wrapped = dispatch_model(plain, parts, main_device="cpu", force_hooks=True).eval()
    assert isinstance(wrapped.model.layers[1]._hf_hook, AlignDevicesHook)
    assert put_in_place(wrapped, tiny_settings, "cpu") == "cpu"
    model = assemble_model(wrapped, tiny_path, TINY, tiny_settings, "cpu", torch.float32, load_tokenizer(tiny_path, TINY))
    assert model.bare.model.layers[1]._hf_hook is not wrapped.model.layers[1]._hf_hook
    dispatched = runner_on(model, runner)
    assert dispatched.ask(CAPTURE).fidelity == runner.ask(CAPTURE).fidelity
    assert list(dispatched.stream(WRITE)) == list(runner.stream(WRITE))


def test_a_site_is_on_the_device_of_its_layer(tiny_path: Path, tiny_settings: Settings) -> None:
    model = load_model(tiny_path, TINY, tiny_settings)
    model.bare.hf_device_map = {"model.layers.0": "cpu", "model.layers.2": "meta"}
    model.bare.model.layers[2].to("meta")
    assert [model.device_of(Site.parse(f"{layer}.resid_post")) for layer in (1, 2)] == ["cpu", "meta"]


def test_a_spread_model_whose_parts_found_no_room_is_refused_with_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.analysis.model.weights.free_bytes", lambda device: 3 << 20)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    class Spread:
        hf_device_map = {"a": 0, "b": 1, "c": "cpu"}  # noqa: RUF012

    with pytest.raises(ModelUnavailable, match=r"1 of 3 parts do not fit on 2 CUDA devices, which have 6 MiB left; first c"):
        put_in_place(Spread(), Settings(device_map="auto"), "cuda")


def test_a_missing_library_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.analysis.model.weights.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="pip install bitsandbytes, or set LATENTS_QUANTIZE=none"):
        check_quantization("4bit", "cuda")
    monkeypatch.setattr("dashboard.analysis.model.weights.find_spec", lambda name: name)
    with pytest.raises(DeviceUnavailable, match="mps"):
        check_quantization("8bit", "mps")


def test_a_model_that_is_too_large_is_told_what_would_fit(
    tiny_path: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = look_at(tiny_path, ModelId("tests/tiny"))
    monkeypatch.setattr("dashboard.analysis.system.room.free_bytes", lambda device: int(1.2 * facts.n_parameters))
    with pytest.raises(ModelTooLarge, match="LATENTS_QUANTIZE=8bit") as refused:
        admit_model(facts, tiny_settings)
    assert refused.value.needed_bytes == 4 * facts.n_parameters
    admit_model(facts, changed(tiny_settings, quantize="8bit"))
    monkeypatch.setattr("dashboard.analysis.system.room.free_bytes", lambda device: 1000)
    with pytest.raises(ModelTooLarge, match="in 4bit"):
        admit_model(facts, changed(tiny_settings, quantize="4bit"))


def test_the_budget_of_the_settings_reaches_the_shelf(tiny_path: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTS_SAE_MEMORY", "3MiB")
    assert Settings().sae_memory == 3 << 20
    monkeypatch.setenv("LATENTS_SAE_MEMORY", "auto")
    assert Settings().sae_memory is None
    settings = changed(tiny_settings, model=str(tiny_path), sae_memory=3 << 20)
    assert open_runner(settings, lambda line: None).shelf.budget_bytes == 3 << 20


@pytest.mark.parametrize(("width", "is_read"), [(64, True), (128, True), (32, False), (96, False)])
def test_in_4_bits_a_cpu_reads_rows_of_whole_blocks_only(width: int, is_read: bool) -> None:
    class Linear4bit(torch.nn.Linear): ...

    model = torch.nn.Sequential(torch.nn.Linear(33, width), Linear4bit(width, 7))
    with nullcontext() if is_read else pytest.raises(ModelUnavailable, match=rf"multiple of 64 weights; those of 1 have {width}\. Set"):
        put_in_place(model, Settings(quantize="4bit"), "cpu")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_quantised_weights_read_nearly_the_same_and_both_twins_share_them(
    runner: LocalRunner, tiny_path: Path, tiny_settings: Settings
) -> None:
    model = load_model(tiny_path, TINY, changed(tiny_settings, quantize="8bit"))
    assert not model.bare.model.layers[1].mlp.up_proj.weight.is_floating_point()
    packed = runner_on(model, runner)
    assert packed.describe().dtype == "float32, 8bit"
    exact, near = (one.ask(CAPTURE).fidelity[SAE].fvu for one in (runner, packed))
    assert exact is not None and near is not None and near == pytest.approx(exact, rel=0.3)
    assert len(list(packed.stream(WRITE))) == 12
    before = packed.ask(CAPTURE)
    np.testing.assert_array_equal(before.activations[SAE].value, packed.ask(CAPTURE).activations[SAE].value)
    rows = torch.eye(32)[:3]
    plain = runner.model.to_residual(Site.parse("1.attn_z"), rows)
    assert torch.nn.functional.cosine_similarity(model.to_residual(Site.parse("1.attn_z"), rows), plain).min() > 0.95
    with pytest.raises(BadAsk, match="LATENTS_QUANTIZE=none"):
        without_direction(model, torch.ones(32))
