"""How a command opens the runner that it asks."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from dashboard.analysis.settings import get_settings
from dashboard.cli.output import say


class Dtype(StrEnum):
    """Number formats that the model can run in."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


def open_default_runner(dtype: str | None = None, saes: Sequence[str] = ()) -> Any:
    """A LocalRunner on the default model; it also knows the folder of an SAE that is among the names `saes`."""
    from dashboard.analysis.install.opening import open_runner
    from dashboard.analysis.roster.models import settings_of_first
    from dashboard.analysis.sae.catalog import read_catalog
    from dashboard.analysis.sae.resolving import with_folders

    settings = settings_of_first(get_settings())
    if dtype is not None:
        settings = settings.model_copy(update={"dtype": dtype})
    return open_runner(settings, say, with_folders(read_catalog(settings), saes))
