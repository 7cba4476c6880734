"""From the names that people give to what the data side of the flow needs: layers of a suite with the matches of all latents."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from dashboard.analysis.asks.matching import MatchBy
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.coactivation import coactivation
from dashboard.analysis.methods.flow.results import FlowLayer, FlowSuite
from dashboard.analysis.methods.flow.samples import Predecessors, SampleAsk, predecessors_of
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.text.corpus import Corpus


class Matching(StrEnum):
    """Ways of choosing predecessors that a study of deactivation compares."""

    COSINE = "top-1 cosine"
    TOP5 = "top-5 cosine"
    """Active if any of the five is; all that are active are rescaled."""
    RANDOM = "one of the 5 nearest"
    PERMUTATION = "permutation"
    PEARSON = "top-1 Pearson"
    """The latent whose activations correlate best over the documents of the sample."""


def layers_of(suite: FlowSuite, numbers: Sequence[int] | None = None) -> tuple[FlowLayer, ...]:
    """The layers of a suite that have a dictionary before them, or those of them that are asked for.

    Raises:
        BadAsk: if one that is asked for is not there.
    """
    able = {layer.layer: layer for layer in suite.layers if layer.previous or layer.mlp or layer.attn}
    if numbers is None:
        return tuple(able.values())
    if unknown := [number for number in numbers if number not in able]:
        raise BadAsk(
            f"Layer {unknown[0]} has 0 residual latents with a dictionary before it. Layers: {', '.join(map(str, able)) or 'none'}."
        )
    return tuple(able[number] for number in sorted({*numbers}))


def suite_of(catalog: Catalog, release: str) -> FlowSuite:
    """The suite of a release.

    Raises:
        BadAsk: if the release has no residual dictionary.
    """
    specs = [spec for spec in catalog.specs if spec.id.release == release and spec.site.point == "resid_post"]
    if not specs:
        known = ", ".join(sorted({spec.id.release for spec in catalog.specs}))
        raise BadAsk(f"{release} has 0 residual dictionaries. Releases here: {known or 'none'}.")
    return find_suite(catalog, specs[0].id)


def matchings(
    runner: Runner, catalog: Catalog, layer: FlowLayer, ways: Sequence[Matching], corpus: Corpus, sample: SampleAsk
) -> Mapping[str, Predecessors]:
    """The predecessors of a layer by each way, in the order given; Pearson reads all tokens of the sample's documents first."""
    found: dict[str, Predecessors] = {}
    for way in ways:
        match way:
            case Matching.COSINE:
                found[way.value] = predecessors_of(runner, catalog, layer)
            case Matching.TOP5:
                found[way.value] = predecessors_of(runner, catalog, layer, top=5)
            case Matching.RANDOM:
                found[way.value] = predecessors_of(runner, catalog, layer, MatchBy.RANDOM, seed=sample.seed)
            case Matching.PERMUTATION:
                found[way.value] = predecessors_of(runner, catalog, layer, MatchBy.PERMUTATION)
            case Matching.PEARSON:
                found[way.value] = _by_pearson(runner, predecessors_of(runner, catalog, layer), corpus, sample)
    return found


def _by_pearson(runner: Runner, like: Predecessors, corpus: Corpus, sample: SampleAsk) -> Predecessors:
    whole = SampleAsk(sample.n_rows, None, sample.kinds, sample.seed)
    *_, read = coactivation(runner, corpus, _once(like.saes), whole)
    return Predecessors(like.target, like.layer, {p: read.best_correlated(like.target, t.among) for p, t in like.tables.items()})


def _once(saes: Sequence[SaeId]) -> tuple[SaeId, ...]:
    return tuple(dict.fromkeys(saes))
