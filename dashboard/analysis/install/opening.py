"""Opening an installation: its model, prepared if necessary, and every installed SAE."""

from collections.abc import Callable

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.model.bridge import load_model
from dashboard.analysis.model.sources import admit_model, look_at, prepare_model
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings


def open_runner(settings: Settings, say: Callable[[str], None], catalog: Catalog | None = None) -> LocalRunner:
    """A runner in this thread.

    Raises:
        ModelUnavailable, HubRefused, DeviceUnavailable: if the model cannot be had or run.
    """
    path, name = prepare_model(settings, say), chosen_model(settings)
    admit_model(look_at(path, name), settings)
    say("Loading the model ...")
    model = load_model(path, name, settings)
    return LocalRunner(model, catalog or read_catalog(settings), settings.cache, settings.sae_memory)


def open_engine(settings: Settings, say: Callable[[str], None], catalog: Catalog) -> Engine:
    """An engine that opens its runner at the first job, and again at the next one if that failed.

    `say` hears what it is doing until it is open, then an empty line.
    """

    def load() -> LocalRunner:
        runner = open_runner(settings, say, catalog)
        say("")
        return runner

    return Engine(load)
