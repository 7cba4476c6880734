"""A tiny model, hand-made SAEs on it, and runners over both: exact numbers in milliseconds."""

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sae_lens import SAE
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.bridge import LoadedModel, load_model
from dashboard.analysis.names import ModelId, SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings

# Tiny tensors gain nothing from more threads, and lose much when other work runs beside them.
torch.set_num_threads(1)

TINY = ModelId("tests/tiny")
D_MODEL, N_LATENTS, N_LAYERS = 32, 64, 4
SITES = ("1.resid_post", "2.resid_post", "1.mlp_out")
EXACT = SaeId("tiny", "2.exact")
TEXT = "The quick brown fox jumps over the lazy dog, and the dog sleeps. 한국어 emoji 👩‍👩‍👧 done."


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["<|end|>", "<|start|>"]
    inner.train_from_iterator([TEXT] * 3, trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    )
    return tokenizer


def save_sae(folder: Path, hook: str, weights: dict[str, torch.Tensor], model: str = str(TINY)) -> None:
    """An SAE folder in sae-lens' layout from hand-made weights."""
    n_latents, d_in = weights["W_dec"].shape
    metadata = {"hook_name": hook, "model_name": model}
    config = {"architecture": "jumprelu", "d_in": d_in, "d_sae": n_latents, "device": "cpu", "dtype": "float32", "metadata": metadata}
    sae = SAE.from_dict(config)
    sae.load_state_dict(weights)
    sae.save_model(folder)


def random_weights(seed: int, d_in: int = D_MODEL, n_latents: int = N_LATENTS) -> dict[str, torch.Tensor]:
    """A dictionary whose decoder rows have norm 1, with a small threshold."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(n_latents, d_in, generator=generator), dim=1)
    return {
        "W_enc": rows.T.contiguous(),
        "W_dec": rows.clone(),
        "b_enc": 0.01 * torch.randn(n_latents, generator=generator),
        "b_dec": 0.01 * torch.randn(d_in, generator=generator),
        "threshold": torch.full((n_latents,), 0.02),
    }


def exact_weights(d_in: int = D_MODEL) -> dict[str, torch.Tensor]:
    """A dictionary that rebuilds every input: one latent for each direction of each axis."""
    eye = torch.eye(d_in)
    both = torch.cat([eye, -eye])
    zeros = torch.zeros(2 * d_in)
    return {"W_enc": both.T.contiguous(), "W_dec": both, "b_enc": zeros, "b_dec": torch.zeros(d_in), "threshold": zeros.clone()}


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=D_MODEL,
        intermediate_size=48,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saes") / "tiny"
    for seed, site in enumerate(SITES):
        layer, point = site.split(".")
        weights = random_weights(seed)
        if point == "mlp_out":  # rows of unequal length, so that a cosine is not a plain product
            weights["W_dec"] *= 0.5 + torch.arange(N_LATENTS)[:, None] % 4
        save_sae(folder / site, f"blocks.{layer}.hook_{point}", weights)
    save_sae(folder / EXACT.name, "blocks.2.hook_resid_post", exact_weights())
    return folder


@pytest.fixture(scope="session")
def tiny_settings(tiny_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(cache=tmp_path_factory.mktemp("cache"), device="cpu", dtype="float32", max_tokens=256, sae_folders=(tiny_release,))


@pytest.fixture(scope="session")
def tiny_model(tiny_path: Path, tiny_settings: Settings) -> LoadedModel:
    return load_model(tiny_path, TINY, tiny_settings)


@pytest.fixture
def runner(tiny_model: LoadedModel, tiny_settings: Settings, tmp_path: Path) -> LocalRunner:
    return LocalRunner(tiny_model, read_catalog(tiny_settings, assets=tmp_path), tiny_settings.cache)


@pytest.fixture
def engine(runner: LocalRunner) -> Iterator[Engine]:
    engine = Engine(lambda: runner)
    yield engine
    engine.close()


@pytest.fixture
def site_saes() -> tuple[SaeId, ...]:
    return tuple(SaeId("tiny", site) for site in SITES)


def pytest_collection_finish() -> None:
    """What was imported stays: closing an engine then collects the objects of a test, not hundreds of thousands of modules'."""
    gc.collect()
    gc.freeze()
