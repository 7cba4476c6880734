"""A latent of a flow without its predecessors: which are removed, and that each value is its own."""

import pytest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.chosen_tokens import Rescale, RescaleAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.flow.graph import build
from dashboard.analysis.methods.flow.results import FlowAsk, FlowGraph
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.methods.flow.without import without_predecessors
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.tokens import Prompt

FOX = Prompt("The quick brown fox jumps over the lazy dog")
SAE = SaeId("tiny", "2.resid_post")


def graph_of(runner: LocalRunner, latent: LatentId) -> FlowGraph:
    return build(runner, find_suite(runner.catalog, SAE), FlowAsk(latent, t_res=0.0, t_module=0.0, pruned=False, top=4))


def firing(runner: LocalRunner) -> tuple[LatentId, FlowGraph, int]:
    """A latent that fires on a token where one at least of its predecessors fires."""
    acts = runner.ask(CaptureAsk(FOX, (SAE,))).activations[SAE]
    for position, index in zip(acts.position, acts.latent, strict=True):
        if position > 1:
            latent = LatentId(SAE, int(index))
            graph = graph_of(runner, latent)
            if without_predecessors(runner, graph, latent, FOX, int(position)).each:
                return latent, graph, int(position)
    pytest.fail("no latent of the tiny model has an active predecessor")


def test_each_predecessor_that_fires_is_removed_once_and_all_of_them_together(runner: LocalRunner) -> None:
    latent, graph, position = firing(runner)
    found = without_predecessors(runner, graph, latent, FOX, position)
    sources = {link.source for link, _ in found.each}
    assert sources | set(found.silent) == {link.source for link in graph.into(latent)} and not sources & set(found.silent)
    capture = runner.ask(CaptureAsk(FOX, tuple({name.sae for name in (latent, *sources)})))
    assert found.before == pytest.approx(capture.activations[SAE].of_latent(latent.index)[position], rel=1e-4)
    assert all(capture.activations[name.sae].of_latent(name.index)[position] > 0 for name in sources)
    assert found.token == capture.tokens.texts[position]


def test_each_value_is_that_of_removing_the_one_alone_and_the_last_that_of_all(runner: LocalRunner) -> None:
    latent, graph, position = firing(runner)
    found = without_predecessors(runner, graph, latent, FOX, position)
    ids = runner.ask(CaptureAsk(FOX, (SAE,))).tokens.ids

    def left(*gone: LatentId) -> float:
        return float(runner.ask(RescaleAsk(ids, position, (Rescale(gone, 0.0),), (latent,))).values[0, 0])

    assert [value for _, value in found.each] == pytest.approx([left(link.source) for link, _ in found.each], abs=2e-5)
    assert found.together == pytest.approx(left(*(link.source for link, _ in found.each)), abs=2e-5)
    assert any(value != pytest.approx(found.before, abs=1e-3) for _, value in found.each)


def test_a_position_that_is_not_in_the_text_is_refused(runner: LocalRunner) -> None:
    latent, graph, _ = firing(runner)
    with pytest.raises(BadAsk, match="Token 99"):
        without_predecessors(runner, graph, latent, FOX, 99)
