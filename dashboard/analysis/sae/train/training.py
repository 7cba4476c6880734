"""Training dictionaries as a run that can be killed at any moment and goes on from its last checkpoint.

One pass of the language model feeds every SAE of the run. Steps: (1) the text's windows are shuffled by the seed;
(2) a chunk of windows is read at all sites, special and outlier-norm tokens left out; (3) each site's rows are shuffled
and given to its `SAETrainer` (sae-lens) batch by batch, on a CPU as many SAEs side by side as there are cores;
(4) metrics are logged, a checkpoint is written, next chunk.
Everything random comes from (seed, chunk), so a stopped and resumed run equals a straight one on the same machine.

A run folder holds `run.json` (the ask), `metrics.jsonl` (a line a chunk and SAE), `checkpoint-N/` (safetensors and
JSON, no pickles) and, at the end, `saes/SITE/` in sae-lens' inference layout. It does not evaluate on held-out text.

Source: BatchTopK, Bussmann et al. 2024, arXiv:2412.06410; Matryoshka, Bussmann et al. 2025, arXiv:2503.17547.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from jaxtyping import Int
from sae_lens import (
    BatchTopKTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAEConfig,
    SAETrainer,
)
from sae_lens.config import SAETrainerConfig

from dashboard.analysis.errors import BadAsk, RunMismatch, WidthMismatch
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Point, Site, hook_of_site
from dashboard.analysis.sae.measure.measures import decoder_cosine, within_norm
from dashboard.analysis.sae.train.checkpoints import drop_checkpoints, resume, save_checkpoint
from dashboard.analysis.sae.train.lean import LeanBatchTopK, LeanMatryoshkaBatchTopK
from dashboard.analysis.text.training_text import Split, token_windows

DEAD_AFTER_TOKENS = 150_000
"""A latent that has not fired for so many tokens counts as dead in the log and gets sae-lens' auxiliary loss."""


@dataclass(frozen=True)
class TrainAsk:
    """Everything that a run's result depends on."""

    model: str
    """Printed ModelId; must be the model that is loaded."""
    sites: tuple[str, ...]
    """Printed sites, one SAE each."""
    text: tuple[str, ...]
    """Files, folders or hf:DATASET."""
    n_tokens: int
    """Rows that each SAE sees; more than the text has means several epochs."""
    n_latents: int = 2048
    k: int = 32
    """Mean number of active latents per token."""
    matryoshka_widths: tuple[int, ...] = ()
    """Nested widths, the last equal to n_latents; none for plain BatchTopK."""
    matryoshka_points: tuple[str, ...] = ()
    """Points whose SAEs get the nested widths, the others being plain; none: all of them."""
    dialogues_as_chat: bool = False
    context: int = 256
    """Tokens a window, BOS included."""
    batch: int = 1024
    """Rows a step."""
    learning_rate: float = 2e-3
    autocast: bool = False
    """True: matrix products in bfloat16, weights in float32. Twice as fast where the device multiplies bfloat16 natively."""
    windows_per_chunk: int = 256
    rows_per_pass: int = 16
    """Windows a forward pass."""
    seed: int = 0

    def __post_init__(self) -> None:
        for site in self.sites:
            Site.parse(site)
        if not 0 < self.k <= self.n_latents:
            raise BadAsk(f"k is {self.k}; with {self.n_latents} latents it can be 1 to {self.n_latents}.")
        if self.learning_rate <= 0:
            raise BadAsk(f"The learning rate is {self.learning_rate}; it must be above 0, for example 2e-3.")
        if unknown := {*self.matryoshka_points} - {point.value for point in Point}:
            raise BadAsk(f"{', '.join(sorted(unknown))}: no such point. Points are {', '.join(point.value for point in Point)}.")
        widths = self.matryoshka_widths
        if widths and (sorted({*widths}) != list(widths) or widths[0] < 1 or widths[-1] != self.n_latents):
            raise BadAsk(f"The nested widths {widths} must rise from 1 or more and end with the number of latents, {self.n_latents}.")


@dataclass(frozen=True)
class ChunkMetrics:
    """One line of `metrics.jsonl`: one SAE over one chunk."""

    chunk: int
    n_chunks: int
    site: str
    tokens: int
    """Rows seen so far."""
    tokens_per_s: float
    """Of the whole run, model pass and all SAEs, over this chunk."""
    loss: float
    fvu: float
    """Fraction of variance unexplained, mean over the chunk's batches, training mode."""
    l0: float
    dead_share: float
    """Share of latents that have not fired for DEAD_AFTER_TOKENS, 0 to 1."""
    decoder_cosine: float
    """Mean absolute cosine between different decoder rows."""


