"""The study of latents that fire before wrong answers: the ask with its options, and what its command prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dashboard.analysis.methods.known import wrong_answers as method
from dashboard.analysis.methods.known.bundle import uncertainty_tables
from dashboard.analysis.methods.known.effects import UNCERTAINTY, Uncertainty, UncertaintySettings
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.study import load_study, newest_study, taken
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study


@dataclass(frozen=True)
class UncertaintyAsk(UncertaintySettings):
    """Which latents of a study's SAEs fire before wrong answers."""

    study: str = option("", "Key of a study, as `latents study list` shows it; default: the newest.", argument="[STUDY]")

    @property
    def settings(self) -> UncertaintySettings:
        """Without the study."""
        return UncertaintySettings(**{one.name: getattr(self, one.name) for one in fields(UncertaintySettings)})


def ask_of(study: str, settings: UncertaintySettings) -> UncertaintyAsk:
    """The ask of some settings."""
    return UncertaintyAsk(**{one.name: getattr(settings, one.name) for one in fields(UncertaintySettings)}, study=study)


def _meant(bench: Bench, ask: UncertaintyAsk) -> KnownUnknownStudy:
    return load_study(bench.store, ask.study or newest_study(bench.store, str(bench.runner.describe().model)))


def _asked(bench: Bench, ask: UncertaintyAsk) -> dict[str, Any]:
    return {"study": _meant(bench, ask).key, **ask.settings.plain_data()}


def _saes(bench: Bench, ask: UncertaintyAsk) -> tuple[SaeId, ...]:
    return _meant(bench, ask).ask.saes


def _steps(bench: Bench, ask: UncertaintyAsk) -> Iterator[Progress[Uncertainty]]:
    study = _meant(bench, ask)
    yield from method.compare(bench, study, taken(bench.store, study.key), ask.settings, STUDY.record(bench, ask))


def _tables(made: Made[UncertaintyAsk, Uncertainty]) -> Mapping[str, Rows]:
    return {name: list(rows) for name, rows in uncertainty_tables(made.result).items()}


def _printed(made: Made[UncertaintyAsk, Uncertainty]) -> Sequence[Rows | str]:
    names = ("what", "score", "auroc", "auroc_n_right", "auroc_n_wrong", "f1", "f1_always")
    rows = [{name: row[name] for name in names} for row in _tables(made)["uncertainty"]]
    return [rows, *made.result.notes]


STUDY = Study(
    kind=UNCERTAINTY,
    about="Which latents fire before wrong answers, of the SAEs of a study? Against a logistic regression on the residual.",
    ask=UncertaintyAsk,
    result=Uncertainty,
    unit="thousandths",
    steps=_steps,
    title=lambda ask: f"uncertainty of study {ask.study[:6] or 'newest'}",
    command=("study", "uncertainty"),
    asked=_asked,
    saes=_saes,
    tables=_tables,
    notes=lambda made: made.result.notes,
    printed=_printed,
)
