"""The study of what the chosen latents do to the model: the ask with its options, and what its command prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dashboard.analysis.methods.known import causality as method
from dashboard.analysis.methods.known.bundle import causality_tables
from dashboard.analysis.methods.known.effects import CAUSALITY, Causality, CausalitySettings
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.study import load_study, newest_study, taken
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study


@dataclass(frozen=True)
class CausalityAsk(CausalitySettings):
    """What adding the chosen latents of a study, or taking one out, does to the model's answers."""

    study: str = option("", "Key of a study, as `latents study list` shows it; default: the newest.", argument="[STUDY]")

    @property
    def settings(self) -> CausalitySettings:
        """Without the study."""
        return CausalitySettings(**{one.name: getattr(self, one.name) for one in fields(CausalitySettings)})


def ask_of(study: str, settings: CausalitySettings) -> CausalityAsk:
    """The ask of some settings."""
    return CausalityAsk(**{one.name: getattr(settings, one.name) for one in fields(CausalitySettings)}, study=study)


def _meant(bench: Bench, ask: CausalityAsk) -> tuple[KnownUnknownStudy, CausalitySettings]:
    study = load_study(bench.store, ask.study or newest_study(bench.store, str(bench.runner.describe().model)))
    return study, method.resolved(study, ask.settings)


def _asked(bench: Bench, ask: CausalityAsk) -> dict[str, Any]:
    study, own = _meant(bench, ask)
    return {"study": study.key, **own.plain_data()}


def _saes(bench: Bench, ask: CausalityAsk) -> tuple[SaeId, ...]:
    _, own = _meant(bench, ask)
    return tuple({LatentId.parse(name).sae: None for name in (own.known, own.unknown)})


def _steps(bench: Bench, ask: CausalityAsk) -> Iterator[Progress[Causality]]:
    study, own = _meant(bench, ask)
    yield from method.try_out(bench, study, taken(bench.store, study.key), own, STUDY.record(bench, ask))


def _now(made: Made[CausalityAsk, Causality]) -> Causality:
    """With the current verdicts."""
    return method.load_causality(made.store, made.key)


def _tables(made: Made[CausalityAsk, Causality]) -> Mapping[str, Rows]:
    return {name: list(rows) for name, rows in causality_tables(_now(made)).items()}


def _printed(made: Made[CausalityAsk, Causality]) -> Sequence[Rows | str]:
    found = _now(made)
    rates = [
        {"type": one.kind, "label": one.knowledge.value, "condition": one.condition.value}
        | {"refused": str(one.refused), "hallucinated": str(one.hallucinated)}
        for one in found.rates
    ]
    return [rates, *found.notes]


STUDY = Study(
    kind=CAUSALITY,
    about="Do the chosen latents of a study make the model refuse or answer? They are added and taken out, against random latents.",
    ask=CausalityAsk,
    result=Causality,
    unit="thousandths",
    steps=_steps,
    title=lambda ask: f"causality of study {ask.study[:6] or 'newest'}",
    command=("study", "causality"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    notes=lambda made: made.result.notes,
    printed=_printed,
)
