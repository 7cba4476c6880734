"""A runner with a cache of its own, in which a lens may be kept."""

from pathlib import Path

import pytest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings


@pytest.fixture
def runner(tiny_model: LoadedModel, tiny_settings: Settings, tmp_path: Path) -> LocalRunner:
    return LocalRunner(tiny_model, read_catalog(tiny_settings, assets=tmp_path), tmp_path)
