"""Sites of models that are built differently: post-norms, parallel blocks, learned positions, wide heads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
)

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.model.bridge import LoadedModel, load_model, tokenise
from dashboard.analysis.model.hooks import has_site, hooked, hooked_bare, read_sites
from dashboard.analysis.names import ModelId, Point, Site
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt

_GEMMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 128,
    "sliding_window": 64,
    "initializer_range": 0.2,
}
_MAKERS: dict[str, Callable[[int], PreTrainedModel]] = {
    "gemma2": lambda n: Gemma2ForCausalLM(Gemma2Config(vocab_size=n, **_GEMMA)),
    "gemma3": lambda n: Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=n, **_GEMMA)),
    "gpt2": lambda n: GPT2LMHeadModel(GPT2Config(vocab_size=n, n_embd=32, n_layer=3, n_head=4, n_positions=128, initializer_range=0.2)),
    "untied": lambda n: GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=n,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=128,
            initializer_range=0.2,
        )
    ),
}
POINTS = tuple(str(Site(0 if point is Point.EMBED else 1, point)) for point in Point)


@pytest.fixture(scope="module")
def models(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_path)
    loaded: dict[str, LoadedModel] = {}
    for name, make in _MAKERS.items():
        folder = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = make(len(tokenizer))
            for parameter in model.parameters():
                if parameter.ndim == 1:  # weights of norms that do something
                    torch.nn.init.normal_(parameter, 0.5, 0.2)
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        loaded[name] = load_model(folder, ModelId(f"tests/{name}"), Settings(device="cpu", dtype="float32"))
    return loaded


def _ids(model: LoadedModel) -> torch.Tensor:
    return model.batch(tuple(range(3, 15)), tuple(range(20, 32)))


@pytest.mark.parametrize("name", _MAKERS)
def test_what_attention_and_mlp_put_out_is_what_the_stream_gains(models: dict[str, LoadedModel], name: str) -> None:
    model = models[name]
    wanted = [Site.parse(text) for text in ("0.resid_post", "1.attn_out", "1.mlp_out", "1.resid_post")]
    before, attention, mlp, after = (read_sites(model.bridge, _ids(model), wanted)[site] for site in wanted)
    torch.testing.assert_close(before + attention + mlp, after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "gpt2"])
def test_the_middle_of_the_stream_is_what_the_mlp_starts_from(models: dict[str, LoadedModel], name: str) -> None:
    model = models[name]
    wanted = [Site.parse(text) for text in ("0.resid_post", "1.attn_out", "1.resid_mid", "1.mlp_out", "1.resid_post")]
    values = read_sites(model.bridge, _ids(model), wanted)
    before, attention, middle, mlp, after = (values[site] for site in wanted)
    torch.testing.assert_close(middle, before + attention, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(middle + mlp, after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", _MAKERS)
def test_the_embedding_site_is_what_the_first_block_reads(models: dict[str, LoadedModel], name: str) -> None:
    model = models[name]
    states = model.bare(_ids(model), output_hidden_states=True).hidden_states
    assert torch.equal(read_sites(model.bridge, _ids(model), [Site.parse("0.embed")])[Site.parse("0.embed")], states[0])
    assert torch.allclose(
        read_sites(model.bridge, _ids(model), [Site.parse("1.resid_pre")])[Site.parse("0.resid_post")], states[1], atol=1e-5
    )


@pytest.mark.parametrize(("before", "after"), [("1.attn_z", "1.attn_out"), ("1.mlp_post", "1.mlp_out")])
@pytest.mark.parametrize("name", _MAKERS)
def test_what_stands_before_an_output_matrix_gives_what_the_layer_puts_out(
    models: dict[str, LoadedModel], name: str, before: str, after: str
) -> None:
    model, inner, out = models[name], Site.parse(before), Site.parse(after)
    values = read_sites(model.bridge, _ids(model), [inner, out])
    inner_rows = values[inner][0].flatten(1)
    assert inner_rows.shape[-1] == model.width(inner)
    if not name.startswith("gemma"):  # no norm after the output matrix, so it is linear but for the bias
        a, b = inner_rows[:2]
        gained = model.to_residual(inner, (a - b)[None])[0]
        torch.testing.assert_close(gained, values[out][0, 0] - values[out][0, 1], atol=1e-5, rtol=1e-4)
    else:
        rows = torch.nn.functional.normalize(model.to_residual(inner, inner_rows), dim=1)
        expected = torch.nn.functional.normalize(values[out][0], dim=1)
        torch.testing.assert_close(rows, expected, atol=1e-4, rtol=1e-3)


def test_heads_and_neurons_have_widths_of_their_own(models: dict[str, LoadedModel]) -> None:
    widths = {name: (model.width(Site.parse("1.attn_z")), model.width(Site.parse("1.mlp_post"))) for name, model in models.items()}
    assert widths == {"gemma2": (48, 48), "gemma3": (48, 48), "gpt2": (32, 128), "untied": (32, 48)}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", _MAKERS)
def test_an_edit_does_the_same_to_the_bridge_and_to_the_plain_model(models: dict[str, LoadedModel], name: str, point: str) -> None:
    model, site = models[name], Site.parse(point)
    if not has_site(model.bridge, site):
        assert (name, point) == ("untied", "1.resid_mid")
        return
    ids = _ids(model)
    direction = torch.linspace(-1, 1, model.width(site))

    def edit(value: torch.Tensor) -> torch.Tensor:
        return value + direction

    with torch.inference_mode():
        plain = model.bridge(ids, return_type="logits")
        with hooked(model.bridge, {site: lambda value: value}):
            assert torch.equal(model.bridge(ids, return_type="logits"), plain)
        with hooked(model.bridge, {site: edit}):
            by_bridge = model.bridge(ids, return_type="logits")
        with hooked_bare(model, {site: edit}):
            by_bare = model.bare(ids).logits
    assert (by_bridge - plain).abs().max() > 1e-3
    torch.testing.assert_close(by_bridge, by_bare, atol=1e-5, rtol=1e-5)


def test_an_edit_in_the_middle_of_a_block_stays_in_the_stream(models: dict[str, LoadedModel]) -> None:
    model, middle = models["gpt2"], Site.parse("2.resid_mid")
    wanted = [Site.parse("2.mlp_out"), Site.parse("2.resid_post")]
    zero = torch.zeros(32)
    with hooked(model.bridge, {middle: lambda value: zero.expand_as(value)}):
        values = read_sites(model.bridge, _ids(model), wanted)
    torch.testing.assert_close(values[wanted[0]], values[wanted[1]], atol=1e-5, rtol=1e-5)


def test_a_model_without_a_chat_template_says_so(models: dict[str, LoadedModel]) -> None:
    model = models["gpt2"]
    kept, model.tokenizer.chat_template = model.tokenizer.chat_template, None
    try:
        assert not model.has_chat
        with pytest.raises(BadAsk, match="tests/gpt2 has no chat template"):
            tokenise(model, Prompt("Hello", chat=True))
    finally:
        model.tokenizer.chat_template = kept


def test_a_model_without_a_bos_token_reads_the_text_alone(models: dict[str, LoadedModel]) -> None:
    model = models["untied"]
    kept, model.tokenizer.bos_token = model.tokenizer.bos_token, None
    try:
        tokens = tokenise(model, Prompt("The dog"))
        assert not any(tokens.special)
        assert model.tokenizer.decode(tokens.ids) == "The dog"
        assert model.with_bos((5, 6)) == (5, 6)
    finally:
        model.tokenizer.bos_token = kept
