"""The flow page without a browser: the graph on it, what each control changes, the address bar, and what goes wrong; tiny model."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from components.data import GraphKind, GraphRole, GraphRow
from components.graph import picture
from components.graph.files import circuit_json, graphml, web_page
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.flow.graph import build, lit
from dashboard.analysis.methods.flow.recipe import FlowPathAsk, path_edits
from dashboard.analysis.methods.flow.results import FlowAsk, FlowEdge, FlowGraph, FlowNode, LitGraph
from dashboard.analysis.methods.flow.schedule import path_latents
from dashboard.analysis.methods.flow.suite import find_suite
from dashboard.analysis.names import LatentId, SaeId, Site
from dashboard.analysis.notebook.notebook import LatentList
from dashboard.analysis.tokens import Prompt
from dashboard.ui.flow import present as present_flow
from dashboard.ui.parts import graphs
from dashboard.ui.shell import resources
from dashboard.ui.views import flow, steer
from tests.analysis.test_graphs import CIRCUIT
from tests.app_pages.conftest import Open, drawn, told

PAGE = "app_pages/flow.py"
FOX = "The quick brown fox"
SEED = LatentId(SaeId("tiny", "2.resid_post"), 7)
WIDE = {"seed": str(SEED), "t_res": "0", "t_module": "0", "all": "1"}
"""The whole graph: the tiny dictionaries are random, so that no link is strong."""


def opened(open_page: Open, **query: str | list[str]) -> AppTest:
    app = open_page(PAGE, **(WIDE | query))
    assert not app.exception and not app.error
    return app


def graph_of(runner: LocalRunner, seed: LatentId = SEED, **how: object) -> FlowGraph:
    ask = FlowAsk(seed, **({"t_res": 0.0, "t_module": 0.0, "pruned": False} | how))  # pyright: ignore[reportArgumentType]
    return build(runner, find_suite(runner.catalog, seed.sae), ask)


def canvas(app: AppTest) -> dict:
    found = drawn(app, "graph_canvas")
    assert found is not None
    return found


def components(app: AppTest) -> list[str]:
    """The data of every component of ours, as JSON."""
    return [one.proto.json for one in app.get("bidi_component") if one.proto.json]


def in_url(app: AppTest, name: str) -> list[str]:
    value = app.query_params[name]
    return [value] if isinstance(value, str) else list(value)


def widget(app: AppTest, key: str):
    return app.get_by_key(key)


def test_the_canvas_draws_the_graph_of_the_method(open_page: Open, runner: LocalRunner) -> None:
    found, graph = canvas(opened(open_page)), graph_of(runner)
    assert {node["id"] for node in found["nodes"]} == {node.id for node in graph.nodes} and len(graph.nodes) > 2
    assert {(edge["from"], edge["to"], edge["weight"]) for edge in found["edges"]} == {
        (str(edge.source), str(edge.target), edge.cosine) for edge in graph.edges
    }
    assert [node["id"] for node in found["nodes"] if node["seed"]] == [str(SEED)]
    assert found["selected"] == str(SEED) and found["heat"] is None


def test_first_open_shows_some_latent_of_a_residual_dictionary(open_page: Open) -> None:
    app = open_page(PAGE)
    assert not app.exception and not app.error
    (seed,) = [node for node in canvas(app)["nodes"] if node["seed"]]
    assert seed["row"] == "resid" and in_url(app, "seed") == [seed["id"]]


def test_thresholds_and_switches_change_the_graph_and_the_address(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page)
    highest = max(edge.cosine for edge in graph_of(runner).edges if "mlp" in str(edge.source))
    widget(app, flow.PAGE.key("t_module")).set_value(min(1.0, round(highest + 0.05, 2))).run()
    assert not [node for node in canvas(app)["nodes"] if node["row"] == "mlp"]
    widget(app, flow.PAGE.key("every_layer")).set_value(False).run()
    widget(app, flow.PAGE.key("t_res")).set_value(1.0).run()
    assert [node["id"] for node in canvas(app)["nodes"]] == [str(SEED)]
    assert in_url(app, "t_res") == ["1"] and "all" not in app.query_params
    widget(app, flow.PAGE.key("undo")).click().run()
    widget(app, flow.PAGE.key("undo")).click().run()
    widget(app, flow.PAGE.key("undo")).click().run()
    assert {node["id"] for node in canvas(app)["nodes"]} == {node.id for node in graph_of(runner).nodes}
    assert in_url(app, "all") == ["1"] and widget(app, flow.PAGE.key("undo")).disabled


def test_the_select_box_does_what_a_click_does_and_the_graph_stays(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page)
    before = canvas(app)
    other = next(node.id for node in graph_of(runner).nodes if node.id != str(SEED))
    widget(app, flow.PAGE.key("choice")).set_value(other).run()
    after = canvas(app)
    assert after["selected"] == other and in_url(app, "chosen") == [other]
    assert {**after, "selected": 0} == {**before, "selected": 0}
    assert any(other in caption.value for caption in app.caption)
    edge = next(edge for edge in before["edges"])
    widget(app, flow.PAGE.key("choice")).set_value(edge["id"]).run()
    assert canvas(app)["selected"] == edge["id"]
    assert any(f"Cosine {edge['weight']:.2f}" in one.value.replace("\\", "") for one in app.markdown)


def test_pin_follow_and_undo(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page)
    other = next(node for node in graph_of(runner).nodes if node.id != str(SEED))
    widget(app, flow.PAGE.key("choice")).set_value(other.id).run()
    widget(app, flow.PAGE.key("pin")).click().run()
    assert canvas(app)["pinned"] == in_url(app, "pin") == [other.id]
    widget(app, flow.PAGE.key("follow")).click().run()
    assert [node["id"] for node in canvas(app)["nodes"] if node["seed"]] == [other.id] == in_url(app, "seed")
    assert canvas(app)["pinned"] == [other.id]
    widget(app, flow.PAGE.key("undo")).click().run()
    assert in_url(app, "seed") == [str(SEED)] and in_url(app, "pin") == [other.id]


def test_a_link_brings_all_of_it_back(open_page: Open, runner: LocalRunner) -> None:
    nodes = graph_of(runner, top=2).nodes
    query = {
        "top": "2", "chosen": nodes[0].id, "pin": [nodes[1].id, nodes[-1].id], "prompt": FOX, "token": "3", "groups": "1",
        "other": "tiny/1.resid_post/3",
    }  # fmt: skip
    app = opened(open_page, **query)
    found = canvas(app)
    assert found["selected"] == nodes[0].id and found["pinned"] == [nodes[1].id, nodes[-1].id] and found["heat"] is not None
    canvases = [one for one in app.get("bidi_component") if one.proto.component_name.endswith("graph_canvas")]
    assert len(canvases) == 2
    seeds = [[node["id"] for node in json.loads(one.proto.json)["nodes"] if node["seed"]] for one in canvases]
    assert seeds == [[str(SEED)], ["tiny/1.resid_post/3"]]
    for name, value in (WIDE | query).items():
        assert in_url(app, name) == ([value] if isinstance(value, str) else value), name


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"seed": "tiny/2.resid_post/900"}, "has 64 latents"),
        ({"t_res": "hot"}, "t_res='hot' is not a cosine from 0 to 1"),
        ({"top": "77"}, "is not a number from 1 to 5"),
        ({"pin": ["no"]}, "no"),
        ({"token": "1.5"}, "is not a position"),
    ],
)
def test_what_is_wrong_in_a_link_is_said_and_the_rest_is_drawn(open_page: Open, query: dict, said: str) -> None:
    app = open_page(PAGE, **(WIDE | query))
    assert not app.exception and said in told(app) and canvas(app)["nodes"]


def test_a_wrong_seed_is_refused_with_what_is_possible_and_the_graph_stays(open_page: Open) -> None:
    app = opened(open_page)
    widget(app, flow.PAGE.key("seed")).set_value("900").run()
    assert "64 latents" in told(app) and in_url(app, "seed") == [str(SEED)] and widget(app, flow.PAGE.key("seed")).value == str(SEED)
    widget(app, flow.PAGE.key("seed")).set_value("9").run()
    assert in_url(app, "seed") == ["tiny/2.resid_post/9"]


def test_a_text_lights_the_nodes_and_the_slider_moves_along(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page)
    widget(app, flow.PAGE.key("text")).set_value(FOX).run()
    graph = graph_of(runner)
    found = lit(runner, graph, Prompt(FOX))
    ordinary = [i for i, special in enumerate(found.special) if not special]
    token = int(in_url(app, "token")[0])
    assert token in ordinary and found.values[SEED][token] == max(found.values[SEED][i] for i in ordinary)
    other = ordinary[0] if token != ordinary[0] else ordinary[1]
    widget(app, flow.PAGE.key("token")).set_value(other).run()
    heat = canvas(app)["heat"]
    assert set(heat) == {str(latent) for latent, values in found.values.items() if values[other] > 0}
    assert all(0 < share <= 1 and f"{found.values[LatentId.parse(key)][other]:.4f}" in said for key, (share, said) in heat.items())
    assert drawn(app, "token_strip")["selected"] == other


def test_the_chosen_latent_and_all_pinned_ones_are_added_to_a_list(open_page: Open, runner: LocalRunner) -> None:
    nodes = [node.id for node in graph_of(runner).nodes if node.id != str(SEED)]
    book = resources.get_notebook()
    book.save_list(LatentList("found"))
    app = opened(open_page, chosen=nodes[0], pin=nodes[1:3])
    widget(app, flow.PAGE.key("lists")).set_value("found").run()
    assert [str(entry.latent) for entry in book.get_list("found").entries] == [nodes[0]]
    assert [toast.value.replace("\\", "") for toast in app.toast] == ["1 latent is in the list found."] and widget(
        app, flow.PAGE.key("lists")
    ).value is None
    widget(app, flow.PAGE.key("lists of pins")).set_value("found").run()
    assert [str(entry.latent) for entry in book.get_list("found").entries] == nodes[:3] and not app.exception
    assert canvas(app)["selected"] == nodes[0]


def test_what_a_threshold_takes_off_the_screen_is_no_longer_chosen_and_comes_back_with_it(open_page: Open, runner: LocalRunner) -> None:
    edge = next(edge for edge in graph_of(runner).edges if "mlp" in str(edge.source))
    key = f"{edge.source} {edge.target}"
    app = opened(open_page, chosen=key, prompt=FOX)
    assert canvas(app)["selected"] == key and drawn(app, "token_strip")["scale"]["label"] == str(edge.target)
    widget(app, flow.PAGE.key("t_module")).set_value(1.0).run()
    assert canvas(app)["selected"] == str(SEED) == drawn(app, "token_strip")["scale"]["label"] and "chosen" not in app.query_params
    assert any(f"`{SEED}`" == caption.value for caption in app.caption)
    widget(app, flow.PAGE.key("t_module")).set_value(0.0).run()
    assert canvas(app)["selected"] == key and in_url(app, "chosen") == [key]


def test_what_is_chosen_in_a_second_graph_shades_the_text(open_page: Open, runner: LocalRunner) -> None:
    other = LatentId(SaeId("tiny", "1.resid_post"), 3)
    only = next(node.id for node in graph_of(runner, other).nodes if node.latent not in {one.latent for one in graph_of(runner).nodes})
    app = opened(open_page, other=str(other), chosen=only, prompt=FOX)
    assert drawn(app, "token_strip")["scale"]["label"] == only


@pytest.mark.parametrize("suffix", ["html", "graphml", "json"])
def test_a_saved_graph_is_looked_at_again_and_what_is_no_graph_is_refused(open_page: Open, runner: LocalRunner, suffix: str) -> None:
    picture_of = present_flow.drawn(graph_of(runner), lambda latent: f"label of {latent.index}")
    nodes, edges = picture_of.nodes, picture_of.edges
    json_file = circuit_json(nodes, edges, slug="s", scan="m", description="d", generator="g")
    text = {"html": web_page(picture_of, "A flow"), "graphml": graphml(nodes, edges), "json": json.dumps(json_file)}[suffix]
    app = opened(open_page)
    widget(app, flow.PAGE.key("import")).set_value((f"flow.{suffix}", text.encode(), "text/plain")).run()
    assert not app.exception and not app.error
    again = next(
        one for one in map(json.loads, components(app)) if one.get("nodes") and one["nodes"][0].get("meaning", "").startswith("label")
    )
    assert {node["id"]: node["meaning"] for node in again["nodes"]} == {one.key: one.label for one in nodes}
    widget(app, flow.PAGE.key("import")).set_value((f"flow.{suffix}", b"nothing of the kind", "text/plain")).run()
    assert "the flow page" in told(app) and canvas(app)["nodes"]


def stale() -> None:
    import streamlit as st

    from components.graph.picture import picture
    from dashboard.analysis.names import LatentId
    from dashboard.ui.views import flow
    from tests.components.graph.test_graph import chain

    nodes, edges = chain()
    seed = LatentId.parse(nodes[0].key)
    flow.PAGE.take(flow.FlowView(seed))
    drawn = picture(nodes, edges)
    for click in st.session_state["clicks"]:
        st.session_state[flow.PAGE.key("canvas")] = {"clicked": {"graph": drawn.token, **click}}
        flow.click("canvas", drawn)
        said = [flow.PAGE.view.selected or "nothing", *map(str, flow.PAGE.view.pins), *flow.PAGE.said()]
        st.text(" | ".join(said))


def test_clicks_choose_and_pin_and_stale_ones_are_refused_with_a_word() -> None:
    app = AppTest.from_function(stale, default_timeout=60)
    node = "tiny/8.mlp_out/1"
    app.session_state["clicks"] = [
        {"kind": "click", "node": node},
        {"kind": "shift", "node": node},
        {"kind": "click", "node": node, "graph": "older"},
        {"kind": "click", "node": "tiny/1.resid_post/63"},
        {"kind": "click"},
    ]
    app.run()
    assert not app.exception
    assert [one.value for one in app.text] == [
        node,
        f"{node} | {node}",
        f"{node} | {node} | The graph has changed since that click; click again.",
        f"{node} | {node} | tiny/1.resid_post/63 is not in the graph on the screen; click again.",
        f"nothing | {node}",
    ]


def unpins() -> None:
    import streamlit as st

    from dashboard.analysis.names import LatentId
    from dashboard.ui.views import flow

    pins = ("tiny/1.resid_post/1", "tiny/2.resid_post/2", "tiny/2.mlp_out/3")
    flow.PAGE.take(flow.FlowView(LatentId.parse(pins[0]), pins=tuple(map(LatentId.parse, pins))))
    for unpinned in (pins[1], None):
        st.session_state[flow.PAGE.key("strip")] = {"unpinned": unpinned}
        flow.unpin_in_strip()
        st.text(" ".join(map(str, flow.PAGE.view.pins)))


def test_the_cross_of_one_pin_takes_away_no_other() -> None:
    app = AppTest.from_function(unpins, default_timeout=60).run()
    assert not app.exception
    assert [one.value for one in app.text] == ["tiny/1.resid_post/1 tiny/2.mlp_out/3"] * 2


def test_a_click_lays_nothing_out_again(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out: list[int] = []
    monkeypatch.setattr(picture, "lay_out", lambda *graph, lay_out=picture.lay_out: laid_out.append(1) or lay_out(*graph))
    app = opened(open_page, t_res="0.01")
    assert len(laid_out) == 1
    chosen = next(node.id for node in graph_of(runner, t_res=0.01).nodes if node.latent != SEED)
    widget(app, flow.PAGE.key("choice")).set_value(chosen).run()
    assert canvas(app)["selected"] == chosen and len(laid_out) == 1
    widget(app, flow.PAGE.key("t_module")).set_value(1.0).run()
    assert len(laid_out) == 2


def test_the_canvas_draws_any_graph_over_a_model() -> None:
    drawn_of = graphs.drawn(CIRCUIT, lambda latent: f"label of {latent.index}")
    kinds = [(node.kind, node.row, node.name or node.index, node.label, node.position) for node in drawn_of.nodes]
    assert kinds == [
        (GraphKind.TOKEN, GraphRow.EMBED, "The", "", 0),
        (GraphKind.LATENT, GraphRow.MLP, 3, "label of 3", 0),
        (GraphKind.LATENT, GraphRow.RESID, 5, "label of 5", 1),
        (GraphKind.ERROR, GraphRow.RESID, "error", "", 1),
        (GraphKind.LOGIT, GraphRow.LOGIT, " dog", "", 1),
    ]
    assert [node.role.value for node in drawn_of.nodes] == ["token", "mlp", "res", "error", "logit"]
    assert [node.is_seed for node in drawn_of.nodes] == [False, False, False, False, True]
    assert drawn_of.nodes[-1].note == "probability 0.25\nrank not known"
    signed = drawn_of.edges[1]
    assert (signed.weight, signed.is_mutual) == (-1.5, False)
    assert signed.note.splitlines() == ["attribution -1.5000 over 12", "cosine -0.2500", "through head 3"]
    names = graphs.choices(drawn_of)
    assert names["token:464@0"] == "0 tokens The at 0" and names[signed.key] == "0 MLP 3 at 0 → 1 residual 5 at 1  -1.50"
    assert graphs.about(drawn_of, signed.key).endswith("through head 3")


def node(site: str, index: int = 0, **has: object) -> FlowNode:
    return FlowNode(LatentId(SaeId("r", site), index), Site.parse(site), True, True, **has)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("scores", "role"),
    [
        ((0.6, 0.1, 0.1), GraphRole.RES),
        ((0.6, 0.2, 0.1), GraphRole.RES_MLP),
        ((0.6, 0.2, 0.15), GraphRole.RES_MLP_ATT),
        ((0.4, 0.1, 0.3), GraphRole.ATT),
        ((0.4, 0.2, 0.3), GraphRole.MLP_ATT),
        ((0.4, 0.1, 0.1), GraphRole.NOWHERE),
        ((0.5, None, None), GraphRole.RES),
        ((None, 0.9, 0.1), GraphRole.NOT_KNOWN),
    ],
)
def test_an_origin_is_what_reaches_its_threshold(scores: tuple, role: GraphRole) -> None:
    one = node("3.resid_post", s_res=scores[0], s_mlp=scores[1], s_att=scores[2])
    assert present_flow.role_of(one, FlowAsk(one.latent)) is role
    assert present_flow.role_of(node("3.mlp_out"), FlowAsk(one.latent)) is GraphRole.MLP
    assert present_flow.row_of(node("3.attn_out")) is GraphRow.ATTN


def test_supernodes_are_latents_whose_labels_share_words() -> None:
    labels = [
        '"Rome", "Paris"; promotes "x"',
        '"Paris", "Seoul"; promotes "y"',
        '"Seoul", "Oslo"; promotes "z"',
        '"the", "x"',
        "",
        '",", "."',
    ]
    nodes = tuple(node("3.resid_post", i) for i in range(len(labels)))
    graph = FlowGraph(FlowAsk(nodes[0].latent), nodes, (), (3, 3), (), (nodes[0].latent,))
    named = {one.latent: label for one, label in zip(nodes, labels, strict=True)}
    (group,) = present_flow.supernodes(graph, named.__getitem__)
    assert group.members == tuple(one.id for one in nodes[:3]) and group.name == "paris, seoul"


def test_what_is_not_mutual_about_a_link_is_said() -> None:
    a, b, c = (LatentId(SaeId("r", f"{i}.resid_post"), i) for i in range(3))
    mutual = present_flow.edge_note(FlowEdge(a, b, 0.51234, a, 0.51234, b, 0.51234))
    assert mutual == "cosine 0.5123"
    said = present_flow.edge_note(FlowEdge(a, b, 0.5, c, 0.9, c, 0.8, None, 2))
    assert said.splitlines()[1:] == [
        "over a gap of 2 layers",
        f"the later one's best there is {c} (0.90)",
        f"the earlier one's best there is {c} (0.80)",
    ]


def test_the_path_goes_to_the_steer_page_as_edits_that_it_can_read(open_page: Open, runner: LocalRunner) -> None:
    graph = graph_of(runner)
    edits = [str(edit) for edit in path_edits(graph, FlowPathAsk(graph.ask.seed, t_res=graph.ask.t_res)).edits]
    assert len(edits) == len(path_latents(graph)) <= steer.MAX_EDITS
    app = open_page("app_pages/steer.py", prompt=FOX, edit=edits)
    assert not app.exception
    assert in_url(app, "edit") == edits


def test_light_is_a_share_of_the_largest_that_is_known(runner: LocalRunner) -> None:
    graph = graph_of(runner)
    found = lit(runner, graph, Prompt(FOX))
    assert isinstance(found, LitGraph)
    for token in range(len(found.texts)):
        heat = present_flow.heat(graph, found, token)
        for one in graph.nodes:
            values = found.values[one.latent]
            assert (one.id in heat) == (values[token] > 0)
            if one.id in heat:
                assert heat[one.id].share == pytest.approx(values[token] / values.max())


def test_predecessors_are_removed_on_the_chosen_token_when_asked(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, prompt=FOX)
    assert not any("it fires at" in one.value for one in app.markdown)
    app = opened(open_page)
    app.session_state[flow.PAGE.key("without")] = True
    app.run()
    assert not app.exception and any("Enter a text below the graph" in one.value for one in app.caption)
