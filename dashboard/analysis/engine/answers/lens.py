"""What the model is disposed to say, layer by layer: the lenses, and the Jacobians that one of them is made of."""

from dashboard.analysis.asks.lens import (
    DirectionLens,
    DirectionLensAsk,
    Jacobians,
    JacobiansAsk,
    KeepLensAsk,
    Lens,
    LensAsk,
    LensCheck,
    LensCheckAsk,
    LensKind,
    LensRecordAsk,
)
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.errors import NoLens
from dashboard.analysis.lenses.file import LensRecord, find_lens, kept_lens, load_lens, load_record, write_lens
from dashboard.analysis.model import lens
from dashboard.analysis.model.costs import jacobian_bytes, lens_bytes


def read(at: Workspace, ask: LensAsk) -> Lens:
    """Every layer of a prompt through a lens.

    Raises:
        NoLens, BrokenLens, NotUsable: if there is no Jacobian lens of this model that can be used.
    """
    return lens.read_lens(at.model, at.tokens(ask.prompt), ask, _transport(at, ask.kind))


def read_cost(at: Workspace, ask: LensAsk) -> int:
    """Bytes; see `lens_bytes`."""
    return lens_bytes(at.model, len(at.tokens(ask.prompt)), lens.ROWS_AT_ONCE)


def direction(at: Workspace, ask: DirectionLensAsk) -> DirectionLens:
    """A direction through a lens, at its own layer and at each one after it.

    Raises:
        NoLens, BrokenLens, NotUsable: see `read`.
    """
    site = at.placing.site(ask.direction)
    at.check_layer(site)
    row = at.model.to_residual(site, at.placing.vector(ask.direction)[None])[0]
    return lens.read_direction(at.model, row, site, ask.kind, ask.top, _transport(at, ask.kind))


def check(at: Workspace, ask: LensCheckAsk) -> LensCheck:
    """Every layer of a row of token ids against the model's own prediction.

    Raises:
        PromptTooLong: with both numbers.
        NoLens, BrokenLens, NotUsable: see `read`.
    """
    at.check_length(ask.row)
    return lens.check_lens(at.model, ask, _transport(at, ask.kind))


def check_cost(at: Workspace, ask: LensCheckAsk) -> int:
    """Bytes; see `lens_bytes`."""
    return lens_bytes(at.model, len(ask.row) + 1, len(ask.row) + 1)


def jacobians(at: Workspace, ask: JacobiansAsk) -> Jacobians:
    """One text's share of a Jacobian lens.

    Raises:
        NotUsable: if TransformerLens can fit none on such a model.
    """
    at.check_length(ask.row[: ask.n_tokens])
    return lens.jacobians(at.model, ask)


def jacobians_cost(at: Workspace, ask: JacobiansAsk) -> int:
    """Bytes; see `jacobian_bytes`."""
    return jacobian_bytes(at.model, ask.n_tokens + 1, lens.DIMENSIONS_AT_ONCE)


def keep(at: Workspace, ask: KeepLensAsk) -> str:
    """Where the lens is kept: from now on the model is read through it.

    Raises:
        NotUsable: if it cannot read this model.
        CacheUnwritable: if the place cannot be written.
    """
    lens.check_architecture(at.model, ask.lens)
    stem = kept_lens(at.model.id, at.cache)
    write_lens(stem, ask.lens)
    return str(stem)


def record(at: Workspace, ask: LensRecordAsk) -> LensRecord | None:
    """How the lens of this model was made.

    Raises:
        BrokenLens: if it cannot be read.
    """
    del ask
    stem = find_lens(at.model.id, at.cache)
    return None if stem is None else load_record(stem)


def _transport(at: Workspace, kind: LensKind) -> lens.Transport:
    if kind is LensKind.LOGIT:
        return lens.straight
    stem = find_lens(at.model.id, at.cache)
    if stem is None:
        raise NoLens(str(at.model.id))
    return lens.through(at.model, load_lens(stem))
