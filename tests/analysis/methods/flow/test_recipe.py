"""Laws of the flow path as a recipe."""

from pathlib import Path

from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.flow.graph import build
from dashboard.analysis.methods.flow.recipe import RECIPE, FlowPathAsk, path_edits
from dashboard.analysis.methods.flow.results import FlowAsk
from dashboard.analysis.methods.flow.schedule import Goal, Schedule, path_latents
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId
from dashboard.analysis.studies.study import result_of
from tests.recording import bench_of

SEED = LatentId.parse("tiny/2.resid_post/7")
ASKS = (FlowPathAsk(SEED, t_res=0.1), FlowPathAsk(SEED, Goal.DEACTIVATE, -1.0, most=2, t_res=0.1, modules=True))
"""For the laws of every recipe."""


def test_the_flow_path_shares_two_largest_activations_out_among_the_latents_nearest_to_the_seed(
    runner: LocalRunner, tmp_path: Path
) -> None:
    graph = build(runner, find_suite(runner.catalog, SEED.sae), FlowAsk(SEED, t_res=0.1))
    placed = path_latents(graph)
    assert len(placed) > 1
    found = result_of(RECIPE.study(), bench_of(runner, tmp_path), FlowPathAsk(SEED, t_res=0.1))
    assert found.edits == Schedule(Goal.ACTIVATE, unit=Unit.MAX).edits(placed, round(2.0 / len(placed), 2))
    other = path_edits(graph, FlowPathAsk(SEED, strength=0.77, t_res=0.1))
    assert {edit.amount for edit in other.edits} == {round(0.77 / len(placed), 2)}
    off = path_edits(graph, FlowPathAsk(SEED, Goal.DEACTIVATE, t_res=0.1))
    assert off.edits == Schedule(Goal.DEACTIVATE).edits(placed, 0.0)
    alone = path_edits(graph, FlowPathAsk(SEED, most=1, t_res=0.1))
    assert [edit.direction for edit in alone.edits] == [SEED] and f"{len(placed) - 1} latents of the span are left out" in alone.notes[1]
