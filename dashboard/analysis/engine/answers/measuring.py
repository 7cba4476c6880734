"""How good SAEs are on a text: as many at a time as memory has room for."""

from collections.abc import Iterator

from dashboard.analysis.asks.measuring import AbsorptionAsk, EvaluationAsk, Measured
from dashboard.analysis.engine.workspace import Workspace
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.measure.absorption import measure_absorption
from dashboard.analysis.sae.measure.evaluation import evaluation_steps
from dashboard.analysis.sae.release import prefixes_of


def evaluate(at: Workspace, ask: EvaluationAsk) -> Iterator[tuple[Measured, ...]]:
    """A batch of the text a turn; what is measured comes as a lot of SAEs is done."""
    done = 0
    for lot in at.shelf.in_turns(ask.saes):
        specs = {name: at.catalog.get(name) for name in lot}
        placed = {str(name): (specs[name].site, sae) for name, sae in lot.items()}
        prefixes = {str(name): prefixes_of(spec) for name, spec in specs.items()}
        for share, found in evaluation_steps(placed, ask.text, at.model, ask.n_tokens, ask.n_loss_tokens, ask.dialogues_as_chat, prefixes):
            measured = tuple((name, found[str(name)]) for name in lot if found)
            yield (Measured((done + share * len(lot)) / len(ask.saes), evaluations=measured),)
        done += len(lot)


def absorption(at: Workspace, ask: AbsorptionAsk) -> Iterator[tuple[Measured, ...]]:
    """An SAE a turn."""
    done = 0
    for lot in at.shelf.in_turns(ask.saes):
        placed = {str(name): (at.catalog.get(name).site, sae) for name, sae in lot.items()}
        for name, found in measure_absorption(placed, ask.text, at.model, ask.n_tokens):
            done += 1
            yield (Measured(done / len(ask.saes), absorptions=((SaeId.parse(name), found),)),)
