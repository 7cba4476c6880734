"""From interventions to edits of this model: sites, directions as tensors, amounts in units of the direction.

A direction is a decoder row, read without its dictionary. Only operations that read how strongly a latent is there need
the dictionary itself; it is then held on the shelf for as long as the edits are in use.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from sae_lens import SAE

from dashboard.analysis.asks.edits import Direction, Intervention, NamedVector, Op, Unit, Where
from dashboard.analysis.asks.many_texts import PartEdit
from dashboard.analysis.asks.weights import Dose
from dashboard.analysis.errors import WidthMismatch
from dashboard.analysis.index.file import read_index
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.edits import LoadedDirection
from dashboard.analysis.model.generation import PlacedEdit
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.model.marking import PartPlacedEdit
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.measure.measures import within_norm
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.settings import ASSETS

CALIBRATION = ASSETS / "prompts" / "calibration.txt"
"""The text over which a site's mean norm is taken."""

_READ_STRENGTH = (Op.CLAMP, Op.CAP, Op.SCALE, Op.ABLATE)
"""Operations that depend on a latent's activation."""


class Placing:
    """Places interventions on one loaded model."""

    def __init__(self, model: LoadedModel, catalog: Catalog, shelf: Shelf) -> None:
        self._model, self._catalog, self._shelf = model, catalog, shelf
        self._norms: dict[Site, float] = {}

    @contextmanager
    def placed(self, interventions: Sequence[Intervention]) -> Iterator[list[PlacedEdit]]:
        """The edits, good until the block is left.

        Raises:
            UnknownSae, UnknownLatent, WidthMismatch, NotMeasured: before anything is read.
            ShelfTooSmall: if the dictionaries that they read are too large together.
        """
        read = [edit.direction for edit in interventions if isinstance(edit.direction, LatentId) and edit.op in _READ_STRENGTH]
        for latent in read:
            self._catalog.latent(latent)
        with self._shelf.holding(latent.sae for latent in read) as saes:
            yield [self._place(edit, saes) for edit in interventions]

    @contextmanager
    def placed_parts(self, edits: Sequence[PartEdit]) -> Iterator[list[PartPlacedEdit]]:
        """The same for edits at a part of each of many texts."""
        with self.placed([edit.at(Where.PROMPT) for edit in edits]) as placed:
            yield [PartPlacedEdit(one, edit.part) for one, edit in zip(placed, edits, strict=True)]

    def site(self, direction: Direction) -> Site:
        """Where a direction is."""
        return direction.site if isinstance(direction, NamedVector) else self._catalog.get(direction.sae).site

    def vector(self, direction: Direction) -> torch.Tensor:
        """An unscaled direction [width], on the device of its site.

        Raises:
            UnknownSae, UnknownLatent, WidthMismatch: if this model has no such direction.
        """
        if isinstance(direction, LatentId):
            return self._shelf.row(direction)
        model = self._model
        if len(direction.values) != (width := model.width(direction.site)):
            raise WidthMismatch(str(direction), "a model of width", len(direction.values), str(model.id), width)
        if direction.site.layer >= model.n_layers:
            raise WidthMismatch(str(direction), "layer", direction.site.layer, str(model.id), model.n_layers)
        return torch.tensor(direction.values, device=model.device_of(direction.site))

    def doses(self, edits: Sequence[PlacedEdit]) -> tuple[Dose, ...]:
        """What each edit amounts to."""
        return tuple(
            Dose(edit.amount if edit.intervention.op.takes_unit else 0.0, float(edit.direction.vector.norm()), self.mean_norm(edit.site))
            for edit in edits
        )

    def mean_norm(self, site: Site) -> float:
        """Mean norm of the site's rows over the calibration text: special tokens and outlier-norm tokens left out."""
        if site not in self._norms:
            model = self._model
            values = [(read_sites(model.bridge, ids, [site])[site], model.ordinary(ids)) for ids in self._calibration()]
            rows = torch.cat([value[kept.to(value.device)] for value, kept in values])
            self._norms[site] = float(rows[within_norm(rows)].float().norm(dim=-1).mean())
        return self._norms[site]

    def _place(self, edit: Intervention, saes: Mapping[SaeId, SAE]) -> PlacedEdit:
        direction, vector = edit.direction, self.vector(edit.direction)
        loaded = LoadedDirection(vector)
        if isinstance(direction, LatentId) and direction.sae in saes:
            loaded = LoadedDirection(vector, saes[direction.sae], direction.index)
        return PlacedEdit(self.site(direction), edit, loaded, self._amount(edit, vector))

    def _amount(self, edit: Intervention, vector: torch.Tensor) -> float:
        """The amount in units of the direction's strength."""
        if not edit.op.takes_unit or edit.unit is Unit.RAW:
            return edit.amount
        if edit.unit is Unit.NORM:
            return edit.amount * self.mean_norm(self.site(edit.direction)) / float(vector.norm())
        assert isinstance(edit.direction, LatentId)
        return edit.amount * read_index(self._catalog.get(edit.direction.sae)).maximum_of(edit.direction)

    def _calibration(self) -> list[torch.Tensor]:
        """The calibration text in windows [1, position] that begin like any other text."""
        model = self._model
        start = [] if model.bos_id is None else [model.bos_id]
        ids = model.tokenizer(CALIBRATION.read_text(), add_special_tokens=False, verbose=False)["input_ids"]
        size = min(256, model.max_tokens) - len(start)
        return [model.batch((*start, *ids[at : at + size])) for at in range(0, len(ids), size)]
