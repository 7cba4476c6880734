"""Figures of merit on dictionaries whose figures are known."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

from dashboard.analysis.asks.capture import recovered
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.sae.catalog import folder_spec
from dashboard.analysis.sae.measure.evaluation import WINDOW, evaluate
from dashboard.analysis.sae.measure.measures import decoder_cosine
from dashboard.analysis.sae.release import write_evaluation
from dashboard.analysis.text.training_text import Split, token_windows
from tests.conftest import EXACT, random_weights, save_sae


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("text") / "words.jsonl"
    file.write_text("".join(json.dumps({"text": "The dog barked. " * 60}) + "\n" for _ in range(60)))
    return [str(file)]


def test_the_exact_dictionary_has_fvu_0_and_recovers_everything(runner: LocalRunner, text: list[str]) -> None:
    site = Site.parse("2.resid_post")
    figures = evaluate({"exact": (site, runner.sae(EXACT))}, text, runner.model, 1000, 500)["exact"]
    assert figures.fvu == pytest.approx(0, abs=1e-9)
    assert figures.ce_recovered == pytest.approx(1, abs=1e-4)
    assert figures.ce_ablated != pytest.approx(figures.ce_clean, abs=1e-3)
    assert figures.l0 == pytest.approx(32)


def test_counts_equal_a_plain_computation_on_the_held_out_windows(runner: LocalRunner, text: list[str]) -> None:
    sae_id = SaeId("tiny", "2.resid_post")
    site, sae = Site.parse("2.resid_post"), runner.sae(sae_id)
    figures = evaluate({"x": (site, sae)}, text, runner.model, 10**9, 300)["x"]
    windows = token_windows(text, Split.HELD_OUT, runner.model.tokenizer, WINDOW)
    ordinary = ~torch.isin(windows, torch.tensor(runner.model.tokenizer.all_special_ids))
    rows = read_sites(runner.model.bridge, windows.long(), [site])[site][ordinary].clone()
    acts = sae.encode(rows)
    assert figures.n_tokens == len(rows)
    assert figures.l0 == pytest.approx(float((acts > 0).sum(1).double().mean()), rel=1e-9)
    assert figures.dead_share == pytest.approx(float((~(acts > 0).any(0)).double().mean()))
    fvu = (rows - sae.decode(acts)).double().square().sum() / (rows - rows.mean(0)).double().square().sum()
    assert figures.fvu == pytest.approx(float(fvu), rel=1e-5)


def test_a_prefix_is_the_dictionary_with_its_other_latents_off(runner: LocalRunner, text: list[str]) -> None:
    site, sae = Site.parse("2.resid_post"), runner.sae(SaeId("tiny", "2.resid_post"))
    width = 24
    narrow = JumpReLUSAE(JumpReLUSAEConfig(d_in=sae.cfg.d_in, d_sae=width, apply_b_dec_to_input=sae.cfg.apply_b_dec_to_input))
    weights = {name: value.detach().clone() for name, value in sae.state_dict().items()}
    cut = {"W_enc": weights["W_enc"][:, :width]} | {name: weights[name][:width] for name in ("b_enc", "W_dec", "threshold")}
    narrow.load_state_dict(weights | cut)
    saes = {"whole": (site, sae), "narrow": (site, narrow)}
    figures = evaluate(saes, text, runner.model, 1000, 500, prefixes={"whole": (width, sae.cfg.d_sae)})
    prefix, everything = figures["whole"].prefixes
    for name in ("l0", "fvu", "ce_recovered"):
        assert getattr(prefix, name) == pytest.approx(getattr(figures["narrow"], name), rel=1e-4), name
        assert getattr(everything, name) == pytest.approx(getattr(figures["whole"], name), rel=1e-6), name
    assert 0 < prefix.l0 < everything.l0


def test_orthogonal_rows_have_cosine_0_and_equal_rows_1() -> None:
    assert decoder_cosine(3 * torch.eye(6)) == pytest.approx(0, abs=1e-7)
    assert decoder_cosine(torch.ones(5, 8)) == pytest.approx(1, abs=1e-6)
    rows = torch.randn(1500, 7, generator=torch.Generator().manual_seed(0))
    cosines = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    expected = (cosines.abs().sum() - cosines.diagonal().abs().sum()) / (1500 * 1499)
    assert decoder_cosine(rows) == pytest.approx(float(expected), rel=1e-4)


def test_where_the_model_does_no_worse_without_a_site_nothing_is_recovered_and_the_record_says_nothing(
    runner: LocalRunner, text: list[str], tmp_path: Path
) -> None:
    assert recovered(2.0, 2.1, 2.0) is None and recovered(2.0, 2.1, 1.9) is None and recovered(2.0, 2.5, 4.0) == 0.75
    save_sae(tmp_path / "mine" / "one", "blocks.2.hook_resid_post", random_weights(0))
    one = evaluate({"exact": (Site.parse("2.resid_post"), runner.sae(EXACT))}, text, runner.model, 1000, 500)["exact"]
    write_evaluation(folder_spec(tmp_path / "mine" / "one"), replace(one, ce_recovered=None))
    kept = folder_spec(tmp_path / "mine" / "one")
    assert kept.measured("ce_recovered") is None and kept.measured("l0") == pytest.approx(one.l0, rel=1e-4)
