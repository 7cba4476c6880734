"""The study of how far SAEs split and absorb a concept whose truth is written in the token: the first letter of a word."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dashboard.analysis.asks.measuring import Absorption, AbsorptionAsk
from dashboard.analysis.methods.measure import study_options as own
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.blocks import in_blocks
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study


@dataclass(frozen=True)
class SplitAsk:
    """Splitting and absorption of some SAEs on the held-out documents of some texts."""

    sae: tuple[str, ...] = own.saes()
    text: tuple[str, ...] = own.text()
    tokens: int = option(150_000, "Held-out tokens to search for words.", low=256, label="Tokens")
    write: bool = own.write()


@dataclass(frozen=True)
class Absorptions:
    """Figures of every SAE."""

    of_sae: Mapping[SaeId, Absorption]


def _asked(bench: Bench, ask: SplitAsk) -> dict[str, Any]:
    return own.asked(own.chosen(bench.catalog, ask.sae), ask.text, n_tokens=ask.tokens)


def _saes(bench: Bench, ask: SplitAsk) -> tuple[SaeId, ...]:
    return own.chosen(bench.catalog, ask.sae)


def _steps(bench: Bench, ask: SplitAsk) -> Iterator[Progress[Absorptions]]:
    def measure(lot: tuple[SaeId, ...]) -> Absorptions:
        turns = bench.runner.stream(AbsorptionAsk(lot, ask.text, ask.tokens))
        return Absorptions({name: figures for turn in turns for name, figures in turn.absorptions})

    names = own.chosen(bench.catalog, ask.sae)
    found: dict[SaeId, Absorption] = {}
    lots = [tuple(lot) for lot in in_blocks(names, own.LOT)]
    for lot in bench.each("figures", Absorptions, lots, measure):
        found |= lot.of_sae
        yield Progress(len(found), len(names), result=Absorptions(dict(found)))


def _rows(made: Made[SplitAsk, Absorptions]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, one in made.result.of_sae.items():
        row = {"name": str(name), "letters": one.n_letters, "probe F1": one.probe_f1, "latents a letter": one.latents_per_letter}
        rows.append(row | {"their F1": one.main_f1, "absorption": one.absorption, "max cosine": one.max_cosine})
    return rows


def _tables(made: Made[SplitAsk, Absorptions]) -> Mapping[str, Rows]:
    return {"figures": [{"name": str(name), **asdict(one)} for name, one in made.result.of_sae.items()]}


STUDY = Study(
    kind="sae absorption",
    about="How far SAEs split and absorb a concept: the first letter of a word. Compare SAEs of one site only.",
    ask=SplitAsk,
    result=Absorptions,
    unit="SAEs",
    steps=_steps,
    title=lambda ask: f"{', '.join(ask.sae)} on {', '.join(ask.text)}",
    command=("sae", "absorption"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    answer=lambda made: {str(name): asdict(one) for name, one in made.result.of_sae.items()},
    printed=lambda made: [_rows(made)],
)
