"""Each family end to end: its true files from the hub, its tiny model through the bridge, against numbers that plain torch gives."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op, Unit, Where
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, ScoreAsk, Variant
from dashboard.analysis.asks.many_texts import AnsweringAsk, MarkedText
from dashboard.analysis.asks.weights import PromotedAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, BrokenSaeFile, OtherBos
from dashboard.analysis.model.bridge import load_model, tokenise
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.model.sources import admit_model, look_at
from dashboard.analysis.names import LatentId, ModelId, Point, SaeId, Site, Width, hook_of_site
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.sae.public.fetching import get_sae
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.hub import layouts
from tests.hub.conftest import Hub
from tests.hub.families import D_HEAD, D_MLP, FAMILIES, HEADS, LAYERS, SPARE, TEXT, D, N, build, plain_sites

Rows = torch.Tensor
Weights = dict[str, torch.Tensor]
Encode = Callable[[Rows, Weights], Rows]


@cache
def model_folder(family: str) -> Path:
    import tempfile

    return build(family, Path(tempfile.mkdtemp(prefix=f"tiny-{family}-")) / family)


@cache
def plain(family: str, ids: tuple[int, ...]) -> dict[str, Rows]:
    return plain_sites(model_folder(family), list(ids))


def open_as(family: str, name: str, cache: Path, bos: bool = True, folders: tuple[Path, ...] = ()) -> LocalRunner:
    """A runner on the tiny model under the name that the release was made for."""
    settings = Settings(cache=cache, model=name, device="cpu", dtype="float32", bos=bos, sae_folders=folders)
    admit_model(look_at(model_folder(family), ModelId.parse(name)), settings)
    model = load_model(model_folder(family), ModelId.parse(name), settings)
    return LocalRunner(model, read_catalog(settings, assets=cache), cache)


def codes(runner: LocalRunner, sae: SaeId) -> tuple[tuple[int, ...], Rows]:
    """Token ids of the text, and its activations [position, latent] as the product gives them."""
    capture = runner.ask(CaptureAsk(Prompt(TEXT), (sae,), fidelity=True))
    found = capture.activations[sae]
    dense = torch.zeros(found.n_tokens, found.n_latents)
    dense[torch.tensor(found.position).long(), torch.tensor(found.latent).long()] = torch.tensor(found.value)
    return capture.tokens.ids, dense


def jump(rows: Rows, own: Weights) -> Rows:
    before = rows @ own["W_enc"] + own["b_enc"]
    return torch.where(before > own["threshold"], before, torch.zeros(())).relu()


def top(before: Rows, k: int) -> Rows:
    best = before.topk(k, dim=1)
    return torch.zeros_like(before).scatter(1, best.indices, best.values.relu())


def layer_norm(rows: Rows) -> Rows:
    return (rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-5)


def scope(release: str, site: str) -> Callable[[Hub, Weights], str]:
    def serve(hub: Hub, own: Weights) -> str:
        name = f"{release}/layer_{site[0]}/width_16k/canonical"
        layouts.gemma_scope(hub, name, own)
        return name

    return serve


def scope_2(kind: str, layer: int) -> Callable[[Hub, Weights], str]:
    def serve(hub: Hub, own: Weights) -> str:
        name = f"gemma-scope-2-270m-pt-{kind}-all/layer_{layer}_width_16k_l0_small"
        layouts.gemma_scope_2(hub, name, own)
        return name

    return serve


def gpt2(name: str, **config: object) -> Callable[[Hub, Weights], str]:
    def serve(hub: Hub, own: Weights) -> str:
        hook = name.partition("/")[2]
        flat = {"architecture": "standard", "hook_point": hook, "hook_point_layer": int(hook.split(".")[1]), "model_name": "gpt2-small"}
        layouts.native(layouts.place(hub, name), {key: own[key] for key in own if key != "threshold"}, **flat, **config)
        return name

    return serve


OPENAI = {"activation_fn": "topk", "activation_fn_kwargs": {"k": 6}, "normalize_activations": "layer_norm", "prepend_bos": False}


def centred_relu(rows: Rows, own: Weights) -> Rows:
    return ((rows - rows.mean(1, keepdim=True) - own["b_dec"]) @ own["W_enc"] + own["b_enc"]).relu()


def openai(rows: Rows, own: Weights) -> Rows:
    return top((layer_norm(rows) - own["b_dec"]) @ own["W_enc"] + own["b_enc"], 6)


@pytest.mark.parametrize(
    ("family", "model", "serve", "site", "encode"),
    [
        ("gemma2", "google/gemma-2-2b", scope("gemma-scope-2b-pt-res-canonical", "2"), "2.resid_post", jump),
        ("gemma2", "google/gemma-2-2b", scope("gemma-scope-2b-pt-mlp-canonical", "3"), "3.mlp_out", jump),
        ("gemma2", "google/gemma-2-2b", scope("gemma-scope-2b-pt-att-canonical", "1"), "1.attn_z", jump),
        ("gemma3", "google/gemma-3-270m", scope_2("res", 3), "3.resid_post", jump),
        ("gemma3", "google/gemma-3-270m", scope_2("mlp", 2), "2.mlp_out", jump),
        ("gemma3", "google/gemma-3-270m", scope_2("att", 3), "3.attn_z", jump),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-res-jb/blocks.2.hook_resid_pre"), "1.resid_post", centred_relu),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-res-jb/blocks.0.hook_resid_pre"), "0.resid_pre", centred_relu),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-resid-post-v5-32k/blocks.2.hook_resid_post", **OPENAI), "2.resid_post", openai),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-resid-mid-v5-128k/blocks.1.hook_resid_mid", **OPENAI), "1.resid_mid", openai),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-attn-out-v5-32k/blocks.3.hook_attn_out", **OPENAI), "3.attn_out", openai),
        ("gpt2", "openai-community/gpt2", gpt2("gpt2-small-mlp-out-v5-32k/blocks.3.hook_mlp_out", **OPENAI), "3.mlp_out", openai),
    ],
)
def test_a_release_reads_its_site_of_its_model_as_its_makers_do(
    hub: Hub, tmp_path: Path, family: str, model: str, serve: Callable[[Hub, Weights], str], site: str, encode: Encode
) -> None:
    own = layouts.made(width(family, Site.parse(site)), N)
    sae = get_sae(serve(hub, own), tmp_path, print)
    runner = open_as(family, model, tmp_path, bos=encode is not openai)
    ids, got = codes(runner, sae)
    rows = plain(family, ids)[site]
    expected = encode(rows, own)
    assert 0.02 < float((expected > 0).float().mean()) < 0.9
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=2e-4)
    # One place further, or before the norm that a block ends with, the numbers are others: the test can tell.
    for other, values in plain(family, ids).items():
        if values.shape == rows.shape and not torch.allclose(values, rows, atol=1e-5):
            assert not torch.allclose(encode(values, own), expected, atol=1e-2), other


@pytest.mark.parametrize(
    ("name", "hook", "site"),
    [("lxr", "hook_resid_post", "resid_post"), ("lxm", "hook_mlp_out", "mlp_out"), ("lxa", "hook_attn_out", "attn_out")],
)
def test_llama_scope_reads_raw_activations_with_its_norm_folded_in(hub: Hub, tmp_path: Path, name: str, hook: str, site: str) -> None:
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    own, sae_id = layouts.made(D, N), f"l3{name[-1]}_8x"
    factor = get_norm_scaling_factor(f"llama_scope_{name}_8x", sae_id)
    assert factor is not None
    # The directory's factor is that of the real model; the tiny one's stream has another size, so weights make up for it.
    stored = {**own, "W_enc": own["W_enc"] / factor, "W_dec": own["W_dec"] * factor, "b_dec": own["b_dec"] * factor}
    full = f"llama_scope_{name}_8x/{sae_id}"
    layouts.llama_scope(hub, full, stored, norm=D**0.5 / factor, threshold=0.4 / factor, hook=f"blocks.3.{hook}")
    sae = get_sae(full, tmp_path, print)
    runner = open_as("llama", "meta-llama/Llama-3.1-8B", tmp_path)
    ids, got = codes(runner, sae)
    before = plain("llama", ids)[f"3.{site}"] @ own["W_enc"] + own["b_enc"]
    expected = before * (before > 0.4)
    assert 0.02 < float((expected > 0).float().mean()) < 0.9
    torch.testing.assert_close(got, expected, atol=1e-2, rtol=2e-2)  # its file is read in bfloat16
    rebuilt = runner.sae(sae).decode(expected)
    torch.testing.assert_close(rebuilt, expected @ own["W_dec"] + own["b_dec"], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("local", [False, True])
def test_sparsify_reads_as_eleuther_does(hub: Hub, tmp_path: Path, local: bool) -> None:
    own = layouts.made(D, N)
    where = tmp_path / "mine" if local else hub.folder("EleutherAI/sae-tiny-llama")
    layouts.sparsify(where / "layers.2", own, k=5, model="acme/tiny-llama")
    sae = get_sae(str(where / "layers.2") if local else "EleutherAI/sae-tiny-llama/layers.2", tmp_path, print)
    runner = open_as("llama", "acme/tiny-llama", tmp_path)
    ids, got = codes(runner, sae)
    rows = plain("llama", ids)["2.resid_post"]
    expected = top((rows - own["b_dec"]) @ own["W_enc"] + own["b_enc"], 5)
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=2e-4)
    assert str(runner.catalog.get(sae).site) == "2.resid_post"
    torch.testing.assert_close(runner.sae(sae).decode(expected), expected @ own["W_dec"] + own["b_dec"], atol=1e-4, rtol=1e-4)
    if not local:
        hub.stop()
        get_sae("EleutherAI/sae-tiny-llama/layers.2", tmp_path / "again", print)


@pytest.mark.parametrize(("module", "site"), [("mlp", "2.mlp_out"), ("self_attn", "2.attn_out"), ("attention", "2.attn_out")])
def test_sparsify_reads_the_module_that_its_folder_names(hub: Hub, tmp_path: Path, module: str, site: str) -> None:
    own, folder = layouts.made(D, N), hub.folder("acme/sae-tiny-llama") / f"layers.2.{module}"
    # Where a factor of the width says how many latents there are, sparsify writes that there are 0.
    layouts.sparsify(folder, own, k=5, model="acme/tiny-llama", num_latents=0, expansion_factor=N // D)
    sae = get_sae(f"acme/sae-tiny-llama/{folder.name}", tmp_path, print)
    runner = open_as("llama", "acme/tiny-llama", tmp_path)
    ids, got = codes(runner, sae)
    expected = top((plain("llama", ids)[site] - own["b_dec"]) @ own["W_enc"] + own["b_enc"], 5)
    assert str(runner.catalog.get(sae).site) == site
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("module", ["mlp", "self_attn"])
def test_a_module_whose_output_is_normed_before_it_is_added_is_not_read_behind_the_norm(tmp_path: Path, module: str) -> None:
    folder = tmp_path / "mine" / f"layers.2.{module}"
    layouts.sparsify(folder, layouts.made(D, N), k=5, model="google/gemma-3-270m")
    sae = get_sae(str(folder), tmp_path, print)
    with pytest.raises(BrokenSaeFile, match=r"before a norm of google/gemma-3-270m; this site is read behind it, at blocks\.2\.ln._post"):
        codes(open_as("gemma3", "google/gemma-3-270m", tmp_path), sae)


def test_a_dictionary_of_scaled_activations_is_read_with_a_caution_unless_its_weights_hold_the_factor(tmp_path: Path) -> None:
    for name, scaling in (("scaled", "expected_average_only_in"), ("folded", "none")):
        metadata = {"hook_name": "blocks.2.hook_resid_post", "model_name": "acme/tiny-llama"}
        config = {"architecture": "jumprelu", "apply_b_dec_to_input": False, "normalize_activations": scaling, "metadata": metadata}
        layouts.native(tmp_path / "mine" / name, layouts.made(D, N), **config)
        get_sae(str(tmp_path / "mine" / name), tmp_path, print)
    runner = open_as("llama", "acme/tiny-llama", tmp_path)
    said = {spec.id.name: spec.caution(runner.model.id) for spec in runner.catalog.specs}
    assert said["folded"] is None
    assert said["scaled"] is not None and f"a mean norm of {D**0.5:.1f}" in said["scaled"]


@pytest.mark.parametrize(
    ("folder", "config", "reason"),
    [
        ("layers.2.mlp.act", {}, "reads the module 'mlp.act' of a layer"),
        ("layers.2", {"signed": True}, "keeps activations below zero"),
        ("layers.2", {"transcode": True}, "is a transcoder"),
    ],
)
def test_sparsifys_other_kinds_are_refused_with_the_reason(tmp_path: Path, folder: str, config: dict[str, object], reason: str) -> None:
    layouts.sparsify(tmp_path / "mine" / folder, layouts.made(D, N), 5, "acme/tiny-llama", **config)
    with pytest.raises(BadAsk, match=reason):
        get_sae(str(tmp_path / "mine" / folder), tmp_path, print)


def test_a_config_with_metadata_but_no_version_keeps_its_site_and_model(hub: Hub, tmp_path: Path) -> None:
    own = layouts.made(D, N)
    metadata = {"hook_name": "blocks.2.hook_resid_pre", "model_name": "acme/tiny-llama"}
    layouts.native(hub.folder("acme/saes") / "one", own, architecture="jumprelu", apply_b_dec_to_input=False, metadata=metadata)
    sae = get_sae("acme/saes/one", tmp_path, print)
    runner = open_as("llama", "acme/tiny-llama", tmp_path)
    spec = runner.catalog.get(sae)
    assert (str(spec.site), str(spec.model)) == ("1.resid_post", "acme/tiny-llama")
    ids, got = codes(runner, sae)
    torch.testing.assert_close(got, jump(plain("llama", ids)["2.resid_pre"], own), atol=2e-4, rtol=2e-4)


def test_a_folder_that_changed_is_read_anew(tmp_path: Path) -> None:
    for seed in (1, 2):
        own = layouts.made(D, N, seed)
        layouts.sparsify(tmp_path / "mine" / "layers.2", own, k=5, model="acme/tiny-llama")
        sae = get_sae(str(tmp_path / "mine" / "layers.2"), tmp_path / "cache", print)
        runner = open_as("llama", "acme/tiny-llama", tmp_path / "cache")
        torch.testing.assert_close(runner.sae(sae).W_dec.data, own["W_dec"])


@pytest.mark.parametrize("older", [False, True])
def test_a_native_folder_needs_no_hub_and_may_be_older_than_version_6(tmp_path: Path, older: bool) -> None:
    own = layouts.made(D, N)
    hook, model = "blocks.2.hook_resid_pre", "acme/tiny-llama"
    config = {"hook_point": hook, "model_name": model} if older else {"metadata": {"hook_name": hook, "model_name": model}}
    stored = {key: own[key] for key in own if key != "threshold"}
    layouts.native(tmp_path / "mine" / "a", stored, architecture="standard", apply_b_dec_to_input=True, device="cuda:7", **config)
    runner = open_as("llama", model, tmp_path, folders=(tmp_path / "mine",))
    ids, got = codes(runner, SaeId("mine", "a"))
    expected = ((plain("llama", ids)["1.resid_post"] - own["b_dec"]) @ own["W_enc"] + own["b_enc"]).relu()
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=2e-4)


def test_a_dictionary_that_norms_its_rows_gives_back_their_size_when_a_latent_is_taken_away(hub: Hub, tmp_path: Path) -> None:
    own = layouts.made(D, N)
    sae = get_sae(gpt2("gpt2-small-resid-post-v5-32k/blocks.2.hook_resid_post", **OPENAI)(hub, own), tmp_path, print)
    runner = open_as("gpt2", "openai-community/gpt2", tmp_path, bos=False)
    ids, got = codes(runner, sae)
    latent = int(got.sum(0).argmax())
    rows = plain("gpt2", ids)["2.resid_post"]
    # x - (decode(z) - decode(z without the latent)), as the makers decode: (z W_dec + b) * std + mean.
    expected = rows - rows.std(1, keepdim=True) * got[:, latent, None] * own["W_dec"][latent]
    from dashboard.analysis.model.edits import LoadedDirection, RowEdit, apply_edits

    loaded = runner.sae(sae)
    direction, everywhere = LoadedDirection(loaded.W_dec[latent], loaded, latent), torch.ones(len(rows), dtype=torch.bool)
    for op, amount in ((Op.ABLATE, 0.0), (Op.SCALE, 0.0), (Op.CLAMP, 0.0), (Op.CAP, 0.0)):
        edited = apply_edits(rows[None], [[RowEdit(direction, op, amount, everywhere)]])[0]
        torch.testing.assert_close(edited, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("gemma2", "google/gemma-2-2b-it"),
        ("gemma3", "google/gemma-3-270m-it"),
        ("llama", "meta-llama/Llama-3.1-8B-Instruct"),
        ("qwen", "Qwen/Qwen3-0.6B"),
    ],
)
def test_a_chat_is_read_through_the_models_own_template_with_one_bos(tmp_path: Path, family: str, name: str) -> None:
    model = open_as(family, name, tmp_path).model
    tokens = tokenise(model, Prompt("Who wrote Hamlet?", chat=True))
    message = [{"role": "user", "content": "Who wrote Hamlet?"}]
    expected = model.tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"]
    assert list(tokens.ids) == expected
    assert model.bos_id is None or tokens.ids.count(model.bos_id) <= 1
    assert [text for text, special in zip(tokens.texts, tokens.special, strict=True) if special]


def test_a_base_model_has_no_chat_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadAsk, match="no chat template: it is not a chat model"):
        tokenise(open_as("gpt2", "openai-community/gpt2", tmp_path).model, Prompt("Hi", chat=True))


def test_a_base_models_dictionary_on_its_chat_model_comes_with_a_caution_and_a_measured_fvu(hub: Hub, tmp_path: Path) -> None:
    sae = get_sae(scope_2("res", 3)(hub, layouts.made(D, N)), tmp_path, print)
    runner = open_as("gemma3", "google/gemma-3-270m-it", tmp_path)
    fidelity = runner.ask(CaptureAsk(Prompt(TEXT), (sae,), fidelity=True)).fidelity[sae]
    assert "trained on google/gemma-3-270m, used on google/gemma-3-270m-it" in runner.cautions[sae]
    assert fidelity.fvu is not None and fidelity.ce_recovered is not None


def test_a_dictionary_that_was_trained_without_bos_says_what_to_set(hub: Hub, tmp_path: Path) -> None:
    name = gpt2("gpt2-small-resid-post-v5-32k/blocks.2.hook_resid_post", **OPENAI)(hub, layouts.made(D, N))
    sae = get_sae(name, tmp_path, print)
    with pytest.raises(OtherBos, match="LATENTS_BOS=0"):
        open_as("gpt2", "openai-community/gpt2", tmp_path).sae(sae)


def every_site() -> list[Site]:
    """One of each point, in different layers."""
    return [Site(place % LAYERS if place else 0, point) for place, point in enumerate(Point)]


def width(family: str, site: Site) -> int:
    """Numbers of an activation there, by the sizes that the tiny models are built with."""
    heads = D if family == "gpt2" else HEADS * D_HEAD
    return {Width.MODEL: D, Width.HEADS: heads, Width.NEURONS: D_MLP}[site.point.row.width]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_holds_what_plain_transformers_computes_there(tmp_path: Path, family: str) -> None:
    model = open_as(family, "acme/tiny", tmp_path).model
    ids = tokenise(model, Prompt(TEXT)).ids
    for site in every_site():
        found = read_sites(model.bridge, model.batch(ids), [site])[site][0]
        assert found.flatten(1).shape[-1] == model.width(site) == width(family, site)
        torch.testing.assert_close(found.flatten(1), plain(family, ids)[str(site)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_written_and_scored_with_edits_at_every_site(tmp_path: Path, family: str) -> None:
    for site in every_site():
        metadata = {"hook_name": hook_of_site(site), "model_name": "acme/tiny"}
        own = layouts.made(width(family, site), N)
        layouts.native(
            tmp_path / "all" / site.point, own, architecture="jumprelu", apply_b_dec_to_input=False, device="cpu", metadata=metadata
        )
    runner = open_as(family, "acme/tiny", tmp_path, folders=(tmp_path / "all",))
    saes = [spec.id for spec in runner.catalog.specs]
    assert len(saes) == len(Point)
    edits = [Intervention(LatentId(sae, 3), Op.ADD, 0.5, Unit.NORM, Where.EVERYWHERE) for sae in saes]
    variants = (Variant("plain"), *(Variant(str(edit.direction), (edit,)) for edit in edits))
    deltas = list(runner.stream(GenerationAsk(Prompt(TEXT), variants, Sampling(4, 0.0))))
    assert {delta.variant for delta in deltas} == {variant.label for variant in variants}
    plain_score = runner.ask(ScoreAsk(Prompt(TEXT), (), 5))
    for edit in edits:
        assert runner.ask(ScoreAsk(Prompt(TEXT), (edit,), 5)) != plain_score


def test_what_no_token_of_the_tokenizer_stands_for_is_never_written_or_said_to_be_promoted(tmp_path: Path) -> None:
    layouts.native(
        tmp_path / "all" / "one", layouts.made(D, N), architecture="jumprelu", apply_b_dec_to_input=False, device="cpu",
        metadata={"hook_name": "blocks.3.hook_resid_post", "model_name": "acme/tiny"},
    )  # fmt: skip
    runner = open_as("llama", "acme/tiny", tmp_path, folders=(tmp_path / "all",))
    model, latents = runner.model, [LatentId(SaeId("all", "one"), index) for index in range(8)]
    assert model.n_texts == len(model.tokenizer) == model.n_vocabulary - SPARE
    model.bare.get_output_embeddings().weight.data[-SPARE:] *= 100  # in every text one of them is far likelier than any token
    ask = GenerationAsk(Prompt(TEXT), (Variant("plain"),), Sampling(8, 0.0))
    drawn = [replace(ask, sampling=Sampling(8, 1.0, top_p, seed=3)) for top_p in (0.9, 1.0)]
    assert all(delta.token_id < model.n_texts for one in (ask, *drawn) for delta in runner.stream(one))
    assert all(answer.text for answer in runner.stream(AnsweringAsk((MarkedText(TEXT),), Sampling(4, 1.0), n_samples=3)))
    assert all(token for latent in latents for token in runner.ask(PromotedAsk(latent, 10)))
