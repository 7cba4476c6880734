"""Checkpoints of a training run: the state of every trainer after a chunk, as safetensors and JSON.

sae-lens writes its trainer's state with pickle; this is the same state without it. A checkpoint is written beside the
last one and renamed into place, so there is always a whole one. It does not know what a chunk is.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sae_lens import SAETrainer
from safetensors.torch import load_file, save_file

from dashboard.analysis.names import Site


def _checkpoint(run: Path, chunk: int) -> Path:
    return run / f"checkpoint-{chunk:06d}"


def save_checkpoint(run: Path, chunk: int, trainers: Mapping[Site, SAETrainer[Any, Any]]) -> None:
    """Write the state after `chunk` chunks, rename it into place, then drop the one before."""
    target = _checkpoint(run, chunk)
    scratch = target.with_name(target.name + ".writing")
    shutil.rmtree(scratch, ignore_errors=True)
    for site, trainer in trainers.items():
        tensors, numbers = _state(trainer)
        folder = scratch / str(site)
        folder.mkdir(parents=True)
        save_file(tensors, folder / "state.safetensors")
        (folder / "state.json").write_text(json.dumps(numbers))
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    drop_checkpoints(run, but=target)


def drop_checkpoints(run: Path, but: Path | None = None) -> None:
    """Remove every checkpoint of a run, or all but one."""
    for old in run.glob("checkpoint-*"):
        if old != but:
            shutil.rmtree(old, ignore_errors=True)


def resume(run: Path, trainers: Mapping[Site, SAETrainer[Any, Any]]) -> int:
    """Load the newest whole checkpoint and return the chunk to go on with; log lines after it are dropped."""
    whole = sorted(path for path in run.glob("checkpoint-*") if path.suffix != ".writing")
    chunk = int(whole[-1].name.removeprefix("checkpoint-")) if whole else 0
    if whole:
        for site, trainer in trainers.items():
            folder = whole[-1] / str(site)
            _restore(trainer, load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text()))
    log = run / "metrics.jsonl"
    if log.is_file():
        log.write_text("".join(f"{line}\n" for line in read_log_lines(log) if json.loads(line)["chunk"] < chunk))
    return chunk


def read_log_lines(log: Path) -> list[str]:
    """The complete lines of a metrics file; one that is just being written is left out."""
    text = log.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


def _state(trainer: SAETrainer[Any, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    optimizer = trainer.optimizer.state_dict()
    for index, state in optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors["act_freq_scores"] = trainer.act_freq_scores
    tensors["n_forward_passes_since_fired"] = trainer.n_forward_passes_since_fired
    numbers = {
        "n_training_steps": trainer.n_training_steps,
        "n_training_samples": trainer.n_training_samples,
        "n_frac_active_samples": trainer.n_frac_active_samples,
        "scaling_factor": trainer.activation_scaler.scaling_factor,
        "param_groups": optimizer["param_groups"],
        "lr_scheduler": trainer.lr_scheduler.state_dict(),
    }
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}, numbers


def _restore(trainer: SAETrainer[Any, Any], tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]) -> None:
    device = trainer.cfg.device
    trainer.sae.load_state_dict({name[4:]: value.to(device) for name, value in tensors.items() if name.startswith("sae.")})
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            states.setdefault(int(index), {})[key] = value
    trainer.optimizer.load_state_dict({"state": states, "param_groups": numbers["param_groups"]})
    trainer.lr_scheduler.load_state_dict(numbers["lr_scheduler"])
    trainer.act_freq_scores = tensors["act_freq_scores"].to(device)
    trainer.n_forward_passes_since_fired = tensors["n_forward_passes_since_fired"].to(device)
    trainer.n_training_steps = numbers["n_training_steps"]
    trainer.n_training_samples = numbers["n_training_samples"]
    trainer.n_frac_active_samples = numbers["n_frac_active_samples"]
    trainer.activation_scaler.scaling_factor = numbers["scaling_factor"]
