"""Options that the studies of the flow on text share, and what their records have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.analysis.methods.flow.layers import layers_of, suite_of
from dashboard.analysis.methods.flow.results import FlowLayer
from dashboard.analysis.methods.flow.samples import SOURCES
from dashboard.analysis.names import SaeId
from dashboard.analysis.roster.chosen import DEFAULT_RELEASE
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option

MAX_TEXTS = 2000


def release() -> Any:
    """Which suite."""
    return option(DEFAULT_RELEASE, "A release with residual dictionaries.", argument="[RELEASE]")


def layers(label: str = "Layers (none: all)") -> Any:
    """Which layers of it."""
    return option((), "Layers, separated by commas; default: all with an earlier dictionary.", label=label)


def kinds(label: str = "") -> Any:
    """Which documents."""
    return option((), "Kinds of documents, separated by commas; default: all.", label=label)


def tokens(default: int) -> Any:
    """How many of each document."""
    return option(default, "Random ordinary tokens from each text.", low=1, label="Tokens per text")


def seed() -> Any:
    """Of everything that is drawn."""
    return option(0, "Seed of all random choices.", low=0)


def corpus() -> Any:
    """Which text."""
    return option(None, "A corpus written by `latents corpus write`; default: the shipped one.")


def chosen_layers(catalog: Catalog, release_: str, numbers: Sequence[int]) -> tuple[FlowLayer, ...]:
    """The layers that an ask means.

    Raises:
        BadAsk: if one is not there, or there are none.
    """
    return layers_of(suite_of(catalog, release_), numbers or None)


def saes_of(catalog: Catalog, chosen: Sequence[FlowLayer]) -> tuple[SaeId, ...]:
    """Every dictionary of some layers and those before them that are of the residual stream's width."""
    found: dict[SaeId, None] = {}
    for layer in chosen:
        found[layer.resid] = None
        for point in SOURCES:
            sae = layer.before(point)
            if sae is not None and catalog.get(sae).site.point is point:
                found[sae] = None
    return tuple(found)


def text_of(bench: Bench, file: Path | None) -> dict[str, str]:
    """What a record says of the text."""
    text = bench.corpus(file)
    return {"corpus": text.name, "corpus_sha256": text.sha256}


def said_layers(numbers: Sequence[int]) -> str:
    """Layers 9 to 19, or each of them."""
    if not numbers:
        return "All layers"
    whole = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"Layer{'s' * (len(numbers) > 1)} " + (f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers)))
