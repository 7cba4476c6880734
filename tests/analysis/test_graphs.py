"""Graphs over a model: forward, each thing once, signed, with their evidence, and kept bit for bit."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.graphs import Evidence, Figure, GraphEdge, GraphNode, LatentGraph
from dashboard.analysis.names import LatentId, NodeId, Point, Site
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.studies.record import RunRecord

RECORD = RunRecord("made", {"seed": 1}, "tests/tiny", {}, "cpu", "float32", "0", {}, "2026-01-01T00:00:00.000+00:00", 0.5)


def latent(site: str, index: int, position: int | None = None) -> GraphNode:
    return GraphNode(NodeId.of_latent(LatentId.parse(f"tiny/{site}/{index}"), position), Site.parse(site))


TOKEN = GraphNode(NodeId.of_token(464, 0), None, "The")
EARLY, MIDDLE = latent("0.mlp_post", 3, 0), latent("1.resid_post", 5, 1)
ERROR = GraphNode(NodeId.of_error(Site(1, Point.RESID_POST), 1), Site(1, Point.RESID_POST))
LOGIT = GraphNode(NodeId.of_logit(7, 1), None, " dog", (Figure("probability", 0.25), Figure("rank", None)), ("target",))
CIRCUIT = LatentGraph(
    (TOKEN, EARLY, MIDDLE, ERROR, LOGIT),
    (
        GraphEdge(TOKEN.id, EARLY.id, 0.5),
        GraphEdge(EARLY.id, MIDDLE.id, -1.5, (Evidence("attribution", -1.5, 12), Evidence("cosine", -0.25)), ("through head 3",), True),
        GraphEdge(MIDDLE.id, LOGIT.id, 2.0),
        GraphEdge(ERROR.id, LOGIT.id, -0.1),
    ),
    LOGIT.id,
    ("3 of 8 edges are shown.",),
    RECORD,
)
"""A token, two latents, an error and a logit at two positions, with effects of both signs."""


@st.composite
def graphs(draw: st.DrawFn) -> LatentGraph:
    """Any graph whose edges all go forward."""
    places = st.tuples(
        st.integers(0, 5), st.sampled_from(sorted({*Point} - {Point.EMBED})), st.integers(0, 9), st.none() | st.integers(0, 3)
    )
    nodes = [latent(f"{layer}.{point}", index, at) for layer, point, index, at in draw(st.lists(places, max_size=8, unique=True))]
    nodes += draw(st.lists(st.sampled_from((TOKEN, ERROR, LOGIT)), unique=True))
    pairs = [(a, b) for a in nodes for b in nodes if a.forward_order < b.forward_order]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=8, unique=True)) if pairs else []
    number = st.floats(allow_nan=False, allow_infinity=False)
    evidence = st.builds(Evidence, st.text(max_size=5), number, st.none() | st.integers(0))
    edges = [GraphEdge(a.id, b.id, draw(number), tuple(draw(st.lists(evidence, max_size=2)))) for a, b in chosen]
    return LatentGraph(tuple(nodes), tuple(edges))


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_a_graph_is_read_as_it_was_written(graph: LatentGraph) -> None:
    written = json.dumps(to_plain(graph), allow_nan=False)
    assert from_plain(LatentGraph, json.loads(written)) == graph


def test_a_circuit_keeps_signs_evidence_figures_notes_and_its_record() -> None:
    assert from_plain(LatentGraph, json.loads(json.dumps(to_plain(CIRCUIT)))) == CIRCUIT
    plain = to_plain(CIRCUIT)
    assert [edge["weight"] for edge in plain["edges"]] == [0.5, -1.5, 2.0, -0.1]
    assert plain["edges"][1]["evidence"][0] == {"measure": "attribution", "value": -1.5, "n": 12}
    assert [node["id"] for node in plain["nodes"]] == [
        "token:464@0", "tiny/0.mlp_post/3@0", "tiny/1.resid_post/5@1", "error:1.resid_post@1", "logit:7@1",
    ]  # fmt: skip
    assert CIRCUIT.has_positions and not replace(CIRCUIT, nodes=(latent("1.mlp_out", 0),), edges=(), focus=None).has_positions


def test_edges_are_found_by_their_ends_and_figures_by_their_names() -> None:
    assert [edge.source for edge in CIRCUIT.into(LOGIT.id)] == [MIDDLE.id, ERROR.id]
    assert [edge.target for edge in CIRCUIT.out_of(EARLY.id)] == [MIDDLE.id]
    assert CIRCUIT.node(LOGIT.id) is LOGIT and CIRCUIT.node(NodeId.of_logit(8)) is None
    assert LOGIT.figure("probability") == 0.25 and LOGIT.figure("rank") is None is LOGIT.figure("unheard of")


def test_what_is_no_graph_over_a_model_is_refused() -> None:
    back = GraphEdge(MIDDLE.id, EARLY.id, 0.5)
    for changed, said in (
        ({"edges": (back,)}, "goes backward"),
        ({"edges": (GraphEdge(EARLY.id, latent("3.mlp_out", 0).id, 0.5),)}, "not in the graph"),
        ({"nodes": (*CIRCUIT.nodes, TOKEN)}, "in the graph twice"),
        ({"edges": CIRCUIT.edges * 2}, "in the graph twice"),
        ({"edges": (replace(CIRCUIT.edges[0], weight=float("nan")),)}, "not a finite number"),
        ({"edges": (replace(CIRCUIT.edges[0], evidence=(Evidence("cosine", float("inf")),)),)}, "not a finite number"),
        ({"focus": NodeId.of_logit(9)}, "is not in it"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(CIRCUIT, **changed)
    with pytest.raises(ValueError, match="cannot stand at"):
        GraphNode(LOGIT.id, Site(1, Point.RESID_POST))
    with pytest.raises(ValueError, match="cannot stand at"):
        GraphNode(ERROR.id, Site(2, Point.RESID_POST))
