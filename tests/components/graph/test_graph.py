"""A graph over layers: it goes forward, its text stays text, its files can be read again."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from components.data import ClickKind, GraphClick, GraphEdge, GraphGroup, GraphKind, GraphNode, GraphRole, GraphRow
from components.graph.files import MAX_NODES, circuit_json, graphml, read_circuit_json, read_file, read_graphml, web_page
from components.graph.layout import PITCH, STACK, forward_order, lay_out
from components.graph.picture import GraphLook, from_networkx, picture, to_networkx, vis_library
from components.graph.svg import graph_svg
from components.graph_canvas import canvas_data, read_click
from components.palette import DARK, LIGHT, ORIGINS
from tests.components.test_components import HOSTILE, Read
from tests.components.test_palette import contrast, linear

ROWS = {GraphRow.RESID: "resid_post", GraphRow.MLP: "mlp_out", GraphRow.ATTN: "attn_out"}
"""Of a flow."""


def node(layer: int, row: GraphRow, index: int, label: str = "", *, seed: bool = False) -> GraphNode:
    role = {GraphRow.RESID: GraphRole.RES, GraphRow.MLP: GraphRole.MLP, GraphRow.ATTN: GraphRole.ATT}.get(row, GraphRole.NOT_KNOWN)
    return GraphNode(f"tiny/{layer}.{ROWS.get(row, row.value)}/{index}", layer, row, index, label, role, "note", seed)


def chain(layers: tuple[int, ...] = (8, 9, 12), per_cell: int = 2) -> tuple[list[GraphNode], list[GraphEdge]]:
    """Every cell filled; each residual node has links from both modules of its layer and from the residual before."""
    cells = {
        (layer, row): [node(layer, row, place, seed=(layer, row, place) == (layers[-1], GraphRow.RESID, 0)) for place in range(per_cell)]
        for layer in layers
        for row in ROWS
    }
    edges: list[GraphEdge] = []
    for place, layer in enumerate(layers):
        for target in cells[layer, GraphRow.RESID]:
            feeds = [*cells[layer, GraphRow.MLP], *cells[layer, GraphRow.ATTN]]
            feeds += cells[layers[place - 1], GraphRow.RESID] if place else []
            edges += [GraphEdge(source.key, target.key, 0.5, "n", source.index == 0) for source in feeds]
    return [one for cell in cells.values() for one in cell], edges


def placed(one: GraphNode, kind: GraphKind, at: int | None, name: str) -> GraphNode:
    """The node at a position; what belongs to no layer is what its row says."""
    kind = {GraphRow.EMBED: GraphKind.TOKEN, GraphRow.LOGIT: GraphKind.LOGIT}.get(one.row, kind)
    return replace(one, key=f"{kind.value}:{one.key}@{at}", kind=kind, position=at, name=name)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[GraphNode], list[GraphEdge]]:
    """Any graph whose links all go forward: over layers, or over the positions of a text."""
    places = st.tuples(st.integers(0, 40), st.sampled_from(GraphRow), st.integers(0, 5))
    text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
    nodes = [node(*place, draw(text)) for place in draw(st.lists(places, min_size=1, max_size=12, unique=True))]
    if draw(st.booleans()):
        kinds, at = st.sampled_from([GraphKind.LATENT, GraphKind.ERROR]), st.integers(0, 3) | st.none()
        nodes = [placed(one, draw(kinds), draw(at), draw(text)) for one in nodes]
    pairs = [(a, b) for a in nodes for b in nodes if forward_order(a) < forward_order(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=12, unique=True)) if pairs else []
    weight = st.floats(-1, 1)
    return nodes, [GraphEdge(a.key, b.key, draw(weight), draw(text), draw(st.booleans())) for a, b in chosen]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_link_is_drawn_to_the_right_and_up_where_columns_are_positions(graph: tuple[list[GraphNode], list[GraphEdge]]) -> None:
    at = lay_out(*graph).at
    assert len(at) == len(graph[0]) == len(set(at.values()))
    for edge in graph[1]:
        (x0, y0), (x1, y1) = at[edge.source], at[edge.target]
        source, target = (next(one for one in graph[0] if one.key == key) for key in (edge.source, edge.target))
        if any(one.position is not None for one in graph[0]):
            assert y0 > y1, edge.key  # columns are positions there
        else:
            between_modules = source.layer == target.layer and target.row in (GraphRow.MLP, GraphRow.MID)
            assert x0 < x1 or (between_modules and y0 > y1), edge.key


def test_rows_are_fixed_and_nothing_overlaps_at_forty_nodes() -> None:
    nodes, edges = chain((8, 9, 10, 11, 12, 13, 14), 2)
    assert len(nodes) == 42
    drawn = lay_out(nodes, edges)
    assert [band.row for band in drawn.bands] == [GraphRow.RESID, GraphRow.MLP, GraphRow.ATTN]
    for one in nodes:
        band = next(each for each in drawn.bands if each.row is one.row)
        assert band.top < drawn.at[one.key][1] < band.bottom
    # A node with its label fills a box of one pitch by one stack; no two boxes share a point.
    up = {GraphRow.RESID: 0.78 * STACK, GraphRow.MLP: 0.3 * STACK, GraphRow.ATTN: 0.3 * STACK}
    boxes = [(drawn.at[one.key][0], drawn.at[one.key][1] - up[one.row]) for one in nodes]
    assert all(abs(a[0] - b[0]) >= PITCH - 1e-9 or abs(a[1] - b[1]) >= STACK - 1e-9 for i, a in enumerate(boxes) for b in boxes[:i])


def test_layers_left_out_leave_a_gap() -> None:
    columns = lay_out(chain((8, 9, 12))[0]).columns
    assert [(column.number, column.after_gap) for column in columns] == [(8, False), (9, False), (12, True)]
    assert [column.title for column in columns] == ["layer 8", "9", "12"]
    assert columns[2].x - columns[1].x > columns[1].x - columns[0].x


def test_a_graph_that_goes_backward_or_nowhere_or_says_a_thing_twice_is_refused() -> None:
    nodes, _ = chain((8, 9), 1)
    first, last = node(8, GraphRow.RESID, 0), node(9, GraphRow.RESID, 0)
    with pytest.raises(ValueError, match="goes backward"):
        picture(nodes, [GraphEdge(last.key, first.key, 0.5, "")])
    with pytest.raises(ValueError, match="not in the graph"):
        picture(nodes, [GraphEdge("tiny/7.resid_post/1", first.key, 0.5, "")])
    with pytest.raises(ValueError, match="twice"):
        picture([*nodes, nodes[0]], [])


def test_pyvis_gets_every_node_and_link_with_its_place_and_width_and_the_graph_stays_as_it_is() -> None:
    nodes, edges = chain()
    drawn = picture(nodes, edges)
    assert [one["id"] for one in drawn.network.nodes] == [one.key for one in nodes]
    assert {(one["x"], one["y"]) for one in drawn.network.nodes} == set(drawn.layout.at.values())
    by_key = {one["id"]: one for one in drawn.network.edges}
    assert set(by_key) == {one.key for one in edges} and all((one["from"], one["to"]) == tuple(key.split()) for key, one in by_key.items())
    assert all(one["weight"] == 0.5 and one["width"] > 0.75 for one in drawn.network.edges)
    assert all(by_key[one.key]["dashes"] is not one.is_mutual for one in edges)
    assert drawn.network.options["physics"] == {"enabled": False}
    back_nodes, back_edges = from_networkx(to_networkx(nodes, edges))
    assert back_nodes == tuple(nodes) and set(back_edges) == set(edges)


def test_a_wider_link_has_a_larger_cosine() -> None:
    nodes, _ = chain((8, 9, 10), 1)
    keys = [one.key for one in nodes if one.row is GraphRow.RESID]
    drawn = picture(
        nodes, [GraphEdge(keys[0], keys[1], 0.3, ""), GraphEdge(keys[1], keys[2], 0.9, ""), GraphEdge(keys[0], keys[2], -1, "")]
    )
    width = {one["weight"]: one["width"] for one in drawn.network.edges}
    assert width[-1] < width[0.3] < width[0.9]


def circuit() -> tuple[list[GraphNode], list[GraphEdge]]:
    """A token, an error, two latents and a logit at two positions, with effects of both signs."""
    token = placed(node(0, GraphRow.EMBED, 464, " The"), GraphKind.TOKEN, 0, "The")
    early, late = (
        placed(node(layer, row, 3), GraphKind.LATENT, at, "") for layer, row, at in ((2, GraphRow.MLP, 0), (5, GraphRow.RESID, 1))
    )
    error = placed(node(5, GraphRow.RESID, 0), GraphKind.ERROR, 1, "error")
    logit = placed(node(5, GraphRow.LOGIT, 7, seed=True), GraphKind.LOGIT, 1, "dog")
    pairs = ((token, early, 4.0), (early, late, -8.0), (late, logit, 2.0), (error, logit, -2.0))
    return [token, early, late, error, logit], [GraphEdge(a.key, b.key, weight, "n", weight > 0) for a, b, weight in pairs]


def test_a_circuit_on_a_text_has_a_column_a_position_and_a_row_a_part_of_each_layer() -> None:
    drawn = picture(*circuit(), GraphLook("what it is", signed=True, titles=((0, "The"), (1, "cat"))))
    assert [column.title for column in drawn.layout.columns] == ["The", "cat"]
    assert [band.title for band in drawn.layout.bands] == ["logits", "5 residual", "2 MLP", "tokens"]
    data = canvas_data(drawn)
    assert data["legend_title"] == "what it is" and [one["shape"] for one in data["nodes"]] == [
        "square",
        "square",
        "dot",
        "diamond",
        "star",
    ]
    assert [one.get("name") for one in data["nodes"]] == ["The", None, None, "error", "dog"]


def test_effects_of_one_size_are_of_one_width_whatever_their_sign_which_has_a_colour() -> None:
    nodes, edges = circuit()
    strong, against, weak, weak_against = picture(nodes, edges, GraphLook(signed=True)).network.edges
    assert against["width"] > strong["width"] > weak["width"] == weak_against["width"]
    assert [one.get("against", False) for one in (strong, against, weak, weak_against)] == [False, True, False, True]
    tree = ElementTree.fromstring(graph_svg(picture(nodes, edges, GraphLook(signed=True)), "circuit"))
    links = [one for one in tree.iter("{http://www.w3.org/2000/svg}path") if "link" in one.get("class", "")]
    assert [one.get("class") for one in links] == ["link", "link against", "link", "link against"]
    assert not any("against" in one for one in picture(nodes, edges).network.edges)


def test_another_graph_has_another_token_and_the_same_graph_the_same() -> None:
    nodes, edges = chain()
    token = picture(nodes, edges).token
    assert picture(nodes, edges).token == token
    assert len({token, picture(nodes, edges[1:]).token, picture(nodes[::-1], edges).token}) == 3


def test_a_click_on_what_is_not_on_the_screen_is_refused_with_a_word() -> None:
    nodes, edges = chain()
    drawn = picture(nodes, edges)
    good = {"kind": "shift", "graph": drawn.token, "node": nodes[0].key, "edge": ""}
    assert read_click(good, drawn) == GraphClick(ClickKind.SHIFT, drawn.token, nodes[0].key, "")
    assert read_click(good | {"node": "", "edge": edges[0].key}, drawn) == GraphClick(ClickKind.SHIFT, drawn.token, "", edges[0].key)
    assert read_click(good | {"graph": picture(nodes, []).token}, drawn) == "The graph has changed since that click; click again."
    assert "is not in the graph on the screen" in str(read_click(good | {"node": "tiny/1.mlp_out/1"}, drawn))
    assert "not in the graph on the screen" in str(read_click(good | {"node": "", "edge": "a b"}, drawn))
    assert read_click(good | {"kind": "drag"}, drawn) == read_click(None, drawn) == "This was not a click on a graph."


def test_the_canvas_gets_plain_json_and_its_library_once() -> None:
    def script() -> None:
        from components.data import GraphHeat
        from components.graph.picture import picture
        from components.graph_canvas import graph_canvas
        from tests.components.graph.test_graph import chain

        graph_canvas(
            picture(*chain()),
            selected="x",
            pinned=["y"],
            heat={"z": GraphHeat(0.5, "1.5")},
            heat_legend="m",
            key="c",
            on_click=lambda: None,
        )

    app = AppTest.from_function(script).run()
    assert not app.exception
    canvas, library = app.get("bidi_component")
    assert library.proto.component_name.endswith("vis_network") and len(library.proto.json) < 10
    drawn = json.loads(canvas.proto.json)
    assert drawn["selected"] == "x" and drawn["pinned"] == ["y"] and drawn["heat"] == {"z": [0.5, "1.5"]} and drawn["heat_legend"] == "m"
    assert drawn["legend"] == [["res", "residual"], ["mlp", "MLP"], ["att", "attention"]]
    assert len(canvas.proto.json) < 20_000


def test_the_library_is_the_one_that_pyvis_ships_and_names_no_file_that_is_not_there() -> None:
    text = vis_library()
    assert "vis-network" in text[:200] and "@version 9.1" in text[:400] and "sourceMappingURL" not in text and "</script" not in text


def hostile() -> tuple[list[GraphNode], list[GraphEdge]]:
    nodes = [GraphNode(f"tiny/{i}.resid_post/1", i, GraphRow.RESID, 1, HOSTILE, GraphRole.RES, HOSTILE) for i in (1, 2)]
    return nodes, [GraphEdge(nodes[0].key, nodes[1].key, 0.5, HOSTILE)]


def test_a_web_page_keeps_hostile_text_as_text_runs_only_its_own_and_loads_nothing() -> None:
    drawn = picture(*hostile())
    text = web_page(drawn, HOSTILE, [(HOSTILE, HOSTILE)], groups=[GraphGroup(HOSTILE, (drawn.nodes[0].key,))])
    page = Read(text)
    assert page.of("h1") == page.of("title") == page.of("dt") == page.of("dd") == [HOSTILE]
    scripts = page.of("script")
    assert len(scripts) == 6 and scripts[4] == vis_library()
    assert json.loads(scripts[0])[0]["meaning"] == json.loads(scripts[1])[0]["note"] == HOSTILE
    assert json.loads(scripts[3])["groups"][0]["name"] == HOSTILE and json.loads(scripts[2])["physics"] == {"enabled": False}
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in page.policy and "http" not in page.policy
    assert not {"src", "href", "style", "action"} & {name for _, have in page.elements for name in have}
    own = text.replace(vis_library(), "")
    assert not re.search(r"\b(https?|wss?):|@import|\burl\(|\bfetch\b", own)
    assert read_click({"kind": "click", "graph": drawn.token}, drawn)


def test_an_svg_is_well_formed_holds_every_node_and_link_and_no_script() -> None:
    nodes, edges = chain()
    tree = ElementTree.fromstring(graph_svg(picture(nodes, edges), HOSTILE, ["\x00" + HOSTILE]))
    space = "{http://www.w3.org/2000/svg}"
    assert tree.find(f"{space}title").text == HOSTILE  # pyright: ignore[reportOptionalMemberAccess]
    assert len(tree.findall(f"{space}path")) == len(edges) and len(tree.findall(f"{space}g")) == len(nodes)
    assert not list(tree.iter(f"{space}script"))
    assert [text.text for text in tree.findall(f"{space}text")][-1] == "\u2400" + HOSTILE
    ElementTree.fromstring(graph_svg(picture(*hostile()), HOSTILE))


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_a_saved_graph_can_be_read_again_from_each_of_its_files(graph: tuple[list[GraphNode], list[GraphEdge]]) -> None:
    nodes, edges = graph
    back_nodes, back_edges = read_graphml(graphml(nodes, edges))
    assert set(back_nodes) == set(nodes) and set(back_edges) == set(edges)
    back_nodes, back_edges = read_file(web_page(picture(nodes, edges), "A flow", [("Note", HOSTILE)]))
    assert set(back_nodes) == set(nodes) and set(back_edges) == set(edges)
    said = circuit_json(nodes, edges, slug="s", scan="m", description="d", generator="g")
    back_nodes, back_edges = read_file(json.dumps(said))
    assert list(back_nodes) == [replace(one, note="") for one in nodes]
    assert [(one.key, one.weight) for one in back_edges] == [(one.key, one.weight) for one in edges]


def test_a_web_page_of_somebody_else_is_refused() -> None:
    for text in ("<!DOCTYPE html><p>hello", '<html><script type="application/json" id="nodes">[{"id": 1}]</script>', "<!doctype html>"):
        with pytest.raises(ValueError, match="not a web page that the flow page wrote"):
            read_file(text)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 7.5])
def test_a_file_whose_weights_are_no_cosines_is_refused(weight: float) -> None:
    nodes, edges = chain()
    wrong = [GraphEdge(edges[0].source, edges[0].target, weight, ""), *edges[1:]]
    said = circuit_json(nodes, wrong, slug="s", scan="m", description="d", generator="g")
    for text in (json.dumps(said), graphml(nodes, wrong)):
        with pytest.raises(ValueError, match="a cosine is -1 to 1"):
            read_file(text)
    for text in ('{"nodes":' + "[" * 200_000, "{broken"):
        with pytest.raises(ValueError, match="not a JSON file that the flow page wrote"):
            read_file(text)


def test_a_file_with_impossible_numbers_is_refused() -> None:
    nodes, edges = chain()
    said = circuit_json(nodes, edges, slug="s", scan="m", description="d", generator="g")
    texts = [json.dumps(said).replace('"layer": "', '"layer": 1e999, "was": "', 1)]
    texts.append(re.sub(r'"weight": [-.\d]+', f'"weight": {10**400}', json.dumps(said), count=1))
    texts.append(re.sub(r'"weight": [-.\d]+', f'"weight": {10**400}', web_page(picture(nodes, edges), "A flow"), count=1))
    texts.append(re.sub(r'attr.name="layer" attr.type="\w+"', 'attr.name="layer" attr.type="double"', graphml(nodes, edges)))
    texts[-1] = texts[-1].replace(">8<", ">1e999<")
    for text in texts:
        with pytest.raises(ValueError, match="the flow page"):
            read_file(text)


def test_a_file_of_no_latents_or_of_too_many_is_refused_with_the_limit() -> None:
    for count in (0, MAX_NODES + 1):
        many = [node(1, GraphRow.RESID, place) for place in range(count)]
        said = circuit_json(many, [], slug="s", scan="m", description="d", generator="g")
        with pytest.raises(ValueError, match=f"holds {count:,} latents and 0 links; 1 to {MAX_NODES:,}"):
            read_file(json.dumps(said))


def test_graphml_shows_what_xml_cannot_hold_and_refuses_what_is_not_ours() -> None:
    odd = GraphNode("tiny/1.resid_post/1", 1, GraphRow.RESID, 1, "a\x00b\ud800c\r", GraphRole.RES, HOSTILE)
    assert read_graphml(graphml([odd], []))[0][0].label == "a\u2400b\ufffdc\u240d"
    with pytest.raises(ValueError, match="entities"):
        read_graphml('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><graphml/>')
    for text in ("no xml", "<graphml/>", "\n".join(nx.generate_graphml(nx.path_graph(3, nx.DiGraph)))):
        with pytest.raises(ValueError, match="not a GraphML file of a flow graph"):
            read_graphml(text)


def test_circuit_json_has_what_its_readers_require() -> None:
    nodes, edges = chain()
    said = circuit_json(
        nodes,
        edges,
        slug="s",
        scan="m",
        description="d",
        generator="g",
        pinned=[nodes[0].key, "gone"],
        selected=nodes[1].key,
        groups=[GraphGroup("x", (nodes[0].key, "gone"))],
    )
    assert {"slug", "scan", "prompt_tokens", "prompt"} <= said["metadata"].keys()
    ids = [one["node_id"] for one in said["nodes"]]
    assert len(set(ids)) == len(nodes)
    for one, ours in zip(said["nodes"], nodes, strict=True):
        assert {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"} <= one.keys()
        depth, index, position = map(int, one["node_id"].split("_"))
        total = int(((8 * one["feature"] + 1) ** 0.5 - 1) / 2)
        assert (one["feature"] - total * (total + 1) // 2, position) == (index, 0) == (ours.index, 0)
        assert int(one["layer"]) == depth == total - index
    layer_of = {one["node_id"]: int(one["layer"]) for one in said["nodes"]}
    assert all(layer_of[link["source"]] < layer_of[link["target"]] for link in said["links"])
    assert said["qParams"]["pinnedIds"] == [ids[0]] and said["qParams"]["clickedId"] == ids[1]
    assert said["qParams"]["supernodes"] == [["x", ids[0]]]
    for wrong in ({}, {"nodes": [{"node_id": "0_1_2"}], "links": []}, {"nodes": [], "links": [{}]}, {"nodes": 3, "links": []}):
        with pytest.raises(ValueError, match="not a graph file that the flow page wrote"):
            read_circuit_json(wrong)
    with pytest.raises(ValueError, match="not a graph file that the flow page wrote"):
        read_file("[]")


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
def test_origins_stand_out_from_the_paper_and_are_all_different(place: int) -> None:
    colours = [pair[place] for pair in ORIGINS.values()]
    paper = linear((LIGHT, DARK)[place]["paper"])
    assert list(ORIGINS) == [role.value for role in GraphRole] and len(set(colours)) == len(colours)
    assert all(contrast(linear(pair[place]), paper) >= 2.5 for name, pair in ORIGINS.items() if name not in ("nowhere", "not_known"))


def test_a_saved_page_draws_the_same_as_the_canvas() -> None:
    drawn = picture(*chain())
    page = Read(web_page(drawn, "t", pinned=[drawn.nodes[0].key]))
    nodes, edges, options, rest = (json.loads(text) for text in page.of("script")[:4])
    data = canvas_data(drawn, pinned=[drawn.nodes[0].key])
    assert {**rest, "nodes": nodes, "edges": edges, "options": options} == data | {
        "selected": next(n.key for n in drawn.nodes if n.is_seed)
    }


def test_the_script_of_the_canvas_names_no_colour_and_no_host() -> None:
    text = (Path(__file__).parents[3] / "components/graph_canvas/component.js").read_text()
    assert not re.search(r"https?://|innerHTML", text)
