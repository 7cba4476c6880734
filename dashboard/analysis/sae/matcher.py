"""Matches between dictionaries of this installation: loads what an ask names, and keeps whole tables on disk by content.

A table's file is named by the weights of both dictionaries and by everything else that it depends on, so it is never stale.
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dashboard.analysis.asks.matching import MatchAsk, MatchBy, MatchTable
from dashboard.analysis.errors import UnknownLatent
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.sae.matching import Nearest, Rows, assigned_rows, fold, nearest_rows, random_rows
from dashboard.analysis.sae.rows import DecoderRows

SCHEMA = 1


class Matcher:
    """Answers `MatchAsk`s. `decoder` gives the rows of a dictionary that fits the model, from memory where it can."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path, decoder: Callable[[SaeId], DecoderRows]) -> None:
        self._model, self._catalog, self._cache, self._decoder = model, catalog, cache, decoder
        self._written: dict[SaeId, torch.Tensor] = {}

    def match(self, ask: MatchAsk, show: Callable[[float], None] | None = None) -> MatchTable:
        """A table, from the disk if it has been made. Only tables of all latents are kept; a part of one is read from it.

        Raises:
            UnknownSae, UnknownLatent, BrokenSaeFile, WidthMismatch, OtherModel: if a dictionary cannot be used.
        """
        of, among = self._catalog.get(ask.of), self._catalog.get(ask.among)
        if outside := [one for one in ask.latents or () if not 0 <= one < of.n_latents]:
            raise UnknownLatent(outside[0], str(of.id), of.n_latents)
        file = self._file(ask, of, among)
        kept = _read(file, of.n_latents, ask.top)
        wanted = np.arange(of.n_latents, dtype=np.int32) if ask.latents is None else np.array(ask.latents, dtype=np.int32)
        if kept is not None:
            found = Nearest(kept.index[wanted], kept.cosine[wanted])
        else:
            # The baselines depend on all rows at once.
            alone = ask.latents is not None and ask.by is MatchBy.COSINE
            found = self._compute(ask, of, among, wanted if alone else None, show)
            if not alone:
                _write(file, found)
                found = Nearest(found.index[wanted], found.cosine[wanted])
        return MatchTable(ask.of, ask.among, wanted, found.index.astype(np.int32), found.cosine)

    def is_kept(self, ask: MatchAsk) -> bool:
        """True if the whole table is on the disk."""
        of = self._catalog.get(ask.of)
        return _read(self._file(ask, of, self._catalog.get(ask.among)), of.n_latents, ask.top) is not None

    def _compute(
        self, ask: MatchAsk, of: SaeSpec, among: SaeSpec, wanted: np.ndarray | None, show: Callable[[float], None] | None
    ) -> Nearest:
        # Lengths count in the assignment alone; rounding of folded rows must not part cosines that are equal.
        folded = ask.folded and ask.by is MatchBy.PERMUTATION
        rows, others = self._rows(of, folded), self._rows(among, folded)
        others = others.to(rows.device)
        if wanted is not None:
            rows = rows[torch.from_numpy(wanted.astype(np.int64)).to(rows.device)]
        match ask.by:
            case MatchBy.COSINE:
                return nearest_rows(rows, others, ask.top, show)
            case MatchBy.PERMUTATION:
                return assigned_rows(rows, others)
            case MatchBy.RANDOM:
                return random_rows(rows, others, ask.seed)

    def _rows(self, spec: SaeSpec, folded: bool) -> Rows:
        """Decoder rows as directions of the residual stream."""
        found = self._decoder(spec.id)
        rows = self._written_rows(spec, found.rows) if spec.site.point.row.matrix else found.rows
        return fold(rows, found.threshold) if folded and found.threshold is not None else rows

    def _written_rows(self, spec: SaeSpec, rows: Rows) -> Rows:
        """What rows of a site before an output matrix add to the stream, kept for the two dictionaries that were asked for last."""
        if spec.id not in self._written:
            while len(self._written) > 1:
                del self._written[next(iter(self._written))]
            self._written[spec.id] = self._model.to_residual(spec.site, rows)
        return self._written[spec.id]

    def _file(self, ask: MatchAsk, of: SaeSpec, among: SaeSpec) -> Path:
        writes = str(self._model.id) if of.site.point.row.matrix or among.site.point.row.matrix else None
        depends_on = [SCHEMA, weights_sha256(of), weights_sha256(among), ask.top, ask.by.value, ask.folded, ask.seed, writes]
        return self._cache / "matches" / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]}.safetensors"


def _read(file: Path, n_latents: int, top: int) -> Nearest | None:
    """A table from the disk; None if there is none that can be read."""
    try:
        stored = load_file(file)
        index, cosine = stored["index"], stored["cosine"]
    except (OSError, SafetensorError, KeyError):
        return None
    if index.shape != (n_latents, top) or cosine.shape != (n_latents, top):
        return None
    return Nearest(index.astype(np.int64), cosine.astype(np.float64))


def _write(file: Path, found: Nearest) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f"{uuid.uuid4().hex[:8]}.writing")
    try:
        save_file({"index": found.index, "cosine": found.cosine}, scratch)
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
