"""The study of co-activation: the ask with its options, what is kept, and what its command prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.analysis.methods.flow import study_options as own
from dashboard.analysis.methods.flow.coactivation import MatchedPair, coactivation
from dashboard.analysis.methods.flow.results import FlowLayer
from dashboard.analysis.methods.flow.samples import SHORT, SampleAsk, predecessors_of
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study

_SHOWN = 20


@dataclass(frozen=True)
class CoActivationAsk:
    """Do the latents of a layer fire together with their best matches before it?"""

    release: str = own.release()
    layer: int | None = option(None, "One layer; default: the last.")
    texts: int = option(100, "Documents of the corpus, read in full.", low=1, high=own.MAX_TEXTS, label="Texts to read in full")
    kinds: tuple[str, ...] = own.kinds()
    seed: int = own.seed()
    corpus: Path | None = own.corpus()

    @property
    def sample(self) -> SampleAsk:
        """Every ordinary token of the documents that are drawn."""
        return SampleAsk(self.texts, None, self.kinds, self.seed)


@dataclass(frozen=True)
class Pairs:
    """Results of a co-activation study so far."""

    layer: int
    n_texts: int
    n_tokens: int
    pairs: tuple[MatchedPair, ...]
    """Each latent and its best match by cosine in each source, of which both fire."""


def _layer(catalog: Catalog, ask: CoActivationAsk) -> FlowLayer:
    return own.chosen_layers(catalog, ask.release, () if ask.layer is None else (ask.layer,))[-1]


def _asked(bench: Bench, ask: CoActivationAsk) -> dict[str, Any]:
    layer = _layer(bench.catalog, ask).layer
    return {"release": ask.release, "layer": layer} | ask.sample.plain_data() | own.text_of(bench, ask.corpus)


def _saes(bench: Bench, ask: CoActivationAsk) -> tuple[SaeId, ...]:
    return own.saes_of(bench.catalog, [_layer(bench.catalog, ask)])


def _steps(bench: Bench, ask: CoActivationAsk) -> Iterator[Progress[Pairs]]:
    matched = predecessors_of(bench.runner, bench.catalog, _layer(bench.catalog, ask))
    drafted = 0
    for found in coactivation(bench.runner, bench.corpus(ask.corpus), tuple(dict.fromkeys(matched.saes)), ask.sample, bench):
        pairs: Pairs | None = None
        # Correlations take longer the more there is: a draft each time it has doubled, and the whole.
        if found.done >= 2 * drafted or found.done == found.total:
            drafted = found.done
            pairs = Pairs(matched.layer, found.done, found.n_tokens, found.pairs(matched))
        yield Progress(found.done, found.total, result=pairs)


def _title(ask: CoActivationAsk) -> str:
    layer = "The last layer" if ask.layer is None else f"Layer {ask.layer}"
    return f"{layer} of {ask.release}, all tokens of {ask.texts} texts"


def _rows(made: Made[CoActivationAsk, Pairs]) -> list[dict[str, Any]]:
    return [
        {"latent": str(pair.latent), "source": SHORT[pair.source], "predecessor": str(pair.predecessor)}
        | {"cosine": pair.cosine, "pearson": pair.pearson, "fires_on": pair.n_fired}
        for pair in made.result.pairs
    ]


def _answer(made: Made[CoActivationAsk, Pairs]) -> dict[str, Any]:
    return {"pairs": _rows(made), "n_tokens": made.result.n_tokens, "record": made.record.__dict__}


def _tables(made: Made[CoActivationAsk, Pairs]) -> dict[str, Rows]:
    return {"pairs": _rows(made)}


def _printed(made: Made[CoActivationAsk, Pairs]) -> Sequence[Rows | str]:
    rows = _rows(made)
    best = sorted(rows, key=lambda row: float(row["pearson"]), reverse=True)[:_SHOWN]
    return best, f"\n{made.result.n_tokens:,} tokens; the {_SHOWN} of {len(rows):,} pairs that fire together most"


STUDY = Study(
    kind="flow coactivation",
    about="Do latents that point the same way fire together? Cosine and Pearson's r of every latent of a layer and its best matches.",
    ask=CoActivationAsk,
    result=Pairs,
    unit="texts",
    steps=_steps,
    title=_title,
    command=("flow", "coactivation"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    answer=_answer,
    printed=_printed,
)
