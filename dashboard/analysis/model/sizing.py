"""How large a model is, before a weight of it is fetched or read; and whether it fits.

Of a model that is here the headers are read. Of one on the hub its configuration is fetched, which says its parameters, and the hub
says the bytes of its files. Where transformers can make no model of the configuration, its parameters are these bytes by the number
format that it names.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.analysis.model.bridge import choose_device, choose_dtype
from dashboard.analysis.model.prepare import GGUF_BYTES
from dashboard.analysis.model.sources import cached_folder, look_at
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.settings import Settings
from dashboard.analysis.system.hub import hub_file, hub_or_cache, hub_sizes
from dashboard.analysis.system.memory import free_bytes
from dashboard.analysis.system.room import SHARE, model_bytes, parameters_of_config

_STORED = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class ModelSize:
    """A model's bytes and what there is for them. None is not known."""

    model: ModelId
    is_here: bool
    architecture: str | None
    n_parameters: int | None
    is_exact: bool
    """False where the parameters are only known from the bytes of its files."""
    download_bytes: int
    """0 for a model that is here."""
    disk_free_bytes: int
    """Where the download would go."""
    weight_bytes: int | None
    """In `dtype`."""
    dtype: str
    device: str
    free_bytes: int

    @property
    def fits(self) -> bool | None:
        """Whether its weights fit beside what is loaded now."""
        return None if self.weight_bytes is None else self.weight_bytes <= self.free_bytes * SHARE

    def in_words(self) -> str:
        """All of it in a sentence or two, for people."""
        said = f"{self.model}, {self.architecture or 'architecture not known'}: "
        if self.n_parameters is None or self.weight_bytes is None:
            said += "its size is not known before it is fetched"
        else:
            said += f"{'' if self.is_exact else 'about '}{self.n_parameters / 1e6:,.1f} million parameters, {_mib(self.weight_bytes)} in "
            said += f"{self.dtype}; {self.device} has {_mib(self.free_bytes)} free: it {'fits' if self.fits else 'does not fit'}"
        if self.download_bytes:
            said += f". To be fetched: {_mib(self.download_bytes)}; the disk has {_mib(self.disk_free_bytes)} free"
        return f"{said}."


def size_of(settings: Settings) -> ModelSize:
    """The size of the model that the settings name.

    Raises:
        ModelUnavailable: if it is here and cannot be run.
        HubRefused: if it is neither here nor to be looked up.
        DeviceUnavailable: if the settings name a device that is not here.
    """
    model, folder = chosen_model(settings), cached_folder(settings)
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    architecture, n_parameters, is_exact, download = None, None, True, 0
    if folder is not None and any(folder.glob("*.safetensors")):
        facts = look_at(folder, model)
        architecture, n_parameters = facts.architecture, facts.n_parameters
    elif not settings.model:
        download = GGUF_BYTES
    else:
        with hub_or_cache():
            sizes = hub_sizes(model.repo, model.revision)
            file = hub_file(model.repo, "config.json", model.revision)
        config = _config(file)
        named = config.get("architectures")
        architecture = str(named[0]) if isinstance(named, list) and named else None
        download = sum(size or 0 for name, size in sizes.items() if _is_weights(name))
        n_parameters, is_exact = _parameters(file, config, download)
    place = _place(settings)
    weight = None if n_parameters is None else model_bytes(n_parameters, dtype, settings.quantize)
    return ModelSize(
        model, not download and n_parameters is not None, architecture, n_parameters, is_exact, download,
        shutil.disk_usage(place).free, weight, str(dtype).removeprefix("torch."), device, free_bytes(device),
    )  # fmt: skip


def _parameters(file: Path, config: dict[str, Any], download: int) -> tuple[int | None, bool]:
    """Parameters, and whether that is exact."""
    try:
        return parameters_of_config(file.parent), True
    except ValueError:
        stored = _STORED.get(_dtype_of(config) or "")
        return (download // stored if stored and download else None), False


def _config(file: Path) -> dict[str, Any]:
    """A configuration; one that cannot be read says nothing."""
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _dtype_of(config: dict[str, Any]) -> str | None:
    """The number format that a configuration names; that of a model of text and images stands with its text part."""
    inner = config.get("text_config")
    parts = (config, inner if isinstance(inner, dict) else {})
    return next((str(part[key]) for part in parts for key in ("dtype", "torch_dtype") if part.get(key)), None)


def _is_weights(name: str) -> bool:
    return "/" not in name and name.endswith(".safetensors") and not name.startswith("consolidated")


def _place(settings: Settings) -> Path:
    from huggingface_hub import constants

    wanted = Path(constants.HF_HUB_CACHE) if settings.model else settings.cache
    return next(folder for folder in (wanted, *wanted.parents) if folder.exists())


def _mib(n: int) -> str:
    return f"{n / 2**20:,.0f} MiB"
