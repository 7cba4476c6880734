"""What a device changes and what it must not: number formats, batches, memory. Random weights: figures of speed and rounding only."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import OutOfMemory, ShelfTooSmall
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.sae.rows import bytes_in_memory
from dashboard.analysis.system.memory import free_bytes
from dashboard.analysis.tokens import Prompt
from tests.conftest import TEXT
from tests.gpu.conftest import Size, seconds

Measured = Callable[[str], None]
Runners = Callable[..., LocalRunner]


def long_prompt(size: Size) -> Prompt:
    return Prompt((TEXT + " ") * (size.n_tokens // 32))


def test_everything_sits_on_the_device_of_its_layer(size: Size, fast: LocalRunner, names: tuple[SaeId, ...]) -> None:
    assert {parameter.device.type for parameter in fast.model.bare.parameters()} == {size.device}
    for name in names:
        site = fast.catalog.get(name).site
        value = read_sites(fast.model.bridge, fast.model.batch((1, 2, 3)), [site])[site]
        assert value.device == fast.sae(name).W_dec.device == fast.shelf.row(LatentId(name, 3)).device
        assert torch.device(fast.model.device_of(site)).type == size.device


def test_bfloat16_reads_what_float32_reads_up_to_rounding(
    size: Size, exact: LocalRunner, fast: LocalRunner, names: tuple[SaeId, ...], measured: Measured
) -> None:
    ids = exact.model.batch(exact.tokens(long_prompt(size)).ids)
    site = exact.catalog.get(names[-1]).site
    a, b = (read_sites(runner.model.bridge, ids, [site])[site][0].float() for runner in (exact, fast))
    off = ((a - b).norm(dim=-1) / a.norm(dim=-1)).median()
    measured(f"bfloat16 against float32 at {site}: median distance {float(off):.4f} of the row's norm")
    assert 0 < float(off) < 0.1


def test_a_row_reads_the_same_beside_others_up_to_rounding(size: Size, exact: LocalRunner, fast: LocalRunner, measured: Measured) -> None:
    site = Site.parse(f"{size.layers - 1}.resid_post")
    row = exact.tokens(Prompt(TEXT)).ids
    for runner, limit in ((exact, 1e-4), (fast, 0.1)):
        alone = read_sites(runner.model.bridge, runner.model.batch(row), [site])[site][0].float()
        beside = read_sites(runner.model.bridge, runner.model.batch(*[row] * 8), [site])[site][3].float()
        off = float(((alone - beside).norm(dim=-1) / alone.norm(dim=-1)).max())
        measured(f"{runner.describe().dtype}, a row alone against the same in a batch of 8: at most {off:.2e} of its norm")
        assert off <= limit


def test_a_steered_generation_leaves_the_plain_row_as_it_is(
    size: Size, exact: LocalRunner, names: tuple[SaeId, ...], measured: Measured
) -> None:
    edit = Intervention(LatentId(names[1], 3), Op.CLAMP, 5.0)
    both = GenerationAsk(Prompt(TEXT), (Variant("plain"), Variant("steered", (edit,))), Sampling(8))
    alone = GenerationAsk(Prompt(TEXT), (Variant("plain"), Variant("twin")), Sampling(8))
    of = lambda ask: [delta.token_id for delta in exact.stream(ask) if delta.variant == "plain"]  # noqa: E731
    assert of(both) == of(alone)
    took = seconds(lambda: list(exact.stream(alone)), size.device, 1)
    measured(f"float32: {16 / took:,.0f} tokens a second in two rows")


def test_bfloat16_and_dictionaries_in_memory_are_measured(
    size: Size, exact: LocalRunner, fast: LocalRunner, make_runner: Runners, names: tuple[SaeId, ...], measured: Measured
) -> None:
    ask = CaptureAsk(long_prompt(size), names)
    slow, quick = (seconds(lambda runner=runner: runner.ask(ask), size.device) for runner in (exact, fast))
    measured(f"capture of {len(exact.tokens(ask.prompt))} tokens at {len(names)} sites: bfloat16 in {quick / slow:.2f} of the time")
    one = bytes_in_memory(fast.catalog.get(names[0]))
    paged = LocalRunner(fast.model, fast.catalog, fast._cache, one)
    again = seconds(lambda: paged.ask(ask), size.device)
    measured(f"with room for 1 of {len(names)} dictionaries of {one / 2**20:,.1f} MiB: {again / quick:.1f} times as long")
    expected, got = fast.ask(ask), paged.ask(ask)
    for name in names:
        np.testing.assert_array_equal(got.activations[name].value, expected.activations[name].value)
        np.testing.assert_array_equal(got.activations[name].latent, expected.activations[name].latent)
    assert paged.shelf.bytes_here <= one


def test_what_is_paged_out_gives_its_bytes_back(size: Size, fast: LocalRunner, names: tuple[SaeId, ...]) -> None:
    fast.release_memory()
    before = torch.cuda.memory_allocated() if size.device == "cuda" else 0
    for name in names:
        fast.sae(name)
    held = fast.shelf.bytes_here
    assert held == sum(bytes_in_memory(fast.catalog.get(name)) for name in names)
    if size.device == "cuda":
        assert torch.cuda.memory_allocated() - before == pytest.approx(held, rel=0.01)
    fast.release_memory()
    assert fast.shelf.bytes_here == 0
    if size.device == "cuda":
        assert torch.cuda.memory_allocated() - before < 32 << 20


def test_running_out_of_memory_is_a_message_with_both_numbers_and_the_engine_stays(
    size: Size, fast: LocalRunner, names: tuple[SaeId, ...], measured: Measured
) -> None:
    engine = Engine(lambda: fast)
    ask = CaptureAsk(Prompt(TEXT), names)
    before = engine.ask(ask)
    too_many = 2 * torch.cuda.get_device_properties(0).total_memory if size.device == "cuda" else 2**60
    allocate = lambda _: iter([torch.empty(too_many, dtype=torch.uint8, device=size.device)])  # noqa: E731
    with pytest.raises(OutOfMemory, match="MiB are free") as refused, engine.submit(allocate) as ticket:
        ticket.result()
    assert refused.value.needed_bytes == pytest.approx(too_many, rel=0.01) and 0 < refused.value.free_bytes < too_many
    measured(str(refused.value))
    engine._memories.clear()
    np.testing.assert_array_equal(engine.ask(ask).activations[names[0]].value, before.activations[names[0]].value)
    engine.close()


def test_a_full_device_is_refused_before_anything_is_allocated(size: Size, fast: LocalRunner, names: tuple[SaeId, ...]) -> None:
    small = LocalRunner(fast.model, fast.catalog, fast._cache, 1)
    before = free_bytes(size.device)
    with pytest.raises(ShelfTooSmall, match="LATENTS_SAE_MEMORY"):
        small.ask(CaptureAsk(Prompt(TEXT), names))
    if size.device == "cuda":
        assert free_bytes(size.device) > before - (256 << 20)
