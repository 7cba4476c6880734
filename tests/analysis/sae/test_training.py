"""Runs: one pass feeds all, a stopped run equals a straight one, and what is left out of training is left out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from sae_lens import SAE
from safetensors.torch import load_file

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, BrokenText, RunMismatch, WidthMismatch
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Site
from dashboard.analysis.sae.catalog import folder_spec, read_catalog
from dashboard.analysis.sae.measure.measures import within_norm
from dashboard.analysis.sae.train import checkpoints, training
from dashboard.analysis.sae.train.training import Schedule, TrainAsk, train
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.training_text import Split, token_windows
from dashboard.analysis.tokens import Prompt
from tests.conftest import TINY


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("text") / "words.jsonl"
    generator = torch.Generator().manual_seed(0)
    words = ["the", "dog", "fox", "quick", "lazy", "jumps", "한국어", "over", "sleeps", "emoji"]
    documents = (" ".join(words[i] for i in torch.randint(10, (60,), generator=generator)) for _ in range(60))
    file.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    return str(file)


@pytest.fixture
def ask(text: str) -> TrainAsk:
    return TrainAsk(
        model=str(TINY),
        sites=("1.resid_post", "2.mlp_out"),
        text=(text,),
        n_tokens=2400,
        n_latents=48,
        k=4,
        context=32,
        batch=64,
        windows_per_chunk=16,
        rows_per_pass=8,
        learning_rate=3e-3,
    )


class Killed(Exception):
    """Stands for the kill."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")


def without_times(log: Path) -> list[dict]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "tokens_per_s"} for line in lines]


@pytest.mark.parametrize(("widths", "autocast"), [((), False), ((8, 48), False), ((), True)])
def test_a_stopped_and_resumed_run_equals_a_straight_one(
    ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path, widths: tuple[int, ...], autocast: bool
) -> None:
    ask = TrainAsk(**{**ask.__dict__, "matryoshka_widths": widths, "autocast": autocast})
    straight = train(ask, tmp_path / "straight", tiny_model, lambda m: None)
    for stop_at in (0, 1, 3):

        def stop(metrics: training.ChunkMetrics, stop_at: int = stop_at) -> None:
            if metrics.chunk == stop_at and metrics.site == ask.sites[1]:
                raise Killed

        with pytest.raises(Killed):
            train(ask, tmp_path / "stopped", tiny_model, stop)
    resumed = train(ask, tmp_path / "stopped", tiny_model, lambda m: None)
    for one, other in zip(straight, resumed, strict=True):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
    assert without_times(tmp_path / "straight" / "metrics.jsonl") == without_times(tmp_path / "stopped" / "metrics.jsonl")


