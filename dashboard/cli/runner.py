"""How a command opens the runner that it asks."""

from enum import StrEnum
from pathlib import Path
from typing import Any

from dashboard.analysis.settings import get_settings
from dashboard.cli.output import say


class Dtype(StrEnum):
    """Number formats that the model can run in."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


def open_default_runner(dtype: str | None = None, folder: Path | None = None) -> Any:
    """A LocalRunner on the default model; `folder` is one more SAE that it knows."""
    from dashboard.analysis.install.opening import open_runner
    from dashboard.analysis.roster.models import settings_of_first
    from dashboard.analysis.sae.catalog import Catalog, folder_spec, read_catalog

    settings = settings_of_first(get_settings())
    if dtype is not None:
        settings = settings.model_copy(update={"dtype": dtype})
    catalog = read_catalog(settings)
    if folder is not None:
        own = folder_spec(folder)
        catalog = Catalog((own, *(spec for spec in catalog.specs if spec.id != own.id)), catalog.broken)
    return open_runner(settings, say, catalog)