def train(ask: TrainAsk, run: Path, model: LoadedModel, report: Callable[[ChunkMetrics], None]) -> list[Path]:
    """Carry a run to its end, from its current state, and return the folders of its SAEs, in the order of `ask.sites`.

    Raises:
        RunMismatch: if the folder belongs to another ask, or another process is training in it.
        BrokenText: if the text cannot be read.
    """
    sites = [Site.parse(text) for text in ask.sites]
    for site in sites:
        if site.layer >= model.n_layers:
            raise WidthMismatch(str(site), "layer", site.layer, str(model.id), model.n_layers)
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunMismatch(f"{run} is being trained by another process. Wait for it, or choose another --out.") from error
    with lock:
        _claim(run / "run.json", asdict(ask))
        folders = [run / "saes" / str(site) for site in sites]
        if all((folder / "cfg.json").is_file() for folder in folders):
            return folders
        windows = token_windows(ask.text, Split.TRAIN, model.tokenizer, ask.context, ask.dialogues_as_chat, model.prepends_bos)
        _claim(run / "data.json", {"windows_sha256": hashlib.sha256(windows.numpy().tobytes()).hexdigest(), "dtype": str(model.dtype)})
        schedule = Schedule(ask, len(windows))
        trainers = {site: _new_trainer(ask, site, model, schedule) for site in sites}
        first = resume(run, trainers)
        with _side_by_side(model) as workers:
            for chunk in range(first, schedule.n_chunks):
                _train_chunk(chunk, ask, windows[schedule.windows(chunk)], trainers, model, schedule, run, report, workers)
        for site, folder in zip(sites, folders, strict=True):
            _export(trainers[site], folder)
        drop_checkpoints(run)
        return folders


