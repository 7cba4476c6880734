"""What answers are made with: a loaded model, the SAEs of a catalogue, and what is worked out about them once."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sae_lens import SAE

from dashboard.analysis.asks.edits import Direction
from dashboard.analysis.engine.placing import Placing
from dashboard.analysis.errors import PromptTooLong, WidthMismatch
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.model.generation import Decoder
from dashboard.analysis.model.orthogonal import without_direction
from dashboard.analysis.names import SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.matcher import Matcher
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


@dataclass(frozen=True)
class Workspace:
    """One thread at a time may use it."""

    model: LoadedModel
    catalog: Catalog
    shelf: Shelf
    matcher: Matcher
    placing: Placing
    cache: Path
    """Folder of what is kept on this machine: fitted lenses."""
    decoders: dict[int, Decoder] = field(default_factory=dict[int, Decoder])
    """By lane: generations of one lane share their passes of the model."""
    lane: int = 0
    """Whose turn it is."""

    @property
    def decoder(self) -> Decoder:
        """The decoder of the lane."""
        return self.decoders.setdefault(self.lane, Decoder(self.model))

    def tokens(self, prompt: Prompt) -> TokenizedPrompt:
        """The prompt as the model reads it."""
        return tokenise(self.model, prompt)

    @contextmanager
    def using(self, name: SaeId) -> Generator[SAE]:
        """An SAE, held on the shelf until the block is left."""
        with self.shelf.holding([name]) as saes:
            yield saes[name]

    def changed(self, without: Direction | None) -> LoadedModel:
        """The model, or a copy of it that cannot write along a direction."""
        return self.model if without is None else without_direction(self.model, self.placing.vector(without))

    def check_length(self, row: Sequence[int]) -> None:
        """Raises: PromptTooLong: with both numbers, if a row of token ids cannot be read after a BOS."""
        if len(row) >= self.model.max_tokens:
            raise PromptTooLong(len(row) + 1, self.model.max_tokens)

    def check_layer(self, site: Site) -> None:
        """Raises: WidthMismatch: with both numbers, if the model has no such layer."""
        if site.layer >= self.model.n_layers:
            raise WidthMismatch(str(site), "layer", site.layer, str(self.model.id), self.model.n_layers)
