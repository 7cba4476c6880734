"""Whether two names mean one model: with or without owner, in the older spellings of SAE releases, base or chat."""

import re
from enum import StrEnum

from dashboard.analysis.names import ModelId

_SPELLINGS = {"gpt2-small": "gpt2", "mistral-7b": "mistral-7b-v0.1"}
_BASE = re.compile(r"-(pt|base|hf)$")
_CHAT = re.compile(r"-(it|instruct|chat)$")


class Kinship(StrEnum):
    """What the model that an SAE was made for is to the model that is loaded."""

    SAME = "same"
    TWIN = "twin"
    """One is the chat model of the other: an SAE may be used on it, and rebuilds it less well."""
    UNKNOWN = "unknown"
    """A folder whose name says nothing, or an SAE whose record names no model."""
    OTHER = "other"


def kinship(made_for: ModelId | None, loaded: ModelId) -> Kinship:
    """How the two are related, as far as their names say."""
    if made_for is None:
        return Kinship.UNKNOWN
    wanted, there = _plain(made_for), _plain(loaded)
    if wanted == there:
        return Kinship.SAME
    if _CHAT.sub("", wanted) == _CHAT.sub("", there):
        return Kinship.TWIN
    # The name of a folder is whatever somebody called it.
    return Kinship.OTHER if "/" in loaded.repo else Kinship.UNKNOWN


def caution(made_for: ModelId | None, loaded: ModelId) -> str | None:
    """What a reader must know before believing an SAE on a model that it was not trained on; None if there is nothing."""
    match kinship(made_for, loaded):
        case Kinship.TWIN:
            return f"trained on {made_for}, used on {loaded}: it rebuilds this model less well, so look at the measured FVU."
        case Kinship.UNKNOWN if made_for is not None:
            return f"trained on {made_for}; whether the folder {loaded} is that model is not known, so look at the measured FVU."
        case _:
            return None


_OWNERS = {"gemma": "google", "gpt2": "openai-community", "pythia": "EleutherAI", "qwen": "Qwen", "mistral": "mistralai"}


def hub_name(model: ModelId) -> str:
    """The hub's name of a model that a release names in an older spelling: `gemma-2-2b` -> `google/gemma-2-2b`; others as they are."""
    if "/" in model.repo:
        return str(model)
    name = _SPELLINGS.get(model.repo.lower(), model.repo)
    owner = next((owner for start, owner in _OWNERS.items() if name.lower().startswith(start)), None)
    return name if owner is None else f"{owner}/{name}"


def _plain(model: ModelId) -> str:
    name = model.repo.rpartition("/")[2].lower().removeprefix("meta-")
    return _BASE.sub("", _SPELLINGS.get(name, name))
