"""Options that both measurements of SAEs share."""

from collections.abc import Sequence
from typing import Any

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.selecting import select
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.text.fingerprint import texts_sha256

LOT = 12
"""SAEs that are measured, and kept, together: the text is read once for all of them."""


def saes() -> Any:
    """Which SAEs."""
    return option((), "RELEASE for all its SAEs, or RELEASE/NAME ...", argument="SAE...")


def text() -> Any:
    """Which texts."""
    return option(
        (), "FILE (.txt, .md, .jsonl), FOLDER of them, or hf:DATASET. May be given more than once.", many=Many.REPEATED, label="Texts"
    )


def write() -> Any:
    """Whether the figures are kept with the SAEs."""
    return option(False, "Write the figures into the records.", shows=True)


def chosen(catalog: Catalog, names: Sequence[str]) -> tuple[SaeId, ...]:
    """The SAEs that are meant, each once, in the order in which they are named.

    Raises:
        UnknownSae: if there is no such SAE.
    """
    return tuple(dict.fromkeys(spec.id for spec in select(catalog, names)))


def asked(names: Sequence[SaeId], texts: Sequence[str], **more: Any) -> dict[str, Any]:
    """What a record says.

    Raises:
        BadAsk: if no text is named.
    """
    if not texts:
        raise BadAsk("0 texts were named. Name a file, a folder or hf:DATASET: --text FILE")
    return {"saes": list(map(str, names)), "text": list(texts), "text_sha256": texts_sha256(texts), **more}
