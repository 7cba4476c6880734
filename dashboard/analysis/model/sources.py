"""Any model that TransformerLens' bridge has an adapter for: a name on the hub or a folder, looked at before it is loaded.

Steps: (1) the folder: given, or fetched by name (configuration, tokenizer and safetensors; never pickled weights, never
code); (2) its architecture has an adapter, its weights are whole; (3) their bytes against what the device has free.
"""

import difflib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from dashboard.analysis.errors import HubRefused, ModelTooLarge, ModelUnavailable
from dashboard.analysis.model.bridge import choose_device, choose_dtype, first_line
from dashboard.analysis.model.prepare import is_prepared, model_path, prepare_default_model
from dashboard.analysis.model.weights import is_spread
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.chosen import chosen_folder, chosen_model
from dashboard.analysis.settings import Settings
from dashboard.analysis.system.files import read_json_object, safetensors_shapes
from dashboard.analysis.system.hub import hub_folder, hub_or_cache, hub_sizes
from dashboard.analysis.system.room import fit, model_bytes

_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_UNWANTED = ("*/*", "consolidated*")
"""What lies in subfolders, or a second time in another layout."""
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its folder, before a weight is read."""

    id: ModelId
    path: Path
    architecture: str
    n_parameters: int

    def bytes_in(self, dtype: torch.dtype) -> int:
        """Bytes of the weights in a number format."""
        return self.n_parameters * dtype.itemsize


def prepare_model(settings: Settings, say: Callable[[str], None]) -> Path:
    """The folder of the model that the settings name, fetched now if it is not here.

    Raises:
        ModelUnavailable: if it cannot be had, or the bridge cannot run it.
        HubRefused: if it is gated, or neither in the cache nor to be fetched.
    """
    if not settings.model:
        return prepare_default_model(settings.cache, say)
    path = chosen_folder(settings)
    if path is None:
        with hub_or_cache():
            path = _fetch(chosen_model(settings), say)
    look_at(path, chosen_model(settings))
    return path


def cached_folder(settings: Settings) -> Path | None:
    """Where the chosen model lies, without fetching anything; None if it is not here.

    Raises:
        ModelUnavailable: if the settings name a folder that is none.
    """
    if not settings.model:
        return model_path(settings.cache) if is_prepared(settings.cache) else None
    if folder := chosen_folder(settings):
        return folder
    from huggingface_hub import try_to_load_from_cache

    model = chosen_model(settings)
    found = try_to_load_from_cache(model.repo, "config.json", revision=model.revision)
    return Path(found).parent if isinstance(found, str) else None


def look_at(path: Path, model: ModelId) -> ModelFacts:
    """Look at a model's folder. Reads JSON and headers only.

    Raises:
        ModelUnavailable: if it has no adapter, lacks something, or has only pickled weights.
    """
    config = _read_json(path / "config.json", model)
    architecture = _architecture(config, model)
    files = _weights(path, model)
    if not (path / "tokenizer.json").is_file() and not (path / "tokenizer_config.json").is_file():
        raise ModelUnavailable(f"{model}: {path} has no tokenizer.json. Save the model's tokenizer beside its weights.")
    try:
        shapes = [shape for file in files for shape in safetensors_shapes(file).values()]
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{model} is damaged: {error}. Copy or download it again.") from error
    n_parameters = sum(map(prod, shapes))
    if not config.get("quantization_config"):
        _check_config(path, config, model, len(shapes), n_parameters)
    return ModelFacts(model, path, architecture, n_parameters)


def admit_model(facts: ModelFacts, settings: Settings) -> None:
    """Let a model be loaded, or refuse it before a byte of it is.

    Raises:
        ModelTooLarge: with both numbers, and what fits.
        DeviceUnavailable: if the settings name a device that is not here.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    needed = model_bytes(facts.n_parameters, dtype, settings.quantize)
    room = fit(needed, "cuda:all" if is_spread(settings, device) else device)
    if room.fits:
        return
    free, name = room.free_bytes, str(dtype).removeprefix("torch.")
    if settings.quantize != "none":
        fits = "Choose a smaller one, or devices with more memory."
        raise ModelTooLarge(str(facts.id), needed, free, room.device, settings.quantize, fits)
    most = free // torch.bfloat16.itemsize
    fits = f"About {most / 1e6:,.0f} million parameters fit in bfloat16; this model has {facts.n_parameters / 1e6:,.0f}. "
    if facts.bytes_in(torch.bfloat16) <= free:
        fits += "Set LATENTS_DTYPE=bfloat16."
    else:
        smaller = next((kind for kind in ("8bit", "4bit") if model_bytes(facts.n_parameters, dtype, kind) <= free), None)
        fits += f"Set LATENTS_QUANTIZE={smaller}, or choose" if smaller else "Choose"
        fits += " a smaller one, or a device with more memory."
    raise ModelTooLarge(str(facts.id), needed, free, device, name, fits)


