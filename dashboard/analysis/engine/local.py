"""LocalRunner: answers in the caller's thread. One thread at a time may use it; the Engine sees to that."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from sae_lens import SAE

from dashboard.analysis.asks.ask import AnyAsk, Ask, StreamAsk
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.engine.handlers import HANDLERS, Handler
from dashboard.analysis.engine.placing import Placing
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.matcher import Matcher
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.system.memory import release
from dashboard.analysis.system.room import admit
from dashboard.analysis.tokens import Prompt, TokenizedPrompt

A = TypeVar("A")
T = TypeVar("T")


class LocalRunner:
    """A model, the SAEs of a catalogue (loaded when first asked for), and a `Runner` that answers with them."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path, sae_memory: int | None = None) -> None:
        self.model, self.shelf = model, Shelf(model, catalog, cache, sae_memory)
        self._cache = cache
        self._workspace = self._with(catalog)

    @property
    def catalog(self) -> Catalog:
        """The SAEs that can be asked about."""
        return self._workspace.catalog

    @property
    def matcher(self) -> Matcher:
        """What finds counterparts of latents, and says how far it is."""
        return self._workspace.matcher

    @property
    def cautions(self) -> Mapping[SaeId, str]:
        """Of the SAEs that were used, what a reader must know before believing them."""
        return self.shelf.cautions

    def sae(self, sae: SaeId) -> SAE:
        """The SAE itself, checked against the model; see `Shelf.take`."""
        return self.shelf.take(sae)

    def tokens(self, prompt: Prompt) -> TokenizedPrompt:
        """The prompt as the model reads it."""
        return self._workspace.tokens(prompt)

    def mean_norm(self, site: Site) -> float:
        """See `Placing.mean_norm`."""
        return self._workspace.placing.mean_norm(site)

    def release_memory(self) -> None:
        """Page out every dictionary that no job holds, and give back what nothing holds."""
        self.shelf.put_away()
        release()

    def renew(self, catalog: Catalog) -> None:
        """Answer for the SAEs of another catalogue from now on; those that are loaded stay."""
        self.shelf.renew(catalog)
        self._workspace = replace(self._with(catalog), decoders=self._workspace.decoders)

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        model = self.model
        dtype = str(model.dtype).removeprefix("torch.") + ("" if model.quantize == "none" else f", {model.quantize}")
        return ModelCard(model.id, model.path, model.device, dtype, model.n_layers, model.d_model, model.max_tokens)

    def ask(self, ask: Ask[A]) -> A:
        """See `Runner.ask`.

        Raises:
            OutOfMemory: with both numbers, before anything is allocated.
        """
        return self._admitted(ask).answer(self._workspace, ask)

    def stream(self, ask: StreamAsk[A]) -> Iterator[A]:
        """See `Runner.stream`."""
        for turn in self.turns(ask):
            yield from turn

    def turns(self, ask: StreamAsk[A], lane: int = 0) -> Iterator[tuple[A, ...]]:
        """The same, what comes with one turn of the model at a time: sometimes nothing. One lane shares passes of the model."""
        yield from self._admitted(ask).answer(replace(self._workspace, lane=lane), ask)

    def work(self, steps: Callable[["LocalRunner"], Iterator[T]], priority: int = 0) -> Generator[T, None, None]:
        """Work that needs the model itself and is no ask; whoever else waits has no turn here."""
        del priority
        yield from steps(self)

    def _admitted(self, ask: AnyAsk) -> Handler:
        handler: Handler = HANDLERS[type(ask)]
        admit(handler.cost_bytes(self._workspace, ask), self.model.device)
        return handler

    def _with(self, catalog: Catalog) -> Workspace:
        matcher = Matcher(self.model, catalog, self._cache, self.shelf.decoder)
        return Workspace(self.model, catalog, self.shelf, matcher, Placing(self.model, catalog, self.shelf), self._cache)