class Schedule:
    """Which windows each chunk reads. Epoch after epoch, each in its own order."""

    def __init__(self, ask: TrainAsk, n_windows: int) -> None:
        self._ask, self._n_windows = ask, n_windows
        # BOS is left out of training, so a window gives one row less than its length.
        self._needed = math.ceil(ask.n_tokens / (ask.context - 1))
        self.n_rows = self._needed * (ask.context - 1)
        self.n_chunks = math.ceil(self._needed / ask.windows_per_chunk)

    def windows(self, chunk: int) -> Int[torch.Tensor, " windows"]:
        """Indices of the windows of one chunk."""
        first = chunk * self._ask.windows_per_chunk
        last = min(first + self._ask.windows_per_chunk, self._needed)
        epochs = range(first // self._n_windows, (last - 1) // self._n_windows + 1)
        order = torch.cat([torch.randperm(self._n_windows, generator=_generator(self._ask.seed, epoch)) for epoch in epochs])
        start = epochs[0] * self._n_windows
        return order[first - start : last - start]


def _train_chunk(
    chunk: int,
    ask: TrainAsk,
    windows: torch.Tensor,
    trainers: Mapping[Site, SAETrainer[Any, Any]],
    model: LoadedModel,
    schedule: Schedule,
    run: Path,
    report: Callable[[ChunkMetrics], None],
    workers: ThreadPoolExecutor,
) -> None:
    started = time.perf_counter()
    rows = _read_rows(ask, windows, list(trainers), model)

    def fit(site: Site) -> dict[str, float]:
        order = torch.randperm(len(rows[site]), generator=_generator(ask.seed, chunk, trainer_salt=1))
        return _fit(trainers[site], rows[site][order.to(rows[site].device)], ask.batch)

    measured = dict(zip(trainers, workers.map(fit, trainers), strict=True))
    seconds = time.perf_counter() - started
    with (run / "metrics.jsonl").open("a") as log:
        for site, trainer in trainers.items():
            metrics = ChunkMetrics(
                chunk=chunk,
                n_chunks=schedule.n_chunks,
                site=str(site),
                tokens=trainer.n_training_samples,
                tokens_per_s=round(len(rows[site]) / seconds, 1),
                **measured[site],
                dead_share=float(trainer.dead_neurons.float().mean()),
                decoder_cosine=decoder_cosine(trainer.sae.W_dec.detach()),
            )
            log.write(json.dumps(asdict(metrics)) + "\n")
            report(metrics)
    save_checkpoint(run, chunk + 1, trainers)


@contextmanager
def _side_by_side(model: LoadedModel) -> Generator[ThreadPoolExecutor]:
    """Workers that fit one SAE each: on a CPU one a core, each computing on that core alone; on another device one in all.

    Half of a step is work that torch does on one core (the batch's top k) or that waits for memory, so two SAEs on two
    cores take about half the time of one after the other on both. Weights do not depend on the number of workers.
    """
    threads = torch.get_num_threads()
    if model.device == "cpu":
        workers = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    else:
        workers = ThreadPoolExecutor(1)
    with workers:
        yield workers
    torch.set_num_threads(threads)


def _read_rows(ask: TrainAsk, windows: torch.Tensor, sites: list[Site], model: LoadedModel) -> dict[Site, torch.Tensor]:
    """Rows [row, d_model] of each site, in the model's number format; the same tokens are left out at every pass of a site."""
    kept: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    for batch in windows.split(ask.rows_per_pass):
        ids = batch.long().to(model.device)
        ordinary, values = model.ordinary(ids), read_sites(model.bridge, ids, sites)
        for site, value in values.items():
            kept[site].append(value[ordinary].clone())
    rows = {site: torch.cat(parts) for site, parts in kept.items()}
    return {site: values[within_norm(values)] for site, values in rows.items()}


def _fit(trainer: SAETrainer[Any, Any], rows: torch.Tensor, batch: int) -> dict[str, float]:
    if trainer.n_training_steps == 0:
        _start_from(trainer, rows.float())
    losses, fvus, l0s = [], [], []
    # Equal parts, so that no row of a chunk is lost and no tiny batch skews BatchTopK.
    for part in torch.tensor_split(rows, max(1, round(len(rows) / batch))):
        output = trainer.step(part.float())
        trainer.maybe_reset_sparsity()
        trainer.n_training_steps += 1
        seen, rebuilt = output.sae_in.detach(), output.sae_out.detach().float()
        losses.append(float(output.loss.detach()))
        fvus.append(float((seen - rebuilt).square().sum() / (seen - seen.mean(0)).square().sum()))
        l0s.append(int(output.feature_acts.count_nonzero()) / len(part))
    return {name: sum(values) / len(values) for name, values in (("loss", losses), ("fvu", fvus), ("l0", l0s))}


def _start_from(trainer: SAETrainer[Any, Any], rows: torch.Tensor) -> None:
    """Scale inputs to mean norm sqrt(d_in) (folded into the weights at the end) and start the bias at their mean."""
    factor = math.sqrt(rows.shape[1]) / float(rows.norm(dim=-1).mean())
    trainer.activation_scaler.scaling_factor = factor
    with torch.no_grad():
        trainer.sae.b_dec.copy_(rows.mean(0) * factor)


def _new_trainer(ask: TrainAsk, site: Site, model: LoadedModel, schedule: Schedule) -> SAETrainer[Any, Any]:
    steps = max(1, schedule.n_rows // ask.batch)
    # In a short run the threshold has to follow weights that still move: it remembers a tenth of the run, or 100 steps.
    memory = {"topk_threshold_lr": min(0.5, max(0.01, 10 / steps))}
    shared = {"d_in": model.width(site), "d_sae": ask.n_latents, "k": float(ask.k), "device": "cpu", **memory}
    # sae-lens draws the initial weights from the CPU's default generator and takes no other: it is lent our seed and
    # given back as it was. Drawn on the CPU, the weights are the same on every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(ask.seed * 1_000_003 + site.layer)
        if ask.matryoshka_widths and (not ask.matryoshka_points or site.point.value in ask.matryoshka_points):
            sae = LeanMatryoshkaBatchTopK(MatryoshkaBatchTopKTrainingSAEConfig(**shared, matryoshka_widths=list(ask.matryoshka_widths)))
        else:
            sae = LeanBatchTopK(BatchTopKTrainingSAEConfig(**shared))
    sae.to(model.device)
    metadata = sae.cfg.metadata
    metadata.hook_name = hook_of_site(site)
    metadata.model_name = str(model.id)
    metadata.context_size = ask.context
    metadata.prepend_bos = model.prepends_bos
    config = SAETrainerConfig(
        total_training_samples=schedule.n_rows,
        train_batch_size_samples=ask.batch,
        lr=ask.learning_rate,
        lr_end=ask.learning_rate / 10,
        lr_warm_up_steps=min(50, steps // 10),
        lr_decay_steps=steps // 3,
        autocast=ask.autocast,
        dead_feature_window=max(1, DEAD_AFTER_TOKENS // ask.batch),
        device=model.device,
    )
    return SAETrainer(cfg=config, sae=sae, data_provider=_never())


def _never() -> Iterator[torch.Tensor]:
    raise RuntimeError("Chunks are handed to step(); the trainer does not pull.")
    yield


def _export(trainer: SAETrainer[Any, Any], folder: Path) -> None:
    sae = trainer.sae
    # The threshold is a running mean that began at 0: after few steps it would lie far too low, and many latents too many fire.
    sae.topk_threshold /= 1 - (1 - sae.cfg.topk_threshold_lr) ** trainer.n_training_steps
    factor = trainer.activation_scaler.scaling_factor
    if factor is not None:
        sae.fold_activation_norm_scaling_factor(factor)
    trainer.set_final_sae_metadata()
    scratch = folder.with_name(folder.name + ".writing")
    shutil.rmtree(scratch, ignore_errors=True)
    sae.save_inference_model(scratch)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def _claim(file: Path, facts: dict[str, Any]) -> None:
    """Write down what a run depends on, or refuse to go on with something else."""
    now = json.loads(json.dumps(facts))
    if not file.is_file():
        scratch = file.with_suffix(".writing")
        scratch.write_text(json.dumps(now, indent=1, sort_keys=True))
        scratch.rename(file)
        return
    before = json.loads(file.read_text())
    if changed := [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]:
        raise RunMismatch(f"{file.parent} holds a run on other terms ({', '.join(changed)}). Restore them to resume, or use another --out.")


def _generator(seed: int, part: int, trainer_salt: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + part) * 2 + trainer_salt)
