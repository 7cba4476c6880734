"""Flow graphs: planted chains, the order of edges, spans, asymmetry, gaps and missing sites, and what lights up on a text."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.matching import MatchAsk, MatchTable
from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownLatent
from dashboard.analysis.graphs import Evidence
from dashboard.analysis.methods.flow.graph import as_latent_graph, ask_data, build, lit, report
from dashboard.analysis.methods.flow.results import FlowAsk, FlowGraph, FlowSuite
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, Point, SaeId, Site
from dashboard.analysis.sae.catalog import Catalog, SaeSpec, read_catalog
from dashboard.analysis.sae.matching import nearest_rows
from dashboard.analysis.settings import Settings
from dashboard.analysis.studies.record import make_record
from dashboard.analysis.tokens import Prompt
from tests.conftest import D_MODEL, TEXT, random_weights, save_sae
from tests.only_asked import OnlyAsked

RELEASE = "planted"
POINTS = (Point.ATTN_OUT, Point.MLP_OUT, Point.RESID_POST)


class Rows(OnlyAsked):
    """A runner whose dictionaries are the rows given: no model. Only counterparts are asked for."""

    def __init__(self, rows: Mapping[str, torch.Tensor]) -> None:
        self.rows = rows

    def ask(self, ask):
        assert isinstance(ask, MatchAsk) and ask.latents is not None
        chosen = np.array(ask.latents, dtype=np.int32)
        found = nearest_rows(self.rows[ask.of.name][chosen.astype(np.int64)], self.rows[ask.among.name], ask.top)
        return MatchTable(ask.of, ask.among, chosen, found.index.astype(np.int32), found.cosine)

    def suite(self, around: str) -> FlowSuite:
        specs = [
            SaeSpec(SaeId(RELEASE, name), None, Site.parse(name), rows.shape[1], len(rows), "made", Path(name), {}, {})
            for name, rows in self.rows.items()
        ]
        return find_suite(Catalog(tuple(specs)), SaeId(RELEASE, around))

    def graph(self, seed: str, **how: object) -> FlowGraph:
        latent = name(seed)
        return build(self, self.suite(latent.sae.name), FlowAsk(latent, **how))  # pyright: ignore[reportArgumentType]


def name(short: str) -> LatentId:
    return LatentId.parse(f"{RELEASE}/{short}")


def names(latents: object) -> list[str]:
    return [str(latent).removeprefix(f"{RELEASE}/") for latent in latents]  # pyright: ignore[reportGeneralTypeIssues]


def planted(born: bool) -> Rows:
    """Card 2.10, check 4: 7 layers of e1..e4, mlps of e9..e12; with `born`, latent 0 is e5 from layer 3 on, made by mlp 3."""
    eye = torch.eye(12)
    rows = {f"{layer}.resid_post": eye[:4].clone() for layer in range(7)} | {f"{layer}.mlp_out": eye[8:12].clone() for layer in range(7)}
    if born:
        for layer in range(3, 7):
            rows[f"{layer}.resid_post"][0] = eye[4]
        rows["3.mlp_out"] = eye[4:8].clone()
    return Rows(rows)


def random_rows(seed: int = 0, layers: tuple[int, ...] = (0, 1, 2, 3, 4), d: int = 6) -> Rows:
    """Few dimensions, so that many cosines are large and many matches asymmetric."""
    generator = torch.Generator().manual_seed(seed)
    return Rows({f"{layer}.{point.value}": torch.randn(20, d, generator=generator) for layer in layers for point in POINTS})


def test_a_planted_chain_spans_all_layers_and_no_mlp_joins_it() -> None:
    graph = planted(False).graph("5.resid_post/0")
    assert names(graph.path) == [f"{layer}.resid_post/0" for layer in range(7)] == names(node.id for node in graph.nodes)
    assert graph.span == (0, 6)
    assert [(node.s_res, node.s_mlp, node.s_att) for node in graph.nodes] == [(None, 0, None)] + [(1, 0, None)] * 6


def test_a_latent_born_from_an_mlp_begins_its_span_there() -> None:
    whole = planted(True).graph("5.resid_post/0", pruned=False)
    scores = {node.site.layer: (node.s_res, node.s_mlp) for node in whole.nodes if node.site.point is Point.RESID_POST}
    assert (scores[5], scores[4], scores[3]) == ((1, 0), (1, 0), (0, 1))
    assert whole.span == (3, 6)
    pruned = planted(True).graph("5.resid_post/0")
    assert names(node.id for node in pruned.nodes) == ["3.mlp_out/0", *(f"{layer}.resid_post/0" for layer in range(3, 7))]
    assert [(*names((edge.source, edge.target)), edge.cosine) for edge in pruned.edges][:2] == [
        ("3.mlp_out/0", "3.resid_post/0", 1),
        ("3.resid_post/0", "4.resid_post/0", 1),
    ]


@pytest.mark.parametrize("seed", ["2.resid_post/3", "2.mlp_out/4", "0.attn_out/1", "4.resid_post/0"])
@pytest.mark.parametrize("top", [1, 4])
def test_every_edge_goes_forward_and_ends_at_nodes_of_the_graph(seed: str, top: int) -> None:
    graph = random_rows().graph(seed, top=top, t_res=0.2, t_module=0.1, pruned=False)
    there = {node.latent: node.site for node in graph.nodes}
    assert name(seed) in there and len(there) == len(graph.nodes) and len(graph.edges) > 8
    for edge in graph.edges:
        assert there[edge.source].forward_order < there[edge.target].forward_order
    order = [site.forward_order for site in there.values()]
    assert order == sorted(order)


def cosine(made: Rows, a: LatentId, b: LatentId) -> float:
    x, y = made.rows[a.sae.name][a.index].double(), made.rows[b.sae.name][b.index].double()
    return float(x @ y / x.norm() / y.norm())


def test_the_path_is_the_best_match_of_each_step_and_weights_are_cosines_of_the_two_ends() -> None:
    made = random_rows(1)
    graph = made.graph("2.resid_post/7", pruned=False)
    path = list(graph.path)
    assert path[2] == name("2.resid_post/7") and len(path) == 5
    for step, here in enumerate(path[1:], 1):
        backward = here.sae.name[0] <= "2"
        fixed, sae = (here, path[step - 1].sae) if backward else (path[step - 1], here.sae)
        best = max(range(20), key=lambda i: cosine(made, fixed, LatentId(sae, i)))
        assert best == (path[step - 1] if backward else here).index
    for edge in graph.edges:
        assert edge.cosine == pytest.approx(cosine(made, edge.source, edge.target), abs=1e-12)


def test_both_ends_own_best_matches_stay_with_a_link() -> None:
    """b's best source is a, a's best target is c: the link a -> b says so."""
    a, b, c = torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([0.8, 0.6]), torch.tensor([1.0, 0.1])
    made = Rows({"0.resid_post": a, "1.resid_post": torch.stack([b, c])})
    [edge] = made.graph("1.resid_post/0").edges
    assert names((edge.source, edge.target, edge.back, edge.forth)) == [
        "0.resid_post/0",
        "1.resid_post/0",
        "0.resid_post/0",
        "1.resid_post/1",
    ]
    assert (edge.cosine, edge.back_cosine) == pytest.approx((0.8, 0.8)) and edge.forth_cosine == pytest.approx(1 / 1.01**0.5)
    assert not edge.mutual and edge.rank == 0
    [edge] = made.graph("1.resid_post/1").edges
    assert edge.mutual


def test_looking_forward_a_latent_may_have_a_better_source_than_the_path() -> None:
    """From a (e1): its best target t is 0.8 like it, but t is more like the other source."""
    made = Rows({"0.resid_post": torch.tensor([[1.0, 0.0], [0.7, 0.7]]), "1.resid_post": torch.tensor([[0.8, 0.6], [-1.0, 0.0]])})
    [edge] = made.graph("0.resid_post/0").edges
    assert names((edge.source, edge.back, edge.target)) == ["0.resid_post/0", "0.resid_post/1", "1.resid_post/0"] and edge.rank is None
    assert edge.back_cosine > edge.cosine


def test_the_span_is_the_run_around_the_seed_whose_links_all_reach_t_res() -> None:
    """Angles of the only latent of each layer: 0, 60, 80, 90, 170 degrees, so links of .5, .94, .98, .17."""
    angles = torch.deg2rad(torch.tensor([0.0, 60, 80, 90, 170]))
    made = Rows({f"{i}.resid_post": torch.tensor([[angle.cos(), angle.sin()]]) for i, angle in enumerate(angles)})
    for t_res, span in ((0.4999, (0, 3)), (0.51, (1, 3)), (0.95, (2, 3)), (0.99, (2, 2)), (-1.0, (0, 4))):
        graph = made.graph("2.resid_post/0", t_res=t_res)
        assert graph.span == span and [node.site.layer for node in graph.nodes] == [*range(span[0], span[1] + 1)]
        whole = made.graph("2.resid_post/0", t_res=t_res, pruned=False)
        assert [node.in_span for node in whole.nodes] == [span[0] <= layer <= span[1] for layer in range(5)] and len(whole.edges) == 4


def test_one_best_shows_one_latent_a_point_and_top_k_adds_all_that_reach_the_thresholds() -> None:
    made = random_rows(2)
    how = {"t_res": 0.6, "t_module": 0.5, "pruned": False}
    best, more = made.graph("3.resid_post/2", top=1, **how), made.graph("3.resid_post/2", top=5, **how)
    assert best.path == more.path
    for graph, top in ((best, 1), (more, 5)):
        for target in graph.path:
            layer = target.sae.name[0]
            for point in (Point.ATTN_OUT, Point.MLP_OUT):
                sae = SaeId(RELEASE, f"{layer}.{point.value}")
                ranked = sorted((LatentId(sae, i) for i in range(20)), key=lambda one: -cosine(made, one, target))[:top]
                shown = [edge.source for edge in graph.into(target) if edge.source.sae == sae]
                assert set(shown) == {one for one in ranked if cosine(made, one, target) >= 0.5}
    assert {edge.rank for edge in more.edges} > {0, 1, 2} and {edge.rank for edge in best.edges} <= {0, None}
    assert {(edge.source, edge.target) for edge in best.edges} < {(edge.source, edge.target) for edge in more.edges}


def test_a_gap_between_layers_is_stated_and_linked_over() -> None:
    made = random_rows(3, layers=(1, 4, 5, 9))
    graph = made.graph("5.resid_post/0", pruned=False)
    gaps = {edge.target.sae.name: edge.gap for edge in graph.edges if edge.source in graph.path}
    assert gaps == {"4.resid_post": 2, "5.resid_post": 0, "9.resid_post": 3}
    assert any("Layers 2, 3 have no residual dictionary: links go from layer 1 to 4, over a gap of 2" in note for note in graph.notes)
    assert any("first residual dictionary is of layer 1" in note for note in graph.notes)


def test_a_site_without_a_dictionary_is_said_and_its_score_is_not_known() -> None:
    made = random_rows(4)
    del made.rows["2.attn_out"], made.rows["3.attn_out"]  # pyright: ignore[reportIndexIssue]
    graph = made.graph("3.resid_post/0", pruned=False)
    assert "No attn_out dictionary at layer 2, 3: what it adds there is not seen." in graph.notes
    scores = {node.site.layer: node.s_att for node in graph.nodes if node.on_path}
    assert scores[2] is None and scores[3] is None and scores[1] is not None


def test_a_dictionary_of_the_neurons_stands_for_the_mlp_where_none_reads_what_it_adds() -> None:
    rows = random_rows(0, (0, 1)).rows | {"1.mlp_post": torch.randn(20, 9)}
    assert Rows(rows).suite("1.resid_post").of_sae(SaeId(RELEASE, "1.mlp_out")) is not None
    assert Rows(rows).suite("1.resid_post").of_sae(SaeId(RELEASE, "1.mlp_post")) is None
    del rows["1.mlp_out"]
    for around in ("0.resid_post", "1.mlp_post"):
        layer = Rows(rows).suite(around).of_sae(SaeId(RELEASE, "1.mlp_post"))
        assert layer is not None and layer.resid == SaeId(RELEASE, "1.resid_post") and layer.before(Point.MLP_OUT) == layer.mlp


def test_a_seed_of_a_module_is_shown_and_leads_to_the_residual_latent_nearest_to_it() -> None:
    made = random_rows(5)
    graph = made.graph("2.mlp_out/4", t_module=0.99)
    seed = name("2.mlp_out/4")
    [edge] = graph.out_of(seed)
    assert edge.target == max((LatentId(SaeId(RELEASE, "2.resid_post"), i) for i in range(20)), key=lambda one: cosine(made, seed, one))
    assert edge.target in graph.path and graph.node(seed) is not None and graph.node(name("0.mlp_out/19")) is None


def test_directions_can_be_left_out_and_wrong_seeds_and_thresholds_are_refused() -> None:
    made = random_rows(6)
    layers = [latent.sae.name[0] for latent in made.graph("2.resid_post/0", backward=False, pruned=False).path]
    assert layers == ["2", "3", "4"]
    assert [latent.sae.name[0] for latent in made.graph("2.resid_post/0", forward=False, pruned=False).path] == ["0", "1", "2"]
    with pytest.raises(BadAsk, match=r"t_res is 1\.5"):
        FlowAsk(name("2.resid_post/0"), t_res=1.5)
    with pytest.raises(BadAsk, match="is not in this suite of 5 layers"):
        build(made, made.suite("2.resid_post"), FlowAsk(LatentId.parse("other/2.resid_post/0")))
    del made.rows["2.resid_post"]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(BadAsk, match=r"no residual dictionary at layer 2, .* Layers that have one: 0, 1, 3, 4"):
        made.suite("2.mlp_out")


@pytest.fixture
def chain(tiny_model: LoadedModel, tmp_path: Path) -> LocalRunner:
    """Two layers of dictionaries on the tiny model."""
    for seed, site in enumerate(("1.resid_post", "2.resid_post", "2.mlp_out")):
        layer, point = site.split(".")
        save_sae(tmp_path / RELEASE / site, f"blocks.{layer}.hook_{point}", random_weights(seed))
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", max_tokens=256, sae_folders=(tmp_path / RELEASE,))
    return LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)


def test_engine_and_local_runner_build_equal_graphs(chain: LocalRunner) -> None:
    ask = FlowAsk(name("2.resid_post/5"), top=3, pruned=False)
    suite = find_suite(chain.catalog, ask.seed.sae)
    engine = Engine(lambda: chain)
    try:
        assert build(engine, suite, ask) == build(chain, suite, ask)
    finally:
        engine.close()
    with pytest.raises(UnknownLatent):
        build(chain, suite, FlowAsk(name("2.resid_post/6400")))


def test_nodes_light_up_by_their_activations_on_the_text(chain: LocalRunner) -> None:
    ask = FlowAsk(name("2.resid_post/5"), top=3, t_module=0.0, pruned=False)
    graph = build(chain, find_suite(chain.catalog, ask.seed.sae), ask)
    shown = lit(chain, graph, Prompt(TEXT))
    assert [*shown.values] == [node.latent for node in graph.nodes] and any(value.any() for value in shown.values.values())
    for latent, value in shown.values.items():
        capture = chain.ask(CaptureAsk(Prompt(TEXT), (latent.sae,)))
        np.testing.assert_array_equal(value, capture.activations[latent.sae].of_latent(latent.index))
        assert len(value) == len(shown.texts) == len(shown.special) and shown.texts == capture.tokens.texts


@pytest.mark.parametrize("seed", ["2.resid_post/7", "3.mlp_out/2"])
def test_a_flow_graph_is_a_latent_graph_with_its_cosines_as_evidence(seed: str) -> None:
    graph = random_rows().graph(seed, t_res=-1.0, t_module=-1.0, top=2, pruned=False)
    made = as_latent_graph(graph)
    assert [node.key for node in made.nodes] == [node.id for node in graph.nodes] and str(made.focus) == str(graph.ask.seed)
    assert made.notes == graph.notes and not made.has_positions
    for edge, ours in zip(made.edges, graph.edges, strict=True):
        assert (str(edge.source), str(edge.target), edge.weight) == (str(ours.source), str(ours.target), ours.cosine)
        assert edge.evidence == (Evidence("cosine", ours.cosine),) and edge.is_doubtful is not ours.mutual
        assert len(edge.notes) == (ours.back != ours.source) + (ours.forth != ours.target)
    first, ours = made.nodes[-1], graph.nodes[-1]
    assert (first.site, first.figure("s_res"), first.figure("s_att")) == (ours.site, ours.s_res, ours.s_att)
    assert {node.key for node in made.nodes if "path" in node.tags} == {*map(str, graph.path)}


def test_the_report_is_plain_data_with_latents_by_name(chain: LocalRunner) -> None:
    ask = FlowAsk(name("2.resid_post/5"), pruned=False)
    graph = build(chain, find_suite(chain.catalog, ask.seed.sae), ask)
    card: ModelCard = chain.describe()
    record = make_record("flow", ask_data(ask), card, chain.catalog, [ask.seed.sae], 0.1)
    said = json.loads(json.dumps(report(graph, record), allow_nan=False))
    assert [*said] == ["nodes", "edges", "record"] and all([*edge] == ["source", "target", "weight"] for edge in said["edges"])
    assert {edge[end] for edge in said["edges"] for end in ("source", "target")} <= {node["id"] for node in said["nodes"]}
    assert said["record"]["ask"]["seed"] == f"{RELEASE}/2.resid_post/5" and said["record"]["span"] == list(graph.span)
    assert {(node["layer"], node["point"]) for node in said["nodes"]} >= {(1, "resid_post"), (2, "resid_post")}
    assert report(graph, record, both=True)["edges"][0]["forth"] == str(graph.edges[0].forth)
    assert card.d_model == D_MODEL
