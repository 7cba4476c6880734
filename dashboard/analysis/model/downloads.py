"""Fetching a model as a job: in a process of its own, which a cancel ends; what it has fetched by then is kept by the hub's client."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashboard.analysis.errors import ModelUnavailable
from dashboard.analysis.model.sizing import ModelSize

_POLL_S = 0.5


@dataclass(frozen=True)
class Fetched:
    """How much of a model is here."""

    done: int
    """MiB."""
    words: str


def total_of(size: ModelSize) -> int:
    """MiB to fetch, at least 1."""
    return max(1, size.download_bytes >> 20)


def fetch_steps(given: str, size: ModelSize) -> Iterator[Fetched]:
    """Fetch a model, as LATENTS_MODEL takes it, and have it among the choices of this installation.

    Raises:
        ModelUnavailable: with what the process said.
    """
    total = total_of(size)
    with tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, "-m", "dashboard", "model", "prepare", "--", given]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env={**os.environ, "TERM": "dumb", "COLUMNS": "2000"})
        try:
            while process.poll() is None:
                done = min(_present(size.model.repo) >> 20, total - 1)
                yield Fetched(done, f"fetching {size.model}: {done:,} of {total:,} MiB")
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode:
            said.seek(0)
            lines = [line.strip() for line in said.read().splitlines() if line.strip()]
            raise ModelUnavailable(" ".join(lines[-3:]) or f"{size.model} was not fetched (exit status {process.returncode}).")
    yield Fetched(total, f"{size.model} is here")


def _present(repo: str) -> int:
    """Bytes of a repository in the hub's cache, unfinished files included."""
    from huggingface_hub import constants

    total = 0
    for file in (Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs").glob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # renamed meanwhile
            continue
    return total
