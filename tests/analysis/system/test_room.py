"""Bytes: known before, kept within, and said with both numbers when they run out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.asks.weights import NeighbourAsk, PromotedAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BrokenSaeFile, OutOfMemory, ShelfTooSmall
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec, read_catalog
from dashboard.analysis.sae.packed import pack
from dashboard.analysis.sae.rows import bytes_in_memory, read_decoder, read_rows
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.settings import Settings
from dashboard.analysis.system.memory import cgroup_free_bytes, free_bytes, is_out_of_memory, tried_bytes
from dashboard.analysis.system.room import Fit, dictionaries_that_fit, fit, model_bytes, parameters_of_config, shelf_budget
from dashboard.analysis.tokens import Prompt
from tests.conftest import EXACT, TEXT, random_weights, save_sae

PROMPT = Prompt(TEXT)
A, B, C = (SaeId("tiny", name) for name in ("1.resid_post", "2.resid_post", "1.mlp_out"))
ONE = 4 * (2 * 32 * 64 + 2 * 64 + 32)
"""Bytes of one of them: encoder, decoder, two vectors as long as its latents, one as long as the stream is wide."""


def with_budget(runner: LocalRunner, budget: int) -> LocalRunner:
    return LocalRunner(runner.model, runner.catalog, runner._cache, budget)


def test_the_bytes_of_a_dictionary_are_known_from_its_header(runner: LocalRunner, tmp_path: Path) -> None:
    for spec in runner.catalog.specs:
        held = sum(tensor.numel() * tensor.element_size() for tensor in runner.sae(spec.id).parameters())
        assert bytes_in_memory(spec) == held == ONE
    assert bytes_in_memory(packed_spec(tmp_path, runner)) == ONE


def test_the_bytes_of_a_model_are_known_from_its_config(tiny_path: Path, tiny_model: LoadedModel) -> None:
    n = sum(parameter.numel() for parameter in tiny_model.bare.parameters())
    assert parameters_of_config(tiny_path) == n
    assert model_bytes(n, torch.float32) == 2 * model_bytes(n, torch.bfloat16) == 4 * n
    assert model_bytes(1000, torch.bfloat16, "8bit", 200) == 800 + 400 and model_bytes(1000, torch.bfloat16, "4bit", 200) == 450 + 400


def test_what_fits_is_said_with_both_numbers() -> None:
    assert str(Fit(3 << 20, 2 << 20, "cpu")) == "3 MiB of 2 MiB on cpu: lacks 1 MiB" and not Fit(3, 2, "cpu").fits
    assert str(Fit(1 << 20, 2 << 20, "cuda")) == "1 MiB of 2 MiB on cuda: fits"
    assert 0 < fit(0, "cpu").free_bytes < free_bytes("cpu")
    assert shelf_budget("cpu", 5) == 5 and shelf_budget("cpu", None, 2**60) == 0 < shelf_budget("cpu") < free_bytes("cpu") // 2
    assert [dictionaries_that_fit([5, 5, 5], budget) for budget in (4, 5, 14, 15)] == [0, 1, 2, 3]


def test_a_dictionary_that_was_paged_out_comes_back_bit_for_bit(runner: LocalRunner) -> None:
    narrow, wide = with_budget(runner, ONE), with_budget(runner, 4 * ONE)
    ask = CaptureAsk(PROMPT, (A, B, C, EXACT), fidelity=True)
    expected = wide.ask(ask)
    for _ in range(2):
        got = narrow.ask(ask)
        assert got.fidelity == expected.fidelity
        for name in ask.saes:
            for part in ("position", "latent", "value"):
                np.testing.assert_array_equal(getattr(got.activations[name], part), getattr(expected.activations[name], part))
    assert wide.shelf.n_loaded == 4 and narrow.shelf.n_loaded == 8


def test_what_was_used_longest_ago_goes_first(runner: LocalRunner) -> None:
    shelf = with_budget(runner, 2 * ONE).shelf
    for name in (A, B, A, C):
        shelf.take(name)
    assert shelf.here == (A, C) and shelf.bytes_here == 2 * ONE


def test_the_budget_is_never_exceeded_by_more_than_one_dictionary(runner: LocalRunner) -> None:
    generator, names = np.random.default_rng(0), (A, B, C, EXACT)
    for budget in (ONE, 2 * ONE, 2 * ONE + 100, 3 * ONE):
        shelf, held = with_budget(runner, budget).shelf, []
        for step in range(200):
            name = names[generator.integers(4)]
            with suppress(ShelfTooSmall):
                if step % 3:
                    shelf.take(name)
                else:
                    held.append(shelf.holding([name]))
                    held[-1].__enter__()
            if held and generator.random() < 0.4:
                one = held.pop(0)
                with suppress(RuntimeError):  # of one that was refused
                    one.__exit__(None, None, None)
            assert shelf.bytes_here <= budget + ONE
            assert shelf.bytes_here == ONE * len(shelf.here)


def test_what_a_job_holds_is_never_paged_out(runner: LocalRunner) -> None:
    shelf = with_budget(runner, ONE).shelf
    with shelf.holding([A]) as held:
        shelf.take(B)
        assert shelf.take(A) is held[A]
        shelf.take(C)
        assert A in shelf.here and B not in shelf.here
        assert shelf.put_away() == ONE and shelf.here == (A,)
    shelf.take(B)
    assert shelf.here == (B,)


@pytest.mark.parametrize(("budget", "lots"), [(ONE, 4), (2 * ONE, 2), (3 * ONE + 100, 2), (9 * ONE, 1)])
def test_many_dictionaries_are_taken_in_turns_that_fit(runner: LocalRunner, budget: int, lots: int) -> None:
    names, shelf, seen, n_lots = [A, B, C, EXACT], with_budget(runner, budget).shelf, list[SaeId](), 0
    for saes in shelf.in_turns(names):
        assert shelf.bytes_here <= budget and [*saes] == [name for name in shelf.here if name in saes]
        seen, n_lots = [*seen, *saes], n_lots + 1
    assert seen == names and n_lots == lots


def test_a_budget_smaller_than_one_dictionary_is_said_with_both_numbers(runner: LocalRunner) -> None:
    small = with_budget(runner, ONE // 2)
    with pytest.raises(ShelfTooSmall, match="LATENTS_SAE_MEMORY") as refused:
        small.ask(CaptureAsk(PROMPT, (A,)))
    assert (refused.value.needed_bytes, refused.value.free_bytes) == (ONE, ONE // 2)
    assert small.ask(NeighbourAsk(LatentId(A, 3), (B,), 1)) == runner.ask(NeighbourAsk(LatentId(A, 3), (B,), 1))


def test_edits_that_need_more_than_the_budget_together_are_refused_and_hold_nothing(runner: LocalRunner) -> None:
    small = with_budget(runner, ONE)
    edits = tuple(Intervention(LatentId(name, 3), Op.CLAMP, 1.0) for name in (A, B, C))
    with pytest.raises(ShelfTooSmall, match="in use"):
        list(small.stream(GenerationAsk(PROMPT, (Variant("steered", edits),), Sampling(2))))
    assert small.shelf.put_away() and not small.shelf.here


def test_a_running_generation_keeps_its_dictionary_until_it_is_closed(runner: LocalRunner) -> None:
    small = with_budget(runner, ONE)
    clamp = (Variant("steered", (Intervention(LatentId(A, 3), Op.CLAMP, 2.0),)),)
    expected = [delta.token_id for delta in runner.stream(GenerationAsk(PROMPT, clamp, Sampling(5)))]
    stream: Iterator = small.stream(GenerationAsk(PROMPT, clamp, Sampling(5)))
    tokens = [next(stream).token_id]
    small.ask(CaptureAsk(PROMPT, (B, C)))
    assert A in small.shelf.here
    assert tokens + [delta.token_id for delta in stream] == expected
    again = small.stream(GenerationAsk(PROMPT, clamp, Sampling(5)))
    next(again)
    assert small.shelf.put_away() and small.shelf.here == (A,)
    again.close()
    assert small.shelf.put_away() == ONE and not small.shelf.here


def test_rows_neighbours_and_added_directions_load_no_dictionary(runner: LocalRunner) -> None:
    latent, ask = LatentId(A, 7), NeighbourAsk(LatentId(A, 7), (A, B, C), 3)
    add = GenerationAsk(PROMPT, (Variant("steered", (Intervention(latent, Op.ADD, 3.0),)),), Sampling(4))
    for name in (A, B, C):
        runner.sae(name)
    fresh = with_budget(runner, 1)
    near, expected = fresh.ask(ask), runner.ask(ask)
    assert [one.latent for one in near] == [one.latent for one in expected]
    assert [one.cosine for one in near] == pytest.approx([one.cosine for one in expected], rel=1e-6)
    assert fresh.ask(PromotedAsk(latent, 5)) == runner.ask(PromotedAsk(latent, 5))
    assert list(fresh.stream(add)) == list(runner.stream(add))
    assert fresh.shelf.n_loaded == 0


def packed_spec(folder: Path, runner: LocalRunner) -> SaeSpec:
    save_sae(folder / "whole", "blocks.1.hook_resid_post", random_weights(5))
    pack(folder / "whole", folder / "packed" / "one", {"kind": "jumprelu"})
    settings = Settings(cache=folder / "cache", sae_folders=(folder / "packed",), model=str(runner.model.path))
    return next(spec for spec in read_catalog(settings, assets=folder).specs if spec.is_packed)


@pytest.mark.parametrize("packed", [False, True])
def test_rows_from_the_file_are_those_of_the_loaded_dictionary_bit_for_bit(runner: LocalRunner, tmp_path: Path, packed: bool) -> None:
    spec = packed_spec(tmp_path, runner) if packed else runner.catalog.get(A)
    shelf = Shelf(runner.model, Catalog((spec,)), tmp_path / "cache", 2 * ONE)
    sae = shelf.take(spec.id)
    assert torch.equal(read_rows(spec, [5, 0, 63, 5]), sae.W_dec[[5, 0, 63, 5]])
    decoder = read_decoder(spec)
    assert torch.equal(decoder.rows, sae.W_dec) and decoder.threshold is not None
    assert torch.equal(decoder.threshold, sae.threshold)
    shelf.put_away()
    assert torch.equal(shelf.rows(spec.id, [9]), sae.W_dec[[9]]) and not shelf.here


def test_rows_that_are_not_numbers_are_refused(runner: LocalRunner, tmp_path: Path) -> None:
    weights = random_weights(1)
    weights["W_dec"][4] = torch.nan
    save_sae(tmp_path / "r" / "nan", "blocks.1.hook_resid_post", weights)
    spec = read_catalog(Settings(cache=tmp_path, sae_folders=(tmp_path / "r",), model=str(runner.model.path)), assets=tmp_path).specs[0]
    with pytest.raises(BrokenSaeFile, match="not finite"):
        read_rows(spec, [3, 4])


def test_a_cgroup_and_those_around_it_limit_what_is_free(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "cgroup"
    for path, limit, used, cached in (("a/b", "max", 0, 0), ("a", "1000", 700, 200), ("", "5000", 4000, 0)):
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "memory.max").write_text(f"{limit}\n")
        (root / path / "memory.current").write_text(f"{used}\n")
        (root / path / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
    own.write_text("0::/a/b\n")
    assert cgroup_free_bytes(own, root) == 500
    own.write_text("0::/\n")
    assert cgroup_free_bytes(own, root) == 1000
    own.write_text("4:memory:/x\n")
    assert cgroup_free_bytes(own, root) is None and cgroup_free_bytes(tmp_path / "none", root) is None


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("CUDA out of memory. Tried to allocate 2.50 GiB.", 2.5 * 2**30),
        (
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.",
            4096,
        ),
        ("MPS backend out of memory (MPS allocated: 5.00 GB, max allowed: 9.07 GB). Tried to allocate 64 bytes on shared pool.", 64),
        ("CUDA error: out of memory", None),
    ],
)
def test_every_allocators_error_is_known_with_what_it_tried(text: str, tried: float | None) -> None:
    error = RuntimeError(text)
    assert is_out_of_memory(error) and tried_bytes(error) == tried
    wrapped = BrokenSaeFile(Path("x"), "cannot be read")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(ValueError("out of ideas")) and not is_out_of_memory(RuntimeError("shape mismatch"))


def test_an_error_of_numpys_allocator_is_known() -> None:
    with pytest.raises(MemoryError) as raised:
        np.empty(2**60, dtype=np.uint8)
    assert is_out_of_memory(raised.value) and tried_bytes(raised.value) == 2**60


def test_an_allocation_that_fails_is_a_message_and_the_engine_goes_on(engine: Engine) -> None:
    ask = CaptureAsk(PROMPT, (A, B))
    before = engine.ask(ask)
    with pytest.raises(OutOfMemory, match="MiB are free") as refused, engine.submit(lambda _: iter([torch.empty(2**58)])) as ticket:
        ticket.result()
    assert refused.value.needed_bytes == 2**60 and 0 < refused.value.free_bytes < 2**60
    engine._memories.clear()
    np.testing.assert_array_equal(engine.ask(ask).activations[A].value, before.activations[A].value)


_LIMITED = """
import resource, sys
from pathlib import Path
from dashboard.analysis.asks.capture import CaptureAsk, TraceAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.errors import OutOfMemory
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.bridge import load_model
from dashboard.analysis.names import LatentId, ModelId, SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
import psutil, torch

