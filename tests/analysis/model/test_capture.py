"""What a capture says, against an independent computation with plain transformers and sae-lens."""

import json
import shutil

import numpy as np
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.capture import CaptureAsk, Fidelity, LatentActivations
from dashboard.analysis.asks.weights import NeighbourAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import OtherModel, UnknownLatent, UnknownSae, WidthMismatch
from dashboard.analysis.methods.highlight import method as highlight
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import EXACT, SITES, TEXT, random_weights, save_sae

PROMPT = Prompt(TEXT)


def dense(activations: LatentActivations) -> np.ndarray:
    full = np.zeros((activations.n_tokens, activations.n_latents), dtype=np.float32)
    full[activations.position, activations.latent] = activations.value
    return full


def test_activations_equal_plain_transformers_and_sae_lens(runner: LocalRunner, tiny_release, tiny_path) -> None:
    sae_id = SaeId("tiny", "2.resid_post")
    capture = runner.ask(CaptureAsk(PROMPT, (sae_id,)))
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    with torch.inference_mode():
        hidden = model(torch.tensor([capture.tokens.ids]), output_hidden_states=True).hidden_states[3][0]
        expected = SAE.load_from_disk(tiny_release / "2.resid_post").encode(hidden)
    np.testing.assert_allclose(dense(capture.activations[sae_id]), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_one_pass_for_many_saes_equals_a_pass_for_each(runner: LocalRunner, site_saes) -> None:
    together = runner.ask(CaptureAsk(PROMPT, site_saes))
    for sae in site_saes:
        alone = runner.ask(CaptureAsk(PROMPT, (sae,)))
        np.testing.assert_array_equal(dense(together.activations[sae]), dense(alone.activations[sae]))


def test_zeros_are_never_stored_and_views_agree(runner: LocalRunner, site_saes) -> None:
    activations = runner.ask(CaptureAsk(PROMPT, site_saes[:1])).activations[site_saes[0]]
    full = dense(activations)
    assert (activations.value > 0).all() and len(activations.value) == (full > 0).sum()
    np.testing.assert_array_equal(activations.counts(), (full > 0).sum(1))
    np.testing.assert_array_equal(activations.of_latent(5), full[:, 5])
    listed = activations.at_position(4)
    assert [value for _, value in listed] == sorted(full[4][full[4] > 0].tolist(), reverse=True)
    assert dict(listed) == {int(i): float(full[4, i]) for i in np.flatnonzero(full[4])}


def test_special_tokens_are_marked_and_out_of_l0_and_fvu(runner: LocalRunner, site_saes, tiny_release, tiny_path) -> None:
    sae_id = site_saes[1]
    capture = runner.ask(CaptureAsk(Prompt("Hi there", chat=True), (sae_id,)))
    ordinary = list(capture.tokens.ordinary)
    assert len(ordinary) < len(capture.tokens)
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    sae = SAE.load_from_disk(tiny_release / sae_id.name)
    with torch.inference_mode():
        rows = model(torch.tensor([capture.tokens.ids]), output_hidden_states=True).hidden_states[3][0][ordinary]
        acts = sae.encode(rows)
        fvu = (rows - sae.decode(acts)).square().sum() / (rows - rows.mean(0)).square().sum()
    fidelity = capture.fidelity[sae_id]
    assert fidelity.l0 == pytest.approx(float((acts > 0).sum(1).float().mean()), rel=1e-6)
    assert fidelity.fvu == pytest.approx(float(fvu), rel=1e-4)


def test_a_dictionary_that_rebuilds_everything_loses_nothing(runner: LocalRunner) -> None:
    fidelity = runner.ask(CaptureAsk(PROMPT, (EXACT,), fidelity=True)).fidelity[EXACT]
    assert fidelity.fvu == pytest.approx(0, abs=1e-9)
    assert fidelity.ce_spliced == pytest.approx(fidelity.ce_clean, abs=1e-5)


def test_cross_entropies_equal_a_plain_forward_hook(runner: LocalRunner, site_saes, tiny_path, tiny_release) -> None:
    sae_id = site_saes[1]
    capture = runner.ask(CaptureAsk(PROMPT, (sae_id,), fidelity=True))
    model = AutoModelForCausalLM.from_pretrained(tiny_path, dtype=torch.float32)
    sae = SAE.load_from_disk(tiny_release / sae_id.name)
    ids = torch.tensor([capture.tokens.ids])
    ordinary = list(capture.tokens.ordinary)

    def loss(change) -> float:
        handle = model.model.layers[2].register_forward_hook(lambda _m, _i, out: change(out if isinstance(out, torch.Tensor) else out[0]))
        try:
            with torch.inference_mode():
                return float(model(ids, labels=ids).loss)
        finally:
            handle.remove()

    def splice(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[0, ordinary] = sae.decode(sae.encode(value[0, ordinary]))
        return value

    def ablate(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[0, ordinary] = sae.b_dec
        return value

    fidelity = capture.fidelity[sae_id]
    assert fidelity.ce_clean == pytest.approx(loss(lambda value: value), rel=1e-4)
    assert fidelity.ce_spliced == pytest.approx(loss(splice), rel=1e-4)
    assert fidelity.ce_ablated == pytest.approx(loss(ablate), rel=1e-4)


def test_what_cannot_be_measured_is_not_known(runner: LocalRunner, site_saes) -> None:
    assert Fidelity(1.0, 0.1, 2.0, 2.5, 2.0).ce_recovered is None
    assert Fidelity(1.0, 0.1, 2.0, 2.05, 2.09).ce_recovered is None
    assert Fidelity(1.0, 0.1, 2.0, 2.5, 4.0).ce_recovered == 0.75
    one_token = runner.ask(CaptureAsk(Prompt("a"), site_saes[:1], fidelity=True)).fidelity[site_saes[0]]
    assert one_token.fvu is None and one_token.ce_recovered is None


def test_neighbours_are_the_largest_cosines_and_never_the_latent_itself(runner: LocalRunner, site_saes) -> None:
    latent = LatentId(site_saes[0], 11)
    found = runner.ask(NeighbourAsk(latent, (site_saes[0], site_saes[2]), top=3))
    for start, sae in ((0, site_saes[0]), (3, site_saes[2])):
        rows = runner.sae(sae).W_dec
        cosines = torch.nn.functional.cosine_similarity(rows, runner.sae(latent.sae).W_dec[11][None]).numpy().copy()
        if sae == latent.sae:
            cosines[11] = -2
        best = np.argsort(-cosines)[:3]
        assert [n.latent for n in found[start : start + 3]] == [LatentId(sae, int(i)) for i in best]
        np.testing.assert_allclose([n.cosine for n in found[start : start + 3]], cosines[best], rtol=1e-5)


def test_the_layer_map_has_the_latents_own_row_and_its_relatives(runner: LocalRunner, site_saes) -> None:
    capture = runner.ask(CaptureAsk(PROMPT, site_saes))
    latent = LatentId(site_saes[1], 5)
    rows = highlight.layer_relatives(runner, capture, latent, site_saes)
    assert [row.sae for row in rows] == list(site_saes)
    assert rows[1].latent == latent and rows[1].cosine == 1.0
    for row in rows:
        np.testing.assert_array_equal(row.values, capture.activations[row.sae].of_latent(row.latent.index))


def test_a_firing_latents_peak_and_count_leave_special_tokens_out(runner: LocalRunner, site_saes) -> None:
    capture = runner.ask(CaptureAsk(PROMPT, site_saes[:1]))
    activations = capture.activations[site_saes[0]]
    for firing in highlight.firing_on(activations, capture.tokens, 3):
        values = dense(activations)[list(capture.tokens.ordinary), firing.latent.index]
        assert firing.peak == values.max() and firing.n_tokens == (values > 0).sum()


def test_unknown_names_are_refused_with_what_there_is(runner: LocalRunner, site_saes) -> None:
    with pytest.raises(UnknownSae, match=r"tiny/2\.resid_post"):
        runner.ask(CaptureAsk(PROMPT, (SaeId("tiny", "9.resid_post"),)))
    with pytest.raises(UnknownLatent, match=r"64 latents \(0 to 63\)"):
        runner.ask(NeighbourAsk(LatentId(site_saes[0], 64), site_saes[:1]))


@pytest.mark.parametrize(
    ("hook", "d_in", "message"), [("blocks.1.hook_resid_post", 48, "width 48"), ("blocks.9.hook_resid_post", 32, "layer 9")]
)
def test_an_sae_of_another_model_is_refused_with_both_numbers(tiny_model, tmp_path, hook: str, d_in: int, message: str) -> None:
    save_sae(tmp_path / "other" / "x", hook, random_weights(0, d_in))
    settings = Settings(cache=tmp_path / "cache", sae_folders=(tmp_path / "other",))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    with pytest.raises(WidthMismatch, match=message):
        runner.ask(CaptureAsk(PROMPT, (SaeId("other", "x"),)))


def test_an_sae_that_says_it_is_of_another_model_is_refused_by_name(tiny_model, tmp_path) -> None:
    save_sae(tmp_path / "other" / "x", "blocks.1.hook_resid_post", random_weights(0), model="owner/else")
    settings = Settings(cache=tmp_path / "cache", sae_folders=(tmp_path / "other",))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    with pytest.raises(OtherModel, match="owner/else"):
        runner.ask(CaptureAsk(PROMPT, (SaeId("other", "x"),)))


def test_one_broken_sae_does_not_harm_the_others(tiny_model, tiny_release, tmp_path) -> None:
    release = tmp_path / "tiny"
    shutil.copytree(tiny_release, release)
    (release / "1.mlp_out" / "sae_weights.safetensors").write_bytes(b"half")
    settings = Settings(cache=tmp_path / "cache", sae_folders=(release,))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    saes = [SaeId("tiny", site) for site in SITES]
    capture, refused = highlight.capture_readable(runner.ask, PROMPT, saes)
    assert list(capture.activations) == saes[:2] and len(refused) == 1


def test_an_sae_that_normalises_each_row_is_measured(tiny_model, tiny_release, tmp_path) -> None:
    folder = tmp_path / "normed" / "x"
    shutil.copytree(tiny_release / "2.resid_post", folder)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, "normalize_activations": "layer_norm"}))
    settings = Settings(cache=tmp_path / "cache", sae_folders=(tmp_path / "normed",))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    fidelity = runner.ask(CaptureAsk(PROMPT, (SaeId("normed", "x"),), fidelity=True)).fidelity[SaeId("normed", "x")]
    assert fidelity.fvu is not None and fidelity.ce_spliced is not None


def test_the_catalogue_knows_sites_by_their_hooks(runner: LocalRunner) -> None:
    assert isinstance(runner.catalog, Catalog)
    assert {str(spec.site) for spec in runner.catalog.specs} == {*SITES}
    assert runner.catalog.get(EXACT).site == Site.parse("2.resid_post")