def test_a_kill_while_a_checkpoint_is_written_costs_only_that_chunk(
    ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(ask, tmp_path / "straight", tiny_model, lambda m: None)
    saved = checkpoints.save_file
    writes: list[Path] = []

    def die(tensors: dict[str, torch.Tensor], path: Path) -> None:
        writes.append(path)
        if len(writes) == 4:
            path.write_bytes(b"half")
            raise Killed
        saved(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", die)
        with pytest.raises(Killed):
            train(ask, tmp_path / "killed", tiny_model, lambda m: None)
    resumed = train(ask, tmp_path / "killed", tiny_model, lambda m: None)
    assert torch.equal(weights(straight[0])["W_dec"], weights(resumed[0])["W_dec"])


def test_a_dictionary_of_the_neurons_is_trained_and_reads_them(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    (folder,) = train(replace(ask, sites=("3.mlp_post",)), tmp_path / "run", tiny_model, lambda m: None)
    spec = folder_spec(folder)
    assert (str(spec.site), spec.d_in, spec.hook) == ("3.mlp_post", tiny_model.width(spec.site), "blocks.3.mlp.hook_post")
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", max_tokens=256, sae_folders=(folder.parent,))
    runner = LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)
    capture = runner.ask(CaptureAsk(Prompt("the quick dog"), (spec.id,), fidelity=True))
    ids = tiny_model.batch(capture.tokens.ids)
    neurons: list[torch.Tensor] = []
    handle = tiny_model.bare.model.layers[3].mlp.down_proj.register_forward_pre_hook(lambda _, args: neurons.append(args[0][0]))
    with torch.inference_mode():
        tiny_model.bare(ids)
        handle.remove()
        expected = SAE.load_from_disk(folder, device="cpu").encode(neurons[0])
    found = capture.activations[spec.id]
    dense = torch.zeros_like(expected)
    dense[torch.tensor(found.position).long(), torch.tensor(found.latent).long()] = torch.tensor(found.value)
    torch.testing.assert_close(dense, expected, atol=1e-4, rtol=1e-4)
    assert capture.fidelity[spec.id].ce_spliced != capture.fidelity[spec.id].ce_clean


def test_training_leaves_the_global_generator_as_it_was(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(ask, tmp_path / "run", tiny_model, lambda m: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_run_is_not_trained_again(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    first = train(ask, tmp_path / "run", tiny_model, lambda m: None)
    reports: list[object] = []
    assert train(ask, tmp_path / "run", tiny_model, reports.append) == first
    assert reports == []
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_dictionary_learns_and_loads_with_sae_lens(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    folders = train(ask, tmp_path / "run", tiny_model, lambda m: None)
    log = without_times(tmp_path / "run" / "metrics.jsonl")
    first, last = log[0], log[-2]
    assert first["site"] == last["site"] and last["fvu"] < 0.8 * first["fvu"]
    assert abs(last["l0"] - ask.k) < 0.5 and 0 <= last["dead_share"] <= 1 and 0 < last["decoder_cosine"] < 1
    sae = SAE.load_from_disk(folders[1])
    assert sae.cfg.architecture() == "jumprelu" and sae.cfg.metadata.hook_name == "blocks.2.hook_mlp_out"
    assert sae.W_dec.shape == (48, 32)
    # The scale of the inputs is folded in: the exported SAE reads raw activations as it did in training.
    windows = token_windows(ask.text, Split.TRAIN, tiny_model.tokenizer, ask.context)
    rows = training._read_rows(ask, windows, [Site.parse("2.mlp_out")], tiny_model)[Site.parse("2.mlp_out")]
    assert len(rows) == int((~torch.isin(windows, torch.tensor(tiny_model.tokenizer.all_special_ids))).sum())
    acts = sae.encode(rows.clone())
    fvu = float((rows - sae.decode(acts)).square().sum() / (rows - rows.mean(0)).square().sum())
    logged = [line for line in log if line["site"] == "2.mlp_out"][-1]["fvu"]
    assert fvu < 1.25 * logged


def test_after_few_steps_as_many_latents_fire_as_were_asked_for(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    short = replace(ask, n_tokens=1000, learning_rate=1e-4)
    (folder, _) = train(short, tmp_path / "run", tiny_model, lambda m: None)
    windows = token_windows(short.text, Split.TRAIN, tiny_model.tokenizer, short.context, with_bos=tiny_model.prepends_bos).long()
    rows = read_sites(tiny_model.bridge, windows, [Site.parse("1.resid_post")])[Site.parse("1.resid_post")]
    rows = rows[tiny_model.ordinary(windows)].float()
    with torch.inference_mode():
        acts = SAE.load_from_disk(folder, device="cpu").encode(rows[within_norm(rows)])
    assert int((acts > 0).sum()) / len(acts) == pytest.approx(short.k, rel=0.25)


def test_the_learning_rate_falls_before_a_short_run_ends(ask: TrainAsk, tiny_model: LoadedModel) -> None:
    for n_tokens in (300, 2400):
        one = replace(ask, n_tokens=n_tokens, windows_per_chunk=64)
        rows = Schedule(one, 100).n_rows
        assert n_tokens <= rows < n_tokens + one.context
        trainer = training._new_trainer(one, Site.parse(one.sites[0]), tiny_model, Schedule(one, 100))
        assert trainer.cfg.total_training_samples == rows


def test_autocast_is_another_run(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    exact = train(ask, tmp_path / "exact", tiny_model, lambda m: None)
    rounded = train(TrainAsk(**{**ask.__dict__, "autocast": True}), tmp_path / "rounded", tiny_model, lambda m: None)
    assert not torch.equal(weights(exact[0])["W_dec"], weights(rounded[0])["W_dec"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 49}, "1 to 48"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"matryoshka_widths": (8, 40)}, "end with"),
        ({"matryoshka_widths": (0, 48)}, "rise"),
        ({"sites": ("5.embed",)}, "0.embed"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(ask: TrainAsk, change: dict, message: str) -> None:
    with pytest.raises(BadAsk, match=message):
        TrainAsk(**{**ask.__dict__, **change})


def test_other_text_or_another_number_format_is_another_run(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    source = tmp_path / "text.jsonl"
    source.write_text(Path(ask.text[0]).read_text())
    ask = TrainAsk(**{**ask.__dict__, "text": (str(source),)})

    def kill(metrics: training.ChunkMetrics) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(ask, tmp_path / "run", tiny_model, kill)
    source.write_text(source.read_text()[: -len(source.read_text()) // 3].rsplit("\n", 1)[0] + "\n")
    with pytest.raises(RunMismatch, match="windows_sha256"):
        train(ask, tmp_path / "run", tiny_model, lambda m: None)


def test_the_embedding_can_be_trained_on_and_read_again(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = train(TrainAsk(**{**ask.__dict__, "sites": ("0.embed",)}), tmp_path / "run", tiny_model, lambda m: None)[0]
    assert str(folder_spec(folder).site) == "0.embed"


def test_one_pass_of_the_model_feeds_every_sae(
    ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    read = training.read_sites

    def count(bridge: object, ids: torch.Tensor, sites: list) -> dict:
        passes.append(ids.numel())
        return read(bridge, ids, sites)

    monkeypatch.setattr(training, "read_sites", count)
    train(ask, tmp_path / "run", tiny_model, lambda m: None)
    windows = -(-ask.n_tokens // (ask.context - 1))
    assert sum(passes) == windows * ask.context


def test_a_folder_of_other_settings_is_refused_and_names_them(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    train(ask, tmp_path / "run", tiny_model, lambda m: None)
    with pytest.raises(RunMismatch, match="k 4 -> 5"):
        train(TrainAsk(**{**ask.__dict__, "k": 5}), tmp_path / "run", tiny_model, lambda m: None)


def test_two_trainers_in_one_folder_are_refused(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / "lock"), pytest.raises(RunMismatch, match="another process"):
        train(ask, tmp_path / "run", tiny_model, lambda m: None)


def test_a_site_that_the_model_lacks_is_refused(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(WidthMismatch, match="layer 9"):
        train(TrainAsk(**{**ask.__dict__, "sites": ("9.resid_post",)}), tmp_path / "run", tiny_model, lambda m: None)


def test_missing_text_is_refused(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(BrokenText, match="holds no text"):
        train(TrainAsk(**{**ask.__dict__, "text": (str(tmp_path / "none"),)}), tmp_path / "run", tiny_model, lambda m: None)


def test_every_epoch_reads_every_window_once_and_in_its_own_order(ask: TrainAsk) -> None:
    n_windows = 37
    schedule = Schedule(ask, n_windows)
    order = torch.cat([schedule.windows(chunk) for chunk in range(schedule.n_chunks)])
    assert len(order) == -(-ask.n_tokens // (ask.context - 1))
    first, second = order[:n_windows], order[n_windows : 2 * n_windows]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(n_windows))
    assert not torch.equal(first, second)


def test_rows_of_outlying_norm_are_left_out() -> None:
    rows = torch.ones(10, 4)
    rows[3] *= 10.5
    rows[4] *= 9.5
    assert within_norm(rows).tolist() == [True] * 3 + [False] + [True] * 6


def test_nested_widths_go_to_the_points_asked_for(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    ask = replace(ask, matryoshka_widths=(8, 48), matryoshka_points=("resid_post",))
    plain = train(replace(ask, matryoshka_widths=(), matryoshka_points=()), tmp_path / "plain", tiny_model, lambda m: None)
    mixed = train(ask, tmp_path / "mixed", tiny_model, lambda m: None)
    nested = train(replace(ask, matryoshka_points=()), tmp_path / "nested", tiny_model, lambda m: None)

    def same(one: Path, other: Path) -> bool:
        return torch.equal(weights(one)["W_dec"], weights(other)["W_dec"])

    residual, mlp = 0, 1
    assert same(mixed[residual], nested[residual])
    assert not same(mixed[residual], plain[residual])
    assert same(mixed[mlp], plain[mlp])
    assert not same(mixed[mlp], nested[mlp])
    with pytest.raises(BadAsk, match="resid_past: no such point"):
        replace(ask, matryoshka_points=("resid_past",))


def test_weights_do_not_depend_on_how_many_are_fitted_at_once(ask: TrainAsk, tiny_model: LoadedModel, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    runs = {}
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            runs[number] = train(ask, tmp_path / str(number), tiny_model, lambda m: None)
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*runs.values(), strict=True):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