torch.set_num_threads(1)
settings = Settings(cache=Path(sys.argv[3]), device="cpu", dtype="float32", max_tokens=256, sae_folders=(Path(sys.argv[2]),))
model = load_model(Path(sys.argv[1]), ModelId("tests/tiny"), settings)
engine = Engine(lambda: LocalRunner(model, read_catalog(settings, assets=settings.cache), settings.cache))
wide, text = SaeId("wide", "1.resid_post"), Prompt("The dog sleeps.")
before = engine.ask(CaptureAsk(text, (wide,)))
room = 700 << 20
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room,) * 2)
ask = TraceAsk(tuple((2 + row % 200,) * 250 for row in range(60)), (LatentId(wide, 3),))
try:
    engine.ask(ask)
    sys.exit("it was let through")
except OutOfMemory as error:
    print("REFUSED", error)
try:
    with engine.submit(lambda runner: iter([runner.ask(ask)])) as ticket:
        ticket.result()
    sys.exit("it did not fail")
except OutOfMemory as error:
    print("FAILED", error)
    assert error.needed_bytes > room and 0 < error.free_bytes <= room, error
engine._memories.clear()
assert (engine.ask(CaptureAsk(text, (wide,))).activations[wide].value == before.activations[wide].value).all()
print("ANSWERED")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process' address space")
def test_a_real_lack_of_memory_is_refused_before_or_said_after_and_the_next_ask_is_answered(tiny_path: Path, tmp_path: Path) -> None:
    save_sae(tmp_path / "wide" / "1.resid_post", "blocks.1.hook_resid_post", random_weights(0, n_latents=16_384))
    run = subprocess.run(
        [sys.executable, "-c", _LIMITED, tiny_path, tmp_path / "wide", tmp_path / "cache"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:] + run.stdout
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["REFUSED", "FAILED", "ANSWERED"], run.stdout
    assert run.stdout.count("MiB are free") == 2
