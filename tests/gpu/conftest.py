"""Random models of two sizes: a tiny one that runs anywhere, and on CUDA one of two billion parameters with 16,384 latents a site.

`.venv/bin/python -m pytest tests/gpu` runs everything that the machine can, and prints the device with what was measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.bridge import LoadedModel, assemble_model, load_tokenizer
from dashboard.analysis.names import ModelId, SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings
from tests.conftest import _tokenizer, random_weights, save_sae

RANDOM = ModelId("tests/random")
MEASURED: list[str] = []
"""What tests found, for the end of the report."""


@dataclass(frozen=True)
class Size:
    """A device, and how large a model is made on it."""

    device: str
    name: str
    width: int
    layers: int
    mlp: int
    vocabulary: int
    n_latents: int
    sites: tuple[int, ...]
    n_tokens: int
    """Of a long prompt."""


TINY = Size("cpu", "tiny", 32, 4, 48, 400, 64, (0, 1, 3), 64)
LARGE = Size("cuda", "2B", 2304, 26, 9216, 256_000, 16_384, (5, 12, 20), 1024)
_NO_CUDA = "this machine has no CUDA device, or torch was built without it"


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(TINY, id="cpu-tiny"),
        pytest.param(LARGE, id="cuda-2B", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=_NO_CUDA)),
    ],
)
def size(request: pytest.FixtureRequest) -> Size:
    return request.param


@pytest.fixture(scope="session")
def place(size: Size, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder without its weights, and beside it a release of random dictionaries."""
    folder = tmp_path_factory.mktemp(size.name)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2 if size is TINY else 0.02,
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    for layer in size.sites:
        weights = random_weights(layer, size.width, size.n_latents)
        save_sae(folder / "random" / f"{layer}.resid_post", f"blocks.{layer}.hook_resid_post", weights, str(RANDOM))
    return folder


@pytest.fixture(scope="session")
def settings(size: Size, place: Path) -> Settings:
    return Settings(cache=place / "cache", device=size.device, max_tokens=4096, sae_folders=(place / "random",), model=str(place / "model"))


@pytest.fixture(scope="session")
def names(size: Size) -> tuple[SaeId, ...]:
    return tuple(SaeId("random", f"{layer}.resid_post") for layer in size.sites)


@pytest.fixture(scope="session")
def make_runner(size: Size, place: Path, settings: Settings) -> Callable[..., LocalRunner]:
    """A runner on the random model in a number format; the same seed gives the same weights in each."""

    def make(dtype: torch.dtype, sae_memory: int | None = None) -> LocalRunner:
        config = LlamaConfig.from_pretrained(place / "model", attn_implementation="eager")
        with torch.random.fork_rng(), torch.device(size.device):
            torch.manual_seed(0)
            wrapped = LlamaForCausalLM(config).to(dtype).eval()
        model: LoadedModel = assemble_model(
            wrapped, place / "model", RANDOM, settings, size.device, dtype, load_tokenizer(place / "model", RANDOM)
        )
        return LocalRunner(model, read_catalog(settings, assets=place), settings.cache, sae_memory)

    return make


@pytest.fixture(scope="session")
def exact(make_runner: Callable[..., LocalRunner]) -> LocalRunner:
    return make_runner(torch.float32)


@pytest.fixture(scope="session")
def fast(make_runner: Callable[..., LocalRunner]) -> LocalRunner:
    return make_runner(torch.bfloat16)


@pytest.fixture
def measured(size: Size) -> Callable[[str], None]:
    """Writes a line of the report."""
    where = torch.cuda.get_device_name() if size.device == "cuda" else "CPU"
    return lambda line: MEASURED.append(f"{where}, {size.name}: {line}")


def seconds(work: Callable[[], object], device: str, times: int = 3) -> float:
    """The shortest of some runs, after one that warms up."""
    found = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begun)
    return min(found[1:])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.line(line)
