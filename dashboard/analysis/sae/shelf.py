"""The dictionaries that are in memory: paged in when they are wanted, out by use, within a budget of bytes.

Rules: (1) what was used longest ago goes first; (2) what a job holds stays, as long as it holds it; (3) a dictionary larger
than the budget is refused; (4) while jobs hold others, one more may come in although it does not fit beside them, so the
budget is never exceeded by more than one dictionary; (5) a device that has less free than the budget leaves is a smaller one.
Where only decoder rows are wanted, they are read from the file, and no dictionary is loaded.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from sae_lens import SAE

from dashboard.analysis.errors import BrokenSaeFile, OutOfMemory, ShelfTooSmall
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.sae.loading import check_fits, load_sae
from dashboard.analysis.sae.rows import DecoderRows, bytes_in_memory, can_map, read_decoder, read_rows
from dashboard.analysis.system.memory import is_out_of_memory, refusal
from dashboard.analysis.system.room import dictionaries_that_fit, fit, shelf_budget

log = logging.getLogger(__name__)


class Shelf:
    """The dictionaries of one loaded model. One thread at a time may use it."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path, budget_bytes: int | None = None) -> None:
        self._model, self._catalog, self._cache = model, catalog, cache
        self.budget_bytes = shelf_budget(model.device, budget_bytes)
        """What they may take together."""
        self.cautions: dict[SaeId, str] = {}
        """Of the SAEs that were used, what a reader must know before believing them."""
        self.n_loaded = 0
        """How often one was paged in."""
        self._here: OrderedDict[SaeId, SAE] = OrderedDict()
        """Used longest ago first."""
        self._bytes: dict[SaeId, int] = {}
        self._held: Counter[SaeId] = Counter()
        self._fitting: set[SaeId] = set()

    @property
    def bytes_here(self) -> int:
        """Bytes of the dictionaries that are in memory."""
        return sum(self._bytes[name] for name in self._here)

    @property
    def here(self) -> tuple[SaeId, ...]:
        """What is in memory, used longest ago first."""
        return tuple(self._here)

    def renew(self, catalog: Catalog) -> None:
        """Answer for another catalogue from now on; what is in memory stays."""
        self._catalog = catalog

    def spec(self, name: SaeId) -> SaeSpec:
        """Its spec, once it is certain that it was made for this model.

        Raises:
            UnknownSae, BrokenSaeFile, WidthMismatch, OtherModel, OtherBos: if it cannot be used.
        """
        spec = self._catalog.get(name)
        if name not in self._fitting:
            if caution := check_fits(spec, self._model):
                self.cautions[name] = caution
                log.warning("%s: %s", name, caution)
            self._fitting.add(name)
        return spec

    def take(self, name: SaeId) -> SAE:
        """The SAE, for use right now: the next one that is taken may page it out. A job that goes on uses `holding`.

        Raises:
            ShelfTooSmall: if it is larger than the budget, or what jobs hold has used it up, with both numbers.
            OutOfMemory: if the device has too little.
            UnknownSae, BrokenSaeFile, WidthMismatch, OtherModel, OtherBos: if it cannot be used.
        """
        spec = self.spec(name)
        if name not in self._here:
            self._make_room(spec)
            self._here[name] = self._load(spec)
            self.n_loaded += 1
        self._here.move_to_end(name)
        return self._here[name]

    @contextmanager
    def holding(self, names: Iterable[SaeId]) -> Iterator[dict[SaeId, SAE]]:
        """Some SAEs that stay where they are until the block is left. A generator that yields inside holds them meanwhile.

        Raises:
            ShelfTooSmall, OutOfMemory, UnknownSae and the rest: see `take`; nothing is held then.
        """
        held: dict[SaeId, SAE] = {}
        try:
            for name in dict.fromkeys(names):
                sae = self.take(name)
                self._held[name] += 1
                held[name] = sae
            yield held
        finally:
            for name in held:
                self._held[name] -= 1
            self._held += Counter()

    def in_turns(self, names: Sequence[SaeId]) -> Iterator[dict[SaeId, SAE]]:
        """All of these SAEs, as many at a time as the budget has room for; each lot is held until the next is asked for."""
        rest = list(dict.fromkeys(names))
        sizes = {name: bytes_in_memory(self.spec(name)) for name in rest}
        while rest:
            n = max(1, dictionaries_that_fit([sizes[name] for name in rest], self.budget_bytes))
            lot, rest = rest[:n], rest[n:]
            with self.holding(lot) as saes:
                yield saes

    def row(self, latent: LatentId) -> Float[torch.Tensor, " d_in"]:
        """One decoder row, on the device of its site, without loading the SAE.

        Raises:
            UnknownLatent: if the SAE has no such latent.
            UnknownSae, BrokenSaeFile and the rest: see `take`.
        """
        self._catalog.latent(latent)
        return self.rows(latent.sae, [latent.index])[0]

    def rows(self, name: SaeId, latents: Sequence[int]) -> Float[torch.Tensor, "row d_in"]:
        """Decoder rows of some latents in the order given, likewise."""
        spec = self.spec(name)
        if name not in self._here and can_map(spec):
            return read_rows(spec, latents).to(self._model.device_of(spec.site))
        return self.take(name).W_dec[list(latents)]

    def decoder(self, name: SaeId) -> DecoderRows:
        """All decoder rows, on the device of its site; of an SAE that is not in memory they are read without the encoder.

        They are the caller's: they count for nothing on the shelf, and are gone when the caller lets go of them.
        """
        spec = self.spec(name)
        if name not in self._here and can_map(spec):
            device, found = self._model.device_of(spec.site), read_decoder(spec)
            return DecoderRows(found.rows.to(device), None if found.threshold is None else found.threshold.to(device))
        sae = self.take(name)
        return DecoderRows(sae.W_dec, getattr(sae, "threshold", None))

    def put_away(self) -> int:
        """Page out everything that no job holds; returns the bytes of it."""
        before = self.bytes_here
        while self._page_out():
            pass
        return before - self.bytes_here

    def _make_room(self, spec: SaeSpec) -> None:
        needed = self._bytes.setdefault(spec.id, bytes_in_memory(spec))
        device = self._model.device_of(spec.site)
        if needed > self.budget_bytes:
            raise ShelfTooSmall(str(spec.id), needed, self.budget_bytes, device)
        while self.bytes_here + needed > self.budget_bytes and self._page_out():
            pass
        if self.bytes_here > self.budget_bytes:
            asked = f"{spec.id} beside the {len(self._here)} dictionaries that are in use"
            raise ShelfTooSmall(asked, self.bytes_here + needed, self.budget_bytes, device)
        while not (room := fit(needed, device)).fits:
            if not self._page_out():
                raise OutOfMemory(needed, room.free_bytes, device, "Close other programs that use it, or choose a narrower dictionary.")

    def _page_out(self) -> bool:
        """Let go of the one that was used longest ago and that no job holds; False if there is none."""
        for name in self._here:
            if not self._held[name]:
                del self._here[name]
                log.info("%s paged out: %d bytes are left on the shelf", name, self.bytes_here)
                return True
        return False

    def _load(self, spec: SaeSpec) -> SAE:
        device = self._model.device_of(spec.site)
        try:
            # Whoever asks may be in inference mode; weights that are made there could never be differentiated through.
            with torch.inference_mode(False):
                return load_sae(spec, self._cache, device)
        except BrokenSaeFile as error:
            # sae-lens' reader lets an allocator's error through as its own.
            if is_out_of_memory(error):
                raise refusal(error, device, "Set LATENTS_SAE_MEMORY lower, or choose a narrower dictionary.") from None
            raise
