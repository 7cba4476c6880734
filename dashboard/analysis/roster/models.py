"""The models of one installation: the one that the settings choose, the default one, and those that were prepared or opened here.

What is remembered is how to name a model again and how texts are read with it, and the folders of SAEs that were brought. Nothing
of it is looked at or loaded. It is `brought.json` in the cache.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from filelock import FileLock

from dashboard.analysis.errors import AnalysisError, BadAsk, CacheUnwritable, UnknownModel
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.chosen import chosen_folder, chosen_model
from dashboard.analysis.settings import Dtype, Settings

_FILE = "brought.json"


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen."""

    id: ModelId
    given: str
    """As LATENTS_MODEL takes it: a name, a folder, or nothing for the default model."""
    bos: bool
    """Texts begin with its BOS token."""
    dtype: Dtype

    def __str__(self) -> str:
        return str(self.id)

    def settings(self, own: Settings) -> Settings:
        """The settings of the installation with this model chosen."""
        return own.model_copy(update={"model": self.given, "bos": self.bos, "dtype": self.dtype})


def choices(settings: Settings) -> tuple[Choice, ...]:
    """Every model of the installation, that of the settings first. A folder that has gone is left out.

    Raises:
        ModelUnavailable, BadName: if LATENTS_MODEL is neither a folder nor a name.
    """
    kept = _read(settings)
    entries = [{"given": settings.model}, {"given": ""}, *({"given": given} for given in kept["models"])]
    found: dict[ModelId, Choice] = {}
    for entry in entries:
        given = entry["given"]
        try:
            id = chosen_model(settings.model_copy(update={"model": given}))
        except AnalysisError:
            if given == settings.model:
                raise
            continue
        how = kept["models"].get(given, {})
        said = settings.model_fields_set if given == settings.model else frozenset[str]()
        bos = settings.bos if "bos" in said else bool(how.get("bos", settings.bos))
        dtype = settings.dtype if "dtype" in said or how.get("dtype") not in get_args(Dtype) else cast(Dtype, how["dtype"])
        found.setdefault(id, Choice(id, given, bos, dtype))
    return tuple(found.values())


def find_choice(name: str, settings: Settings) -> Choice:
    """The model of that name.

    Raises:
        UnknownModel: naming those that there are.
    """
    known = choices(settings)
    for choice in known:
        if str(choice) == name:
            return choice
    raise UnknownModel(name, [str(choice) for choice in known])


def remember_model(given: str, settings: Settings, *, bos: bool | None = None, dtype: Dtype | None = None) -> Choice:
    """Have a model among the choices from now on; what is said of how it is read replaces what was.

    Raises:
        BadAsk: if another folder of the same name is among them.
        ModelUnavailable, BadName: if it is neither a folder nor a name.
    """
    own = settings.model_copy(update={"model": given})
    id, folder = chosen_model(own), chosen_folder(own)
    given = given if folder is None else str(folder)
    for other in choices(settings):
        if other.id == id and other.given != given and "/" not in id.repo:
            raise BadAsk(f"Another model is called {id}: {other.given}. Rename one of the two folders.")

    def change(kept: dict[str, Any]) -> None:
        how = {name: value for name, value in (("bos", bos), ("dtype", dtype)) if value is not None}
        kept["models"][given] = {**kept["models"].get(given, {}), **how}

    _change(settings, change)
    return find_choice(str(id), settings)


def settings_of_first(settings: Settings) -> Settings:
    """The settings with the model that they choose read as pages read it.

    Raises:
        ModelUnavailable, BadName: if LATENTS_MODEL is neither a folder nor a name.
    """
    return choices(settings)[0].settings(settings)


def brought_folders(settings: Settings) -> tuple[Path, ...]:
    """Folders of releases that were brought and are still there."""
    return tuple(Path(folder) for folder in _read(settings)["sae_folders"] if Path(folder).is_dir())


def remember_saes(folder: Path, settings: Settings) -> None:
    """Look for SAEs in this folder of releases from now on."""

    def change(kept: dict[str, Any]) -> None:
        kept["sae_folders"] = list(dict.fromkeys([*kept["sae_folders"], str(folder.expanduser().absolute())]))

    _change(settings, change)


def _change(settings: Settings, change: Callable[[dict[str, Any]], None]) -> None:
    file = settings.cache / _FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            kept = _read(settings)
            change(kept)
            scratch = file.with_suffix(".writing")
            scratch.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
            scratch.replace(file)
    except OSError as error:
        raise CacheUnwritable(settings.cache, error) from error


def _read(settings: Settings) -> dict[str, Any]:
    """What is remembered; a file that is not what it should be remembers nothing."""
    try:
        kept = json.loads((settings.cache / _FILE).read_text())
        models = {str(given): how for given, how in kept["models"].items() if isinstance(how, dict)}
        return {"models": models, "sae_folders": [str(folder) for folder in kept["sae_folders"]]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"models": {}, "sae_folders": []}
