"""Sites are read where they are said to be, and nothing is left behind."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.model.hooks import hook_name, hooked, read_sites
from dashboard.analysis.names import Point, Site
from dashboard.analysis.tokens import Prompt
from tests.conftest import N_LAYERS, TEXT


@pytest.fixture
def ids(tiny_model: LoadedModel) -> torch.Tensor:
    return tiny_model.batch(tokenise(tiny_model, Prompt(TEXT)).ids)


def logits(model: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.bridge(ids, return_type="logits")


def count_hooks(model: LoadedModel) -> int:
    return sum(len(point.fwd_hooks) for point in model.bridge.hook_dict.values())


@pytest.mark.parametrize("layer", range(N_LAYERS - 1))
def test_resid_post_is_the_hidden_state_after_the_layer(tiny_model: LoadedModel, ids: torch.Tensor, layer: int) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny_model.path, dtype=torch.float32)
    with torch.inference_mode():
        expected = plain(ids, output_hidden_states=True).hidden_states[layer + 1]
    site = Site(layer, Point.RESID_POST)
    torch.testing.assert_close(read_sites(tiny_model.bridge, ids, [site])[site], expected, rtol=1e-4, atol=1e-5)


def test_a_block_adds_its_attention_and_its_mlp_to_the_residual_stream(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    sites = [Site(0, Point.RESID_POST), Site(1, Point.ATTN_OUT), Site(1, Point.MLP_OUT), Site(1, Point.RESID_POST)]
    before, attention, mlp, after = (read_sites(tiny_model.bridge, ids, sites)[site] for site in sites)
    torch.testing.assert_close(before + attention + mlp, after, rtol=1e-4, atol=1e-5)


def test_the_pass_goes_only_as_deep_as_the_deepest_site(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    ran: list[int] = []
    handles = [block.mlp.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(tiny_model.bridge.blocks)]
    try:
        read_sites(tiny_model.bridge, ids, [Site(0, Point.RESID_POST), Site(1, Point.MLP_OUT)])
    finally:
        for handle in handles:
            handle.remove()
    assert sorted(set(ran)) == [0, 1]


def test_a_full_pass_after_a_shallow_one_is_full(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    before = logits(tiny_model, ids)
    read_sites(tiny_model.bridge, ids, [Site(0, Point.RESID_POST)])
    assert torch.equal(logits(tiny_model, ids), before)


def test_an_edit_that_returns_its_input_changes_no_bit(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    before = logits(tiny_model, ids)
    with hooked(tiny_model.bridge, {Site(1, Point.RESID_POST): lambda value: value}):
        assert torch.equal(logits(tiny_model, ids), before)


def test_after_an_error_no_hook_is_left_and_the_model_is_as_it_was(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    before, hooks = logits(tiny_model, ids), count_hooks(tiny_model)

    def fail(value: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), hooked(tiny_model.bridge, {Site(1, Point.RESID_POST): fail}):
        logits(tiny_model, ids)
    assert count_hooks(tiny_model) == hooks
    assert torch.equal(logits(tiny_model, ids), before)


def test_a_site_that_the_model_lacks_is_an_error(tiny_model: LoadedModel) -> None:
    deep = Site(N_LAYERS, Point.RESID_POST)
    with pytest.raises(RuntimeError, match=hook_name(deep)), hooked(tiny_model.bridge, {deep: lambda value: value}):
        pass


def test_a_hook_that_never_fires_is_an_error(tiny_model: LoadedModel, ids: torch.Tensor) -> None:
    deep = Site(N_LAYERS - 1, Point.RESID_POST)
    with pytest.raises(RuntimeError, match="never fired"), hooked(tiny_model.bridge, {deep: lambda value: value}), torch.inference_mode():
        tiny_model.bridge(ids, stop_at_layer=1, return_type=None)