def _fetch(model: ModelId, say: Callable[[str], None]) -> Path:
    try:
        sizes = hub_sizes(model.repo, model.revision)
    except HubRefused as error:
        # Sizes are a courtesy: what is in the cache loads without the hub, and its own refusal says more.
        say(f"{error}\nLooking in the cache ...")
        return hub_folder(model.repo, model.revision, _WANTED, _UNWANTED)
    names = [name for name in sizes if "/" not in name]
    if not any(name.endswith(".safetensors") for name in names):
        _refuse_pickle(names, model, model.repo)
    wanted = sum(sizes[name] or 0 for name in names if Path(name).match("*.safetensors") and not name.startswith("consolidated"))
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists())).free
    say(f"Fetching {model}: {wanted / 2**20:,.0f} MiB of weights into {place} ({free / 2**20:,.0f} MiB free), unless they are there ...")
    folder = hub_folder(model.repo, model.revision, _WANTED, _UNWANTED)
    if not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(
            f"{model}: the hub gave no safetensors. {free / 2**20:,.0f} MiB of disk are free, {wanted / 2**20:,.0f} are needed."
        )
    return folder


def _architecture(config: dict[str, Any], model: ModelId) -> str:
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        nearest = _nearest(kind, CONFIG_MAPPING.keys())
        code = " It would have to run code of its own (auto_map), which is never done." if config.get("auto_map") else ""
        raise ModelUnavailable(f"{model} is of the type {kind[:60]!r}, which transformers does not know.{code} {nearest}")
    named = config.get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []
    as_causal = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind, "")
    if supported := [
        name
        for name in architectures
        if name in SUPPORTED_ARCHITECTURES and name in (as_causal if isinstance(as_causal, tuple) else (as_causal,))
    ]:
        return supported[0]
    given = ", ".join(architectures)[:120] or "no architecture"
    possible = [name for name in SUPPORTED_ARCHITECTURES if name.endswith(("ForCausalLM", "LMHeadModel"))]
    raise ModelUnavailable(
        f"{model} is {given}; a causal language model with an adapter in TransformerLens' bridge is needed "
        f"({len(possible)} architectures). {_nearest(given, possible)}"
    )


_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def _check_config(path: Path, config: dict[str, Any], model: ModelId, n_tensors: int, n_parameters: int) -> None:
    """Refuse a configuration of a model that is larger than its files: what they lack would be made up, and fill the memory."""
    from transformers import AutoConfig, AutoModelForCausalLM

    inner = config.get("text_config")
    for name, depth in {**config, **(inner if isinstance(inner, dict) else {})}.items():
        if name in _DEPTHS and not (isinstance(depth, int) and 0 < depth <= n_tensors):
            raise ModelUnavailable(
                f"{model} is inconsistent: config.json says {name} {str(depth)[:20]}, its files hold {n_tensors} tensors. "
                "Copy or download it again."
            )
    try:
        read = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(read, trust_remote_code=False)
    except Exception as error:  # transformers lets every check's own exception through; each means the file makes no sense
        raise ModelUnavailable(
            f"{model}: its config.json does not describe a usable model ({first_line(error)}). Copy or download it again."
        ) from error
    wanted = sum(one.numel() for one in empty.parameters())
    if wanted > n_parameters:
        raise ModelUnavailable(
            f"{model}: config.json describes {wanted:,} parameters, its files hold {n_parameters:,}. Copy or download it again."
        )


def _nearest(given: str, possible: Any) -> str:
    close = difflib.get_close_matches(given, list(possible), 4, 0.2) or list(possible)[:4]
    return f"Nearest that work: {', '.join(close)}."


def _weights(path: Path, model: ModelId) -> list[Path]:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        named = _read_json(index, model).get("weight_map")
        if not isinstance(named, dict):
            raise ModelUnavailable(f"{model}: {index.name} names no files. Copy or download it again.")
        names = sorted(set(map(str, named.values())))
        if strange := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
            raise ModelUnavailable(
                f"{model}: {index.name} names {strange[0][:80]!r}, which is not a weights file beside it. Copy or download it again."
            )
        files = [path / name for name in names]
        if missing := [file.name for file in files if not file.is_file()]:
            raise ModelUnavailable(
                f"{model}: {len(missing)} of {len(files)} weight files are missing, first {missing[0]}. Download it again."
            )
        return files
    files = sorted(file for file in path.glob("*.safetensors") if not file.name.startswith("consolidated"))
    if not files:
        _refuse_pickle([file.name for file in path.iterdir()], model, str(path))
    return files


def _refuse_pickle(names: list[str], model: ModelId, place: str) -> None:
    pickled = sorted(name for name in names if name.endswith(_PICKLED))
    if pickled:
        raise ModelUnavailable(
            f"{model} has only pickled weights ({pickled[0]}): pickles can run arbitrary code, so they are not loaded. "
            "Convert them to safetensors, or choose a copy of the model that has them."
        )
    raise ModelUnavailable(f"{model}: {place} holds 0 files of weights (*.safetensors). Name a model's own folder or repository.")


def _read_json(file: Path, model: ModelId) -> dict[str, Any]:
    try:
        return read_json_object(file)
    except ValueError as error:
        raise ModelUnavailable(f"{model}: {error}. It must be a model's folder.") from error
