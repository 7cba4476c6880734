"""Lenses as a runner answers them: with the lens that is kept, or a refusal, and what a latent's direction says."""

from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.asks.lens import SKIPPED, DirectionLensAsk, KeepLensAsk, LensAsk, LensKind, LensRecordAsk
from dashboard.analysis.asks.weights import PromotedAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import NoLens, NotUsable, OutOfMemory
from dashboard.analysis.lenses.file import FittedLens, LensRecord, find_lens, pack
from dashboard.analysis.methods.lens.method import report, window
from dashboard.analysis.names import LatentId
from dashboard.analysis.system import room
from dashboard.analysis.tokens import Prompt
from tests.conftest import D_MODEL, N_LAYERS, TEXT, TINY

RECORD = LensRecord(str(TINY), "a text", "", (0,), 20, SKIPPED, "float32", {}, "2026-01-01T00:00:00Z")


def some_lens(seed: int = 0, width: int = D_MODEL) -> FittedLens:
    random = 0.3 * np.random.default_rng(seed).standard_normal((N_LAYERS - 1, width, width))
    return pack(RECORD, (np.eye(width) + random).astype(np.float32))


def test_a_model_without_a_lens_is_refused_with_the_cure_and_the_logit_lens_needs_none(runner: LocalRunner) -> None:
    with pytest.raises(NoLens, match="latents model fit-lens"):
        runner.ask(LensAsk(Prompt(TEXT), LensKind.JACOBIAN))
    assert runner.ask(LensAsk(Prompt(TEXT))).agrees[-1].all()


def test_the_model_is_read_through_the_lens_that_was_kept_last(runner: LocalRunner, tmp_path: Path) -> None:
    read = []
    for seed in (0, 1):
        runner.ask(KeepLensAsk(some_lens(seed)))
        read.append(runner.ask(LensAsk(Prompt(TEXT), LensKind.JACOBIAN)).shares)
    assert not np.array_equal(*read)
    assert find_lens(TINY, tmp_path) is not None and runner.ask(LensRecordAsk()) == RECORD
    with pytest.raises(NotUsable):
        runner.ask(KeepLensAsk(some_lens(width=8)))


def test_engine_and_local_runner_read_the_same_through_a_lens(runner: LocalRunner) -> None:
    runner.ask(KeepLensAsk(some_lens()))
    engine = Engine(lambda: runner)
    try:
        for kind in LensKind:
            ask = LensAsk(Prompt(TEXT), kind)
            ours, local = engine.ask(ask), runner.ask(ask)
            for name in ("ids", "shares", "kl"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(local, name))
            assert engine.ask(ask) is ours
    finally:
        engine.close()


@pytest.mark.parametrize("sae", ["1.resid_post", "2.resid_post", "1.mlp_out"])
def test_what_a_latent_says_after_the_last_layer_is_what_it_promotes(runner: LocalRunner, sae: str) -> None:
    runner.ask(KeepLensAsk(some_lens()))
    latent = LatentId.parse(f"tiny/{sae}/7")
    promoted = runner.ask(PromotedAsk(latent, 5))
    for kind in LensKind:
        found = runner.ask(DirectionLensAsk(latent, kind))
        assert tuple(found.texts[int(token)] for token in found.likelier[-1]) == promoted
        assert found.layers == tuple(range(int(sae[0]), N_LAYERS))
    logit = runner.ask(DirectionLensAsk(latent))
    assert (logit.likelier == logit.likelier[-1]).all()


def test_the_report_is_the_lens_in_plain_data(runner: LocalRunner) -> None:
    ask, latent = LensAsk(Prompt(TEXT), top=2), LatentId.parse("tiny/1.resid_post/3")
    assert report(runner, ask)["fit"] is None
    runner.ask(KeepLensAsk(some_lens()))
    lens, found = runner.ask(ask), report(runner, ask, latent)
    assert [token["special"] for token in found["tokens"]] == list(lens.tokens.special)
    for place, token in enumerate(found["tokens"]):
        assert [layer["layer"] for layer in token["layers"]] == list(range(N_LAYERS))
        for layer in token["layers"]:
            assert [word["id"] for word in layer["words"]] == lens.ids[layer["layer"], place].tolist()
            assert layer["agrees"] == (layer["words"][0]["id"] == token["layers"][-1]["words"][0]["id"])
    assert [layer["layer"] for layer in found["direction"]["layers"]] == [1, 2, 3]
    assert found["fit"]["check"] is None and found["fit"]["n_texts"] == 1


def test_a_window_has_the_position_in_its_middle_and_ends_with_the_text() -> None:
    assert [window(10, at, 20) for at in (None, 0, 9)] == [0, 0, 0]
    assert [window(100, at, 20) for at in (None, 5, 50, 99)] == [0, 0, 40, 80]


def test_more_than_the_device_has_is_refused_before_anything_is_read(runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda *_: 1_000)
    with pytest.raises(OutOfMemory):
        runner.ask(LensAsk(Prompt(TEXT)))
