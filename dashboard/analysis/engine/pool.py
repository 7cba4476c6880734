"""One model a device: the engine of the model that was chosen last. Another one takes its place once it has nothing to do."""

import threading
import time
from collections.abc import Callable, Sequence

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.errors import ModelBusy, ModelNotLoaded
from dashboard.analysis.roster.models import Choice

_PATIENCE_S = 3.0
"""How long a page's own question may take before it counts as work."""
_POLL_S = 0.05


class EnginePool:
    """Holds one engine. Any thread may ask."""

    def __init__(self, jobs: Callable[[], Sequence[str]], patience_s: float = _PATIENCE_S) -> None:
        """`jobs` says what is being done in the background, in a few words each."""
        self._jobs, self._patience_s = jobs, patience_s
        self._lock = threading.Lock()
        self._held: tuple[Choice, Engine] | None = None

    @property
    def loaded(self) -> Choice | None:
        """The model that was chosen last."""
        held = self._held
        return held[0] if held else None

    def engine(self, choice: Choice) -> Engine:
        """The engine of a model.

        Raises:
            ModelNotLoaded: if another one was chosen since, or its reading settings changed.
        """
        held = self._held
        if held is None or held[0] != choice:
            raise ModelNotLoaded(str(choice), str(held[0]) if held else None)
        return held[1]

    def choose(self, choice: Choice, open: Callable[[], Engine]) -> Engine:
        """The engine of a model, opened now if necessary; the one before is closed first, and its memory free.

        Raises:
            ModelBusy: if the one before is at work.
        """
        with self._lock:
            held = self._held
            if held is not None:
                if held[0] == choice:
                    return held[1]
                self._see_that_it_is_idle(*held, wanted=choice)
                self._held = None
                held[1].close()
            engine = open()
            self._held = choice, engine
            return engine

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            held[1].close()

    def _see_that_it_is_idle(self, loaded: Choice, engine: Engine, wanted: Choice) -> None:
        until = time.monotonic() + self._patience_s
        while not engine.is_idle and not self._jobs() and time.monotonic() < until:
            time.sleep(_POLL_S)
        if doing := [*self._jobs()]:
            raise ModelBusy(str(loaded), str(wanted), doing)
        if not engine.is_idle:
            raise ModelBusy(str(loaded), str(wanted), ["answering a page, or being loaded"])
