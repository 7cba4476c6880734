"""Settle what the known-or-unknown page shows."""

from collections.abc import Sequence

from dashboard.analysis.errors import AnalysisError
from dashboard.analysis.methods.known.results import KnownUnknownStudy
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.names import LatentId
from dashboard.ui.known.present import best_columns_of
from dashboard.ui.views.known import ALL, ANY_SAE, PAGE, KnownView


def settle(view: KnownView, study: KnownUnknownStudy, kinds: Sequence[str]) -> tuple[KnownView, list[str]]:
    """The view limited to what the study has, and notices about what it lacks."""
    problems: list[str] = []

    def one_of(name: str, value: str, choices: Sequence[str], otherwise: str) -> str:
        if value not in choices:
            problems.append(f"This study has no {name} {value[:60]!r}.")
            return otherwise
        return value

    kind = one_of("type", view.kind, (*kinds, ALL), ALL)
    sae = one_of("SAE", view.sae, (*map(str, study.ask.saes), ANY_SAE), ANY_SAE)
    chosen = view.chosen
    try:
        if chosen:
            study.columns.column(LatentId.parse(chosen))
    except AnalysisError as error:
        problems.append(str(error))
        chosen = ""
    best = [column for side in (Knowledge.KNOWN, Knowledge.UNKNOWN) for column in best_columns_of(study, kind, side)]
    chosen = chosen or str(study.columns.latent(best[0] if best else 0))
    return PAGE.settle(study=study.key, kind=kind, sae=sae, chosen=chosen), problems
