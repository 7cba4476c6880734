"""Which model the settings choose: by name only, nothing is looked up."""

import re
from pathlib import Path

from dashboard.analysis.errors import BadName, ModelUnavailable
from dashboard.analysis.names import ModelId
from dashboard.analysis.settings import Settings

DEFAULT_MODEL = ModelId("HuggingFaceTB/SmolLM2-135M-Instruct")
DEFAULT_RELEASE = "smollm2-135m"
"""The SAEs that ship."""
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@\S+)?")


def chosen_folder(settings: Settings) -> Path | None:
    """The folder that LATENTS_MODEL names; None for the default model and for one that has a name on the hub.

    Raises:
        ModelUnavailable: if it is written like a folder and is none.
    """
    folder = Path(settings.model).expanduser()
    if settings.model and folder.is_dir():
        return folder.absolute()
    if settings.model.startswith(("/", ".", "~")):
        raise ModelUnavailable(f"LATENTS_MODEL={settings.model} is not a folder. Correct it, or give a Hugging Face name.")
    return None


def chosen_model(settings: Settings) -> ModelId:
    """The name of the model that the settings choose. A folder has its own name, one of the hub's cache its repository's.

    Raises:
        ModelUnavailable, BadName: if LATENTS_MODEL is neither a folder nor a name.
    """
    if not settings.model:
        return DEFAULT_MODEL
    folder = chosen_folder(settings)
    if folder is None:
        if not _HUB_NAME.fullmatch(settings.model):
            raise BadName("a model", settings.model, "OWNER/NAME, OWNER/NAME@REVISION or a folder that is there")
        return ModelId.parse(settings.model)
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return ModelId(folder.parent.parent.name.removeprefix("models--").replace("--", "/"))
    return ModelId(folder.name)
