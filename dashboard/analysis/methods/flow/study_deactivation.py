"""The study of deactivation: the ask with its options, what is kept, and what its command prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow import deactivation as method
from dashboard.analysis.methods.flow import deactivation_effects as summary
from dashboard.analysis.methods.flow import study_options as own
from dashboard.analysis.methods.flow.deactivation import Deactivation, DeactivationAsk
from dashboard.analysis.methods.flow.layers import Matching, matchings
from dashboard.analysis.methods.flow.samples import SampleAsk
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study

_SHOWN = ("method", "layer", "changed", "factor", "n", "success", "activation_change", "loss_change", "median_loss_change")


@dataclass(frozen=True)
class DeactivateAsk:
    """Do the active latents of some layers need their predecessors?"""

    release: str = own.release()
    layers: tuple[int, ...] = own.layers("Layers")
    texts: int = option(10, "Documents of the corpus, balanced over kinds.", low=1, high=own.MAX_TEXTS, label="Texts")
    tokens: int = own.tokens(3)
    targets: int = option(10, "Latents tried at each token and layer.", low=1, high=method.MAX_TARGETS, label="Latents per token and layer")
    factors: tuple[float, ...] = option(
        (0.0,), "Factors r, separated by commas: 0 removes, 1 changes nothing.", label="Factors r, separated by commas"
    )
    matching: tuple[Matching, ...] = option(
        (Matching.COSINE,),
        "Ways of matching, separated by commas: cosine, top5, random, permutation, pearson.",
        what="way of matching",
        label="Match predecessors by",
    )
    exhaustive: bool = option(False, "Also every active latent before the target, one at a time.", label="Exhaustive search")
    by_layer: bool = option(False, "A row for each layer.", shows=True)
    by_subset: bool = option(False, "A row for each set of sources.")
    after: int = option(1, "Tokens whose loss is measured.", low=0)
    kinds: tuple[str, ...] = own.kinds()
    seed: int = own.seed()
    corpus: Path | None = own.corpus()

    def __post_init__(self) -> None:
        if not self.matching:
            raise BadAsk("0 ways of matching were chosen. Choose at least one way of choosing predecessors.")

    def whole(self) -> DeactivationAsk:
        """What is rescaled."""
        sample = SampleAsk(self.texts, self.tokens, self.kinds, self.seed)
        return DeactivationAsk(sample, self.targets, self.factors, self.by_subset, True, self.exhaustive, self.after)


def _asked(bench: Bench, ask: DeactivateAsk) -> dict[str, Any]:
    layers = [layer.layer for layer in own.chosen_layers(bench.catalog, ask.release, ask.layers)]
    ways = [way.name.lower() for way in ask.matching]
    return {"release": ask.release, "layers": layers, "matching": ways} | ask.whole().plain_data() | own.text_of(bench, ask.corpus)


def _saes(bench: Bench, ask: DeactivateAsk) -> tuple[SaeId, ...]:
    return own.saes_of(bench.catalog, own.chosen_layers(bench.catalog, ask.release, ask.layers))


def _steps(bench: Bench, ask: DeactivateAsk) -> Iterator[Progress[Deactivation]]:
    whole, corpus = ask.whole(), bench.corpus(ask.corpus)
    layers = own.chosen_layers(bench.catalog, ask.release, ask.layers)
    of_layers = [matchings(bench.runner, bench.catalog, one, ask.matching, corpus, whole.sample) for one in layers]
    for found in method.deactivate(bench.runner, corpus, of_layers, whole, bench):
        words = f"{found.done} of {found.total} tokens, {len(found.trials):,} trials"
        yield Progress(found.done, found.total, words, found)


def _title(ask: DeactivateAsk) -> str:
    factors = ",".join(f"{factor:g}" for factor in ask.factors)
    return f"{own.said_layers(ask.layers)} of {ask.release}, texts: {ask.texts}, tokens of each: {ask.tokens}, r {factors}"


def _answer(made: Made[DeactivateAsk, Deactivation]) -> dict[str, Any]:
    found = made.result
    rows = _tables(made)["effects"]
    return {"effects": rows, "without_predecessor": dict(found.n_without), "lost": found.n_lost, "record": made.record.__dict__}


def _tables(made: Made[DeactivateAsk, Deactivation]) -> dict[str, Rows]:
    return {"effects": summary.table(summary.effects(made.result.trials, made.ask.by_layer, made.ask.by_subset))}


def _printed(made: Made[DeactivateAsk, Deactivation]) -> Sequence[Rows | str]:
    found, shown = made.result, [name for name in _SHOWN if name != "layer" or made.ask.by_layer]
    rows = [{name: row[name] for name in shown} for row in _tables(made)["effects"]]
    return rows, f"without an active predecessor: {dict(found.n_without)}; not active when read again: {found.n_lost}"


STUDY = Study(
    kind="flow deactivate",
    about="Rescale the predecessors of active latents at one token, and see whether they still fire.",
    ask=DeactivateAsk,
    result=Deactivation,
    unit="tokens",
    steps=_steps,
    title=_title,
    command=("flow", "deactivate"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    answer=_answer,
    printed=_printed,
    example=DeactivateAsk(texts=8, tokens=2),
)
