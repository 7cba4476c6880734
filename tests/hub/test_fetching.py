"""Public SAEs through sae-lens' own loaders, in the layouts that their makers publish, from a hub on loopback."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dashboard.analysis.errors import BadAsk, BadName, BrokenSaeFile, HubRefused, UnknownSae
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec, read_catalog
from dashboard.analysis.sae.loading import load_sae
from dashboard.analysis.sae.public.directory import entry, find
from dashboard.analysis.sae.public.fetching import get_sae
from dashboard.analysis.sae.public.gemma_scope_2 import read_gemma_scope_2
from dashboard.analysis.settings import Settings
from tests.conftest import random_weights, save_sae
from tests.hub.conftest import Hub

D, N = 32, 64
GEMMA = "gemma-scope-2b-pt-res-canonical/layer_1/width_16k/canonical"
GEMMA_3 = "gemma-scope-2-270m-pt-res/layer_12_width_16k_l0_big"
LLAMA = "llama_scope_lxr_8x/l3r_8x"


def weights() -> dict[str, torch.Tensor]:
    found = random_weights(5, D, N)
    found["threshold"] = torch.linspace(0.1, 1.0, N)
    return found


def _place(hub: Hub, name: str) -> Path:
    release, _, sae = name.partition("/")
    known = entry(release, sae)
    assert known is not None, name
    return hub.folder(f"{known.repo}/{known.path}")


def serve_gemma(hub: Hub, name: str = GEMMA, **changed: object) -> Path:
    file = _place(hub, name) / "params.npz"
    np.savez(file, **({key: value.numpy() for key, value in weights().items()} | changed))  # type: ignore[arg-type]
    return file


def serve_gemma_3(hub: Hub, name: str = GEMMA_3) -> Path:
    folder = _place(hub, name)
    save_file({key.lower(): value for key, value in weights().items()}, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt"}))
    return folder / "params.safetensors"


def serve_llama(hub: Hub, name: str = LLAMA, norm: float = 8.0) -> None:
    folder, own = _place(hub, name), weights()
    (folder / "checkpoints").mkdir()
    stored = {
        "encoder.weight": own["W_enc"].T.contiguous(),
        "decoder.weight": own["W_dec"].T.contiguous(),
        "encoder.bias": own["b_enc"],
        "decoder.bias": own["b_dec"],
    }
    save_file(stored, folder / "checkpoints" / "final.safetensors")
    layer = name.rpartition("/")[2][1]
    config = {
        "d_model": D,
        "d_sae": N,
        "jump_relu_threshold": 0.5,
        "dataset_average_activation_norm": {"in": norm},
        "hook_point_in": f"blocks.{layer}.hook_resid_post",
    }
    (folder / "hyperparams.json").write_text(json.dumps(config))


def get(name: str, cache: Path, model: str) -> tuple[SaeSpec, torch.nn.Module]:
    sae = get_sae(name, cache, lambda line: None)
    spec = catalog(cache, model).get(sae)
    return spec, load_sae(spec, cache, "cpu")


def catalog(cache: Path, model: str) -> Catalog:
    return read_catalog(Settings(cache=cache, model=model))


def test_gemma_scope_reads_raw_activations_through_its_thresholds(hub: Hub, tmp_path: Path) -> None:
    serve_gemma(hub)
    spec, sae = get(GEMMA, tmp_path, "google/gemma-2-2b")
    own, rows = weights(), torch.randn(20, D, generator=torch.Generator().manual_seed(1)) * 2
    before = rows @ own["W_enc"] + own["b_enc"]
    expected = before * (before > own["threshold"])
    assert 0.01 < (expected > 0).float().mean() < 0.9
    torch.testing.assert_close(sae.encode(rows), expected)
    torch.testing.assert_close(sae.decode(expected), expected @ own["W_dec"] + own["b_dec"])
    assert str(spec.site) == "1.resid_post" and str(spec.id) == GEMMA and (spec.d_in, spec.n_latents) == (D, N)
    assert spec.config["metadata"]["prepend_bos"] is True


@pytest.mark.parametrize(
    ("release", "site"), [("gemma-scope-2b-pt-mlp-canonical", "1.mlp_out"), ("gemma-scope-2b-pt-att-canonical", "1.attn_z")]
)
def test_gemma_scopes_other_sites(hub: Hub, tmp_path: Path, release: str, site: str) -> None:
    name = f"{release}/layer_1/width_16k/canonical"
    serve_gemma(hub, name)
    spec, sae = get(name, tmp_path, "google/gemma-2-2b")
    assert str(spec.site) == site
    assert sae.encode(torch.randn(2, 3, D)).shape == (2, 3, N)  # heads side by side, no axis of their own


def test_gemma_scope_2_needs_no_sizes_from_its_name(hub: Hub, tmp_path: Path) -> None:
    serve_gemma_3(hub)
    spec, sae = get(GEMMA_3, tmp_path, "google/gemma-3-270m")
    assert str(spec.site) == "12.resid_post" and str(spec.model) == "google/gemma-3-270m"
    torch.testing.assert_close(sae.threshold.data, weights()["threshold"])


@pytest.mark.parametrize("kind", ["resid_post", "attn_out", "mlp_out"])
@pytest.mark.parametrize("config", [True, False])
def test_gemma_scope_2_is_read_as_sae_lens_reads_it_which_is_left_as_it_was(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, kind: str, config: bool
) -> None:
    from sae_lens.loading import pretrained_sae_loaders as theirs

    assert theirs.get_safetensors_tensor_shapes.__module__ == theirs.__name__
    repo, name = "google/gemma-scope-2-270m-pt", f"{kind}/layer_12_width_16k_l0_big"
    folder = hub.folder(repo) / name
    folder.mkdir(parents=True)
    save_file({key.lower(): value for key, value in weights().items()}, folder / "params.safetensors")
    if config:
        said = {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "hf_hook_point_in": f"model.layers.12.{kind}"}
        (folder / "config.json").write_text(json.dumps(said))
    ours = read_gemma_scope_2(repo, name, "cpu", False, {"dtype": "float32"})
    monkeypatch.setattr(theirs, "get_safetensors_tensor_shapes", lambda *_: {"w_enc": list(weights()["W_enc"].shape)})
    expected = theirs.gemma_3_sae_huggingface_loader(repo, name, "cpu", False, {"dtype": "float32"})
    if not config:  # sae-lens also guesses what the file would have said of the module; nothing reads it
        expected[0]["hf_hook_name"] = None
    assert ours[0] == expected[0] and ours[2] is expected[2] is None
    assert ours[1].keys() == expected[1].keys() and all(torch.equal(value, expected[1][key]) for key, value in ours[1].items())


def test_llama_scopes_norm_is_folded_into_weights_and_threshold(hub: Hub, tmp_path: Path) -> None:
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    serve_llama(hub)
    factor = get_norm_scaling_factor(*LLAMA.split("/"))
    assert factor is not None
    norm = D**0.5 / factor
    serve_llama_again = _place(hub, LLAMA) / "hyperparams.json"
    config = json.loads(serve_llama_again.read_text())
    serve_llama_again.write_text(json.dumps(config | {"dataset_average_activation_norm": {"in": norm}}))
    spec, sae = get(LLAMA, tmp_path, "meta-llama/Llama-3.1-8B")
    own, rows = weights(), torch.randn(20, D, generator=torch.Generator().manual_seed(2)) / factor
    before = (rows * factor) @ own["W_enc"] + own["b_enc"]
    expected = before * (before > 0.5 * factor)
    torch.testing.assert_close(sae.encode(rows), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sae.decode(expected), (expected @ own["W_dec"] + own["b_dec"]) / factor, atol=1e-3, rtol=1e-4)
    assert str(spec.site) == "3.resid_post"


def _serve_gpt2(hub: Hub, name: str, hook: str, **config: object) -> dict[str, torch.Tensor]:
    folder, own = _place(hub, name), weights()
    del own["threshold"]
    own["b_dec"] = torch.randn(D, generator=torch.Generator().manual_seed(9))
    old = {"architecture": "standard", "hook_point": hook, "hook_point_layer": 1, "model_name": "gpt2-small", "d_in": D, "d_sae": N}
    (folder / "cfg.json").write_text(json.dumps(old | {"dtype": "torch.float32"} | config))
    save_file(own, folder / "sae_weights.safetensors")
    return own


def test_gpt2_smalls_resid_pre_is_the_layer_befores_output_centred(hub: Hub, tmp_path: Path) -> None:
    name = "gpt2-small-res-jb/blocks.2.hook_resid_pre"
    own = _serve_gpt2(hub, name, "blocks.2.hook_resid_pre")
    spec, sae = get(name, tmp_path, "openai-community/gpt2")
    assert str(spec.site) == "1.resid_post"
    rows = torch.randn(20, D, generator=torch.Generator().manual_seed(3)) + 4.0
    centred = rows - rows.mean(1, keepdim=True)
    expected = torch.relu((centred - own["b_dec"]) @ own["W_enc"] + own["b_enc"])
    torch.testing.assert_close(sae.encode(rows), expected, atol=1e-4, rtol=1e-4)


def test_openais_topk_norms_each_row_and_keeps_k(hub: Hub, tmp_path: Path) -> None:
    name = "gpt2-small-resid-mid-v5-32k/blocks.1.hook_resid_mid"
    topk = {"activation_fn": "topk", "activation_fn_kwargs": {"k": 4}, "normalize_activations": "layer_norm", "prepend_bos": False}
    own = _serve_gpt2(hub, name, "blocks.1.hook_resid_mid", **topk)
    spec, sae = get(name, tmp_path, "openai-community/gpt2")
    assert str(spec.site) == "1.resid_mid" and spec.kind == "topk"
    rows = 3 + 5 * torch.randn(6, D, generator=torch.Generator().manual_seed(4))
    normed = (rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-5)
    before = (normed - own["b_dec"]) @ own["W_enc"] + own["b_enc"]
    kept = torch.zeros_like(before).scatter(1, (top := before.topk(4)).indices, top.values.relu())
    torch.testing.assert_close(sae.encode(rows), kept, atol=1e-4, rtol=1e-4)
    assert spec.config["metadata"]["prepend_bos"] is False


def test_a_repository_in_sae_lens_layout_needs_no_directory(hub: Hub, tmp_path: Path) -> None:
    save_sae(hub.folder("acme/my-saes") / "layer_1", "blocks.1.hook_resid_post", weights(), "acme/tiny-llama")
    spec, sae = get("acme/my-saes/layer_1", tmp_path, "acme/tiny-llama")
    assert spec.id == SaeId("acme--my-saes", "layer_1")
    torch.testing.assert_close(sae.W_dec.data, weights()["W_dec"])


@pytest.mark.parametrize("serve", [serve_gemma, serve_gemma_3])
def test_with_the_hub_away_a_warm_cache_is_enough(hub: Hub, tmp_path: Path, serve: Callable[[Hub], Path]) -> None:
    serve(hub)
    name = GEMMA if serve is serve_gemma else GEMMA_3
    get_sae(name, tmp_path / "first", print)
    hub.stop()
    hub.waited.clear()
    get_sae(name, tmp_path / "first", print)
    get_sae(name, tmp_path / "second", print)  # from the cache of the hub alone, through the loader once more
    assert not hub.waited
    with pytest.raises(HubRefused, match=r"cannot be reached, and .* is incomplete in the cache"):
        get_sae("gemma-scope-2b-pt-res-canonical/layer_2/width_16k/canonical", tmp_path, print)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_where_to_accept_the_licence(hub: Hub, tmp_path: Path, status: int) -> None:
    serve_gemma(hub)
    hub.gated["google/gemma-scope-2b-pt-res"] = status
    with pytest.raises(HubRefused, match=rf"{status}.*ccept the licence at http://127.*gemma-scope-2b-pt-res.* then set HF_TOKEN"):
        get_sae(GEMMA, tmp_path, print)


def test_half_a_download_leaves_nothing_that_looks_whole(hub: Hub, tmp_path: Path) -> None:
    serve_gemma_3(hub)
    hub.cut_at = 1000
    with pytest.raises(HubRefused):
        get_sae(GEMMA_3, tmp_path, print)
    assert not catalog(tmp_path, "google/gemma-3-270m").specs
    hub.cut_at = None
    get_sae(GEMMA_3, tmp_path, print)
    assert [str(spec.id) for spec in catalog(tmp_path, "google/gemma-3-270m").specs] == [GEMMA_3]


def test_what_is_not_there_is_said_with_what_is(hub: Hub, tmp_path: Path) -> None:
    hub.folder("google/gemma-scope-2b-pt-res")
    with pytest.raises(HubRefused, match="has no file of that name"):
        get_sae(GEMMA, tmp_path, print)
    with pytest.raises(UnknownSae, match="Nearest: gemma-scope-2b-pt-res-canonical/"):
        get_sae("gemma-scope-2b-pt-res-canonical/layer_99/width_16k/canonical", tmp_path, print)
    with pytest.raises(HubRefused, match="no repository acme/none"):
        get_sae("acme/none/layer_1", tmp_path, print)
    with pytest.raises(BadName):
        get_sae("acme/none/../../etc", tmp_path, print)


def test_pickles_are_refused_with_the_reason_and_never_asked_for(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(BadAsk, match="a pickle only: reading one can run any code"):
        get_sae("gpt2-small-hook-z-kk/blocks.0.hook_z", tmp_path, print)
    (hub.folder("acme/old") / "ae.pt").write_bytes(b"x")
    with pytest.raises(BadAsk, match=r"only pickled weights \(ae.pt\)"):
        get_sae("acme/old", tmp_path, print)
    assert not any("resolve" in line for line in hub.asked)


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def _objects(file: Path) -> None:
    np.savez(file, W_enc=np.array([{"a": 1}], dtype=object))


def _bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("W_enc.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 13, 1 << 12)})
        for _ in range(128):
            member.write(bytes(1 << 20))


def _claims_much(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive, archive.open("W_enc.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (50_000, 50_000)})
        member.write(bytes(64))


def _nan(file: Path) -> None:
    np.savez(file, **{k: v.numpy() * (np.nan if k == "W_dec" else 1) for k, v in weights().items()})


def _wrong_shape(file: Path) -> None:
    np.savez(file, **{k: v.numpy()[:-1] if k == "W_dec" else v.numpy() for k, v in weights().items()})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated, "zip"),
        (_objects, "pickled Python objects, which are never read"),
        (_bomb, "a zip bomb"),
        (_claims_much, "claims 10,000,000,000 bytes, it has 64"),
        (_nan, "not finite"),
        (_wrong_shape, "size mismatch|shape|RuntimeError"),
        (lambda file: file.write_bytes(b""), "zip"),
    ],
)
def test_hostile_files_are_refused_and_leave_nothing(hub: Hub, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(serve_gemma(hub))
    with pytest.raises(BrokenSaeFile, match=message):
        get_sae(GEMMA, tmp_path, print)
    found = catalog(tmp_path, "google/gemma-2-2b")
    assert not found.specs and not found.broken


def test_an_sae_of_another_model_is_not_in_the_list(hub: Hub, tmp_path: Path) -> None:
    serve_gemma(hub)
    get_sae(GEMMA, tmp_path, print)
    assert [str(spec.id) for spec in catalog(tmp_path, "google/gemma-2-2b-it").specs] == [GEMMA]  # its chat model
    assert not catalog(tmp_path, "google/gemma-2-9b").specs


def test_the_directory_says_what_it_knows_and_no_more() -> None:
    (one,) = find("gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82")
    assert (one.site, one.n_latents, one.l0, one.model) == ("12.resid_post", 16384, 82.0, "gemma-2-2b")
    jb = entry("gpt2-small-res-jb", "blocks.8.hook_resid_pre")
    assert jb is not None and jb.site == "7.resid_post" and jb.n_latents is None
    topk = entry("gpt2-small-resid-mid-v5-128k", "blocks.3.hook_resid_mid")
    assert topk is not None and topk.l0 is None and topk.site == "3.resid_mid"
    wide = entry("gemma-scope-2b-pt-res", "layer_12/width_65k/average_l0_72")
    assert wide is not None and wide.n_latents == 65536
    assert not find("gemma-scope no-such-word")
