"""Is this installation ready? Looks at everything that a start needs and changes nothing."""

import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dashboard.analysis.errors import AnalysisError, DeviceUnavailable
from dashboard.analysis.model.prepare import is_prepared, model_path
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import ASSETS, Settings
from dashboard.analysis.system.files import is_whole_safetensors

_NEEDED_DISK = 1 << 30
_LIBRARIES = ("torch", "transformer-lens", "sae-lens", "transformers", "streamlit", "safetensors", "numpy")


@dataclass(frozen=True)
class Problem:
    """Something that is missing, and what to do."""

    what: str
    cure: str


@dataclass(frozen=True)
class Diagnosis:
    """The state of an installation."""

    python: str
    platform: str
    device: str | None
    dtype: str | None
    model: str
    model_path: str
    """The prepared Hugging Face folder, or where it will be."""
    model_prepared: bool
    saes: int
    cache: str
    disk_free_bytes: int
    versions: dict[str, str]
    problems: tuple[Problem, ...]


def diagnose(settings: Settings, assets: Path = ASSETS) -> Diagnosis:
    """Look at Python, libraries, device, model, SAEs and disk."""
    problems: list[Problem] = []
    versions: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            problems.append(Problem(f"{library} is not installed", "Run `make run`, which installs requirements.txt."))
    device, dtype = _device(settings, problems)
    model, path, prepared = _model(settings, problems)
    catalog = read_catalog(settings, assets)
    problems += [Problem(str(error), f"Restore or remove {error.path}.") for error in catalog.broken.values()]
    for spec in catalog.specs:
        weights = spec.source if spec.is_packed else spec.source / "sae_weights.safetensors"
        if not is_whole_safetensors(weights):
            problems.append(Problem(f"the weights of {spec.id} are damaged or missing", f"Restore {weights}."))
    for folder in settings.sae_folders:
        if not folder.is_dir():
            problems.append(Problem(f"LATENTS_SAE_FOLDERS names {folder}, which is not a folder", "Correct or unset it."))
    if not catalog.specs:
        others = "Find one with `latents sae find`, then `latents open RELEASE/ID`; or train one with `latents sae train`."
        cure = others if settings.model else "Restore assets/saes, or set LATENTS_SAE_FOLDERS."
        problems.append(Problem("no SAE is installed" + (f" for {model}" if settings.model else ""), cure))
    free = shutil.disk_usage(_existing(settings.cache)).free
    if free < _NEEDED_DISK:
        problems.append(
            Problem(f"{free / 2**20:,.0f} MiB of disk are free at {settings.cache}; 1,024 are needed", "Free some, or set LATENTS_CACHE.")
        )
    return Diagnosis(
        python=platform.python_version(),
        platform=platform.platform(),
        device=device,
        dtype=dtype,
        model=model,
        model_path=path,
        model_prepared=prepared,
        saes=len(catalog.specs),
        cache=str(settings.cache),
        disk_free_bytes=free,
        versions=versions,
        problems=tuple(problems),
    )


def _model(settings: Settings, problems: list[Problem]) -> tuple[str, str, bool]:
    """Name and place of the model, and whether it could be loaded as it lies there."""
    from dashboard.analysis.model.sources import cached_folder, look_at

    try:
        model, path = chosen_model(settings), cached_folder(settings)
        if settings.model and path is not None:
            look_at(path, model)
    except AnalysisError as error:
        problems.append(Problem(f"the model {settings.model} cannot be used", str(error)))
        return settings.model, settings.model, False
    place = path or model_path(settings.cache)
    prepared = path is not None if settings.model else is_prepared(settings.cache)
    if not prepared:
        where = "a package index" if not settings.model else "the hub"
        problems.append(
            Problem(
                f"the model {model} is not in {settings.cache if not settings.model else 'the cache of the hub'}",
                f"Run `latents model prepare` once, with {where} in reach.",
            )
        )
    return str(model), str(place), prepared


def _device(settings: Settings, problems: list[Problem]) -> tuple[str | None, str | None]:
    from dashboard.analysis.model.bridge import choose_device, choose_dtype

    try:
        device = choose_device(settings.device)
    except DeviceUnavailable as error:
        problems.append(Problem(f"device {settings.device} is not here", str(error)))
        return None, None
    return device, str(choose_dtype(settings.dtype, device)).removeprefix("torch.")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
