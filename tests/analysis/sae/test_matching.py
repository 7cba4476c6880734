"""Matching of decoder rows against brute force in float64, its ties, its baselines, folding, and the way through W_O."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.matching import MatchAsk, MatchBy
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownLatent
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import Point, SaeId, Site
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.sae.matching import assigned_rows, fold, nearest_rows, random_rows
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import D_MODEL, N_LATENTS, random_weights, save_sae

ONE, TWO = SaeId("tiny", "1.resid_post"), SaeId("tiny", "2.resid_post")


def brute_force(rows: torch.Tensor, among: torch.Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
    """All cosines in float64, sorted; equal to 12 decimals: the lower index first."""
    a, b = rows.double().numpy(), among.double().numpy()
    sizes = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    cosines = np.divide(a @ b.T, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    order = np.lexsort((np.broadcast_to(np.arange(len(b)), cosines.shape), -cosines.round(12)), axis=1)[:, :top]
    return order, np.take_along_axis(cosines, order, 1)


@pytest.mark.parametrize(("n", "m", "d", "top"), [(7, 5, 3, 1), (50, 1, 4, 1), (300, 700, 16, 5), (400, 1031, 40, 3), (64, 64, 2, 20)])
@pytest.mark.parametrize("seed", [0, 1])
def test_indices_and_cosines_equal_brute_force_in_float64(n: int, m: int, d: int, top: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, among = torch.randn(n, d, generator=generator) * 3, torch.randn(m, d, generator=generator)
    # Lengths far apart: a cosine forgets them on both sides.
    among *= 10 ** (6 * torch.rand(m, 1, generator=generator) - 3)
    found, (index, cosine) = nearest_rows(rows, among, top), brute_force(rows, among, top)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.cosine, cosine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("copies", [2, 40, 700])
def test_equal_rows_go_by_the_lower_index(copies: int) -> None:
    """More copies than the search keeps in hand, in an order that no block or group shares."""
    base = torch.randn(10, 24, generator=torch.Generator().manual_seed(3))
    among = base.repeat(copies, 1)[torch.randperm(10 * copies, generator=torch.Generator().manual_seed(4))]
    found, (index, _) = nearest_rows(base, among, min(copies, 5)), brute_force(base, among, min(copies, 5))
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.cosine, 1, atol=1e-12)


def test_rows_that_float32_cannot_tell_apart_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(5)
    row = torch.nn.functional.normalize(torch.randn(1, 64, generator=generator), dim=1)
    among = row + 1e-4 * torch.randn(3000, 64, generator=generator)
    found, (index, cosine) = nearest_rows(row, among, 4), brute_force(row, among, 4)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.cosine, cosine, rtol=0, atol=1e-12)


def test_the_sign_counts_and_a_zero_row_is_like_nothing() -> None:
    among = torch.tensor([[-1.0, 0.0], [0.1, 1.0], [0.0, 0.0]])
    found = nearest_rows(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), among)
    assert found.index.tolist() == [[1], [0]]
    assert found.cosine[0, 0] == pytest.approx(0.1 / 1.01**0.5, abs=1e-7) and found.cosine[1, 0] == 0


def test_a_nearest_row_may_serve_many_and_the_assignment_gives_each_its_own() -> None:
    rows, among = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1]]), dim=1), torch.eye(2)
    assert nearest_rows(rows, among).index.tolist() == [[0], [0]]
    assert assigned_rows(rows, among).index.tolist() == [[0], [1]]


def test_the_assignment_has_the_least_sum_of_squared_distances() -> None:
    generator = torch.Generator().manual_seed(6)
    rows, among = torch.randn(5, 4, generator=generator), torch.randn(6, 4, generator=generator) * torch.arange(1, 7)[:, None]

    def total(chosen: tuple[int, ...]) -> float:
        return float((rows - among[list(chosen)]).square().sum())

    found = assigned_rows(rows, among).index[:, 0]
    assert total(tuple(found.tolist())) == pytest.approx(min(map(total, permutations(range(6), 5))))
    with pytest.raises(BadAsk, match="6 rows cannot be assigned one-to-one to 5"):
        assigned_rows(among, rows)


def test_the_random_baseline_draws_evenly_among_the_five_nearest_and_a_seed_fixes_it() -> None:
    generator = torch.Generator().manual_seed(7)
    rows, among = torch.randn(2000, 8, generator=generator), torch.randn(40, 8, generator=generator)
    nearest, drawn = nearest_rows(rows, among, 5), random_rows(rows, among, 1)
    place = (nearest.index == drawn.index).argmax(1)
    assert (nearest.index == drawn.index).any(1).all()
    # 2,000 draws of 5: 400 each, standard deviation 18.
    assert np.abs(np.bincount(place, minlength=5) - 400).max() < 90
    np.testing.assert_array_equal(drawn.index, random_rows(rows, among, 1).index)
    assert (drawn.index != random_rows(rows, among, 2).index).any()


def test_folding_keeps_reconstructions_and_cosines_but_changes_lengths(tmp_path: Path) -> None:
    weights = random_weights(1)
    weights["threshold"] = 0.02 + torch.rand(N_LATENTS, generator=torch.Generator().manual_seed(2))
    size = weights["threshold"]
    folded = {**weights, "W_enc": weights["W_enc"] / size, "b_enc": weights["b_enc"] / size, "threshold": torch.ones(N_LATENTS)}
    folded["W_dec"] = fold(weights["W_dec"], size)
    saes = []
    for name, one in (("plain", weights), ("folded", folded)):
        save_sae(tmp_path / name, "blocks.1.hook_resid_post", one)
        saes.append(SAE.load_from_disk(tmp_path / name))
    x = torch.randn(200, D_MODEL, generator=torch.Generator().manual_seed(3))
    plain, other = (sae(x) for sae in saes)
    assert (plain - saes[0].b_dec).abs().max() > 0.5
    torch.testing.assert_close(plain, other, rtol=0, atol=1e-5)
    among = random_weights(9)["W_dec"]
    np.testing.assert_array_equal(nearest_rows(weights["W_dec"], among, 3).index, nearest_rows(folded["W_dec"], among, 3).index)
    # The assignment looks at lengths: in other units it is another one.
    assert (assigned_rows(weights["W_dec"], among).index != assigned_rows(folded["W_dec"], among).index).any()
    torch.testing.assert_close(fold(among, torch.zeros(len(among))), among)


@pytest.mark.parametrize("by", [MatchBy.COSINE, MatchBy.RANDOM])
def test_folding_moves_no_cosine_and_parts_no_tie(tiny_model: LoadedModel, tmp_path: Path, by: MatchBy) -> None:
    release = tmp_path / "tiny"
    for seed, site in enumerate((ONE.name, TWO.name)):
        weights = random_weights(seed)
        weights["W_dec"][:] = weights["W_dec"][:4].repeat(N_LATENTS // 4, 1)
        weights["threshold"] = 0.02 + torch.rand(N_LATENTS, generator=torch.Generator().manual_seed(seed))
        save_sae(release / site, f"blocks.{site[0]}.hook_resid_post", weights)
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", max_tokens=256, sae_folders=(release,))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    plain, folded = (runner.ask(MatchAsk(ONE, TWO, by=by, folded=folded)) for folded in (False, True))
    np.testing.assert_array_equal(plain.index, folded.index)
    np.testing.assert_array_equal(plain.cosine, folded.cosine)


def test_widths_that_differ_and_too_many_matches_are_refused_with_numbers() -> None:
    with pytest.raises(BadAsk, match="Rows of 3 and of 4"):
        nearest_rows(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(BadAsk, match="3 matches were asked for in a dictionary of 2"):
        nearest_rows(torch.ones(2, 3), torch.ones(2, 3), 3)
    with pytest.raises(BadAsk, match="permutation gives 1 match"):
        MatchAsk(ONE, TWO, top=2, by=MatchBy.PERMUTATION)


def test_a_z_space_row_writes_what_its_heads_write_through_w_o(tiny_model: LoadedModel) -> None:
    """Head by head, each through its own part of W_O."""
    w_o = tiny_model.bridge.blocks[2].attn.W_O.detach()
    rows = torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(1))
    by_head = torch.einsum("rhe,hed->rd", rows.view(6, *w_o.shape[:2]), w_o)
    torch.testing.assert_close(tiny_model.to_residual(Site(2, Point.ATTN_Z), rows), by_head, rtol=1e-5, atol=1e-6)
    assert tiny_model.to_residual(Site(2, Point.ATTN_OUT), rows) is rows


def test_z_space_rows_go_through_the_models_own_output_projection(tiny_model: LoadedModel) -> None:
    """Against the projection itself: what it makes of a row is where the row points."""
    rows = torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = tiny_model.bare.model.layers[2].self_attn.o_proj(rows)
    torch.testing.assert_close(tiny_model.to_residual(Site(2, Point.ATTN_Z), rows), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("hook", "width"), [("attn.hook_z", D_MODEL), ("mlp.hook_post", 48)])
def test_a_dictionary_before_an_output_matrix_is_matched_through_it_and_read_like_any_other(
    tiny_model: LoadedModel, tmp_path: Path, hook: str, width: int
) -> None:
    release = tmp_path / "tiny"
    weights = random_weights(11, width)
    save_sae(release / "1.inner", f"blocks.1.{hook}", weights)
    save_sae(release / "1.resid_post", "blocks.1.hook_resid_post", random_weights(0))
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", max_tokens=256, sae_folders=(release,))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    inner, layer = SaeId("tiny", "1.inner"), tiny_model.bare.model.layers[1]
    with torch.inference_mode():
        rows = (layer.mlp.down_proj if width == 48 else layer.self_attn.o_proj)(weights["W_dec"])
    index, _ = brute_force(random_weights(0)["W_dec"], rows, 2)
    np.testing.assert_array_equal(runner.ask(MatchAsk(ONE, inner, top=2)).index, index)
    read = runner.ask(CaptureAsk(Prompt("The dog barked."), (inner,))).activations[inner]
    assert len(read.value) and read.n_latents == N_LATENTS


def test_local_runner_and_engine_give_equal_tables(runner: LocalRunner, engine: Engine) -> None:
    for ask in (MatchAsk(ONE, TWO, top=3), MatchAsk(TWO, ONE, (5, 2)), MatchAsk(ONE, TWO, by=MatchBy.RANDOM, seed=4)):
        ours, local = engine.ask(ask), runner.ask(ask)
        np.testing.assert_array_equal(ours.index, local.index)
        np.testing.assert_array_equal(ours.cosine, local.cosine)


def test_a_part_of_a_table_is_bit_for_bit_a_part_of_the_whole_and_the_whole_is_kept_on_disk(runner: LocalRunner) -> None:
    asked = MatchAsk(TWO, ONE, (60, 3, 17), 2)
    before = runner.ask(asked)
    whole = MatchAsk(TWO, ONE, top=2)
    table = runner.ask(whole)
    assert runner.matcher.is_kept(whole)
    for part in (before, runner.ask(asked)):
        assert part.latents.tolist() == [60, 3, 17]
        np.testing.assert_array_equal(part.index, table.index[[60, 3, 17]])
        np.testing.assert_array_equal(part.cosine, table.cosine[[60, 3, 17]])
        assert part.matches(3) == table.matches(3)
    with pytest.raises(UnknownLatent, match=f"Latent {N_LATENTS} "):
        runner.ask(MatchAsk(TWO, ONE, (N_LATENTS,)))


def test_a_table_belongs_to_the_weights_and_a_damaged_file_is_made_again(tiny_model: LoadedModel, tmp_path: Path) -> None:
    release = tmp_path / "tiny"
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", max_tokens=256, sae_folders=(release,))

    def table(seed: int) -> np.ndarray:
        save_sae(release / "1.resid_post", "blocks.1.hook_resid_post", random_weights(seed))
        save_sae(release / "2.resid_post", "blocks.2.hook_resid_post", random_weights(7))
        runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
        found = runner.ask(MatchAsk(ONE, TWO)).index
        np.testing.assert_array_equal(found, brute_force(random_weights(seed)["W_dec"], random_weights(7)["W_dec"], 1)[0])
        return found

    first = table(0)
    assert (first != table(1)).any()
    for file in (settings.cache / "matches").iterdir():
        file.write_bytes(file.read_bytes()[:50])
    np.testing.assert_array_equal(table(0), first)
