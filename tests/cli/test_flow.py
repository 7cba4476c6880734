"""`latents flow` on the shipped dictionaries: whole graphs and tables against all cosines in float64 of what sae-lens loads."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sae_lens import SAE

from dashboard.analysis.install import opening as installation
from dashboard.analysis.names import LatentId
from dashboard.analysis.settings import get_settings
from tests.command_line import answer, latents

pytestmark = pytest.mark.real

RELEASE, FIRST, LAST = "smollm2-135m", 8, 19
POINTS = ("attn_out", "mlp_out", "resid_post")
"""In forward order."""
SCORES = {"resid_post": "s_res", "mlp_out": "s_mlp", "attn_out": "s_att"}
Rows = dict[str, np.ndarray]
Node = tuple[int, str, int]
"""Layer, point and index."""


@pytest.fixture(scope="module", autouse=True)
def one_model() -> Iterator[None]:
    """The model is loaded once for all commands of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(installation, "load_model", functools.cache(installation.load_model))
        yield


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    """Of each SAE of the default suite, by site."""
    return {row["site"]: Path(row["path"]) for row in answer("sae", "list") if row["name"] == f"{RELEASE}/{row['site']}"}


@pytest.fixture(scope="module")
def rows(folders: dict[str, Path]) -> Rows:
    """Decoder rows of length 1 in float64, by site."""
    decoders = {site: SAE.load_from_disk(folder).W_dec.detach().double().numpy() for site, folder in folders.items()}
    return {site: rows / np.linalg.norm(rows, axis=1, keepdims=True) for site, rows in decoders.items()}


def site(node: Node) -> str:
    return f"{node[0]}.{node[1]}"


def name(node: Node) -> str:
    return f"{RELEASE}/{site(node)}/{node[2]}"


def nearest(rows: Rows, node: Node, layer: int, point: str) -> tuple[Node, float]:
    """The latent of a site with the largest signed cosine to a latent."""
    cosines = rows[f"{layer}.{point}"] @ rows[site(node)][node[2]]
    return (layer, point, int(cosines.argmax())), float(cosines.max())


def expected_graph(rows: Rows, seed: Node, t_res: float, t_module: float) -> tuple[list[Node], dict[tuple[Node, Node], float]]:
    """Nodes and edges in forward order, by the definition: path, span, modules."""
    path, links = {seed[0]: seed}, {}
    for layer in range(seed[0], FIRST, -1):
        path[layer - 1], links[layer] = nearest(rows, path[layer], layer - 1, "resid_post")
    for layer in range(seed[0], LAST):
        path[layer + 1], links[layer + 1] = nearest(rows, path[layer], layer + 1, "resid_post")
    first = last = seed[0]
    while first > FIRST and links[first] >= t_res:
        first -= 1
    while last < LAST and links[last + 1] >= t_res:
        last += 1
    edges: dict[tuple[Node, Node], float] = {}
    for layer in range(first, last + 1):
        for point in ("attn_out", "mlp_out"):
            source, cosine = nearest(rows, path[layer], layer, point)
            if cosine >= t_module:
                edges[source, path[layer]] = cosine
        if layer > first:
            edges[path[layer - 1], path[layer]] = links[layer]
    order = lambda node: (node[0], POINTS.index(node[1]), node[2])  # noqa: E731
    nodes = sorted({*(path[layer] for layer in range(first, last + 1)), *(end for edge in edges for end in edge)}, key=order)
    return nodes, dict(sorted(edges.items(), key=lambda edge: (order(edge[0][1]), order(edge[0][0]))))


@pytest.mark.parametrize(
    ("layer", "index", "t_res", "t_module"), [(19, 615, 0.5, 0.15), (19, 55, 0.5, 0.15), (13, 1039, 0.45, 0.25), (8, 7, -1, -1)]
)
def test_a_graph_is_that_of_all_cosines_in_float64(rows: Rows, layer: int, index: int, t_res: float, t_module: float) -> None:
    seed = (layer, "resid_post", index)
    got = answer("flow", name(seed), "--t-res", str(t_res), "--t-module", str(t_module))
    nodes, edges = expected_graph(rows, seed, t_res, t_module)
    assert {"nodes", "edges", "record"} == {*got}
    assert [(node["layer"], node["point"], node["id"]) for node in got["nodes"]] == [(node[0], node[1], name(node)) for node in nodes]
    assert [(edge["source"], edge["target"]) for edge in got["edges"]] == [(name(a), name(b)) for a, b in edges]
    assert [edge["weight"] for edge in got["edges"]] == pytest.approx([*edges.values()], rel=0, abs=1e-9)
    for node, told in zip(nodes, got["nodes"], strict=True):
        for point, score in SCORES.items():
            before = node[0] - (point == "resid_post")
            known = node[1] == "resid_post" and before >= FIRST
            assert told[score] == (pytest.approx(nearest(rows, node, before, point)[1], abs=1e-9) if known else None)
    ask = got["record"]["ask"]
    assert (ask["seed"], ask["t_res"], ask["t_module"]) == (name(seed), t_res, t_module) and got["record"]["kind"] == "flow"


def test_every_edge_goes_forward_and_ends_at_named_nodes_with_their_labels() -> None:
    got = answer("flow", f"{RELEASE}/19.resid_post/615", "--top-k", "3", "--all")
    place = {node["id"]: (node["layer"], POINTS.index(node["point"])) for node in got["nodes"]}
    assert len(place) == len(got["nodes"]) > 20
    for edge in got["edges"]:
        assert {*edge} == {"source", "target", "weight"} and place[edge["source"]] < place[edge["target"]]
    for node in got["nodes"][:3]:
        assert str(LatentId.parse(node["id"])) == node["id"] and {"id", "layer", "point", "label"} <= {*node}
        assert node["label"] and node["label"] == answer("latent", node["id"])["label"]


def test_cities_are_handed_on_from_layer_to_layer() -> None:
    """The story of the README."""
    got = answer("flow", f"{RELEASE}/19.resid_post/615")
    path = [(node["layer"], int(node["id"].rpartition("/")[2])) for node in got["nodes"] if node["on_path"]]
    assert {(15, 501), (16, 174), (17, 1593), (18, 1847), (19, 615)} <= {*path} and got["record"]["span"] == [FIRST, LAST]
    said = latents("flow", f"{RELEASE}/19.resid_post/615").stdout
    assert f"{RELEASE}/18.resid_post/1847 -> {RELEASE}/19.resid_post/615  0.67" in said and "span: layers 8 to 19" in said


def test_a_module_as_seed_is_shown_with_the_residual_latent_nearest_to_it(rows: Rows) -> None:
    seed = (15, "mlp_out", 1721)
    target, cosine = nearest(rows, seed, 15, "resid_post")
    got = answer("flow", name(seed))
    [edge] = [edge for edge in got["edges"] if edge["source"] == name(seed)]
    assert (edge["target"], edge["weight"]) == (name(target), pytest.approx(cosine, abs=1e-9))
    assert name(seed) in [node["id"] for node in got["nodes"]]


def test_what_has_been_matched_is_not_matched_again(rows: Rows, tmp_path: Path) -> None:
    kept = get_settings().cache
    for part in ("models", "saes"):
        (tmp_path / part).symlink_to(kept / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTS_CACHE", str(tmp_path))
        get_settings.cache_clear()
        first = answer("flow", "match", f"{RELEASE}/9.resid_post")
        again = answer("flow", "match", f"{RELEASE}/9.resid_post")
        said = latents("flow", "match", f"{RELEASE}/9.resid_post").stdout
    get_settings.cache_clear()
    others = ("8.resid_post", "9.mlp_out", "9.attn_out")
    own = "9.resid_post"
    assert [(row["of"], row["among"]) for row in first] == [
        (f"{RELEASE}/{of}", f"{RELEASE}/{among}") for other in others for of, among in ((own, other), (other, own))
    ]
    assert [row["cached"] for row in first] == [False] * 6 and [row["cached"] for row in again] == [True] * 6
    assert "6 tables: 6 from the cache, 0 made now" in said and len([*(tmp_path / "matches").iterdir()]) == 6
    for row, later in zip(first, again, strict=True):
        of, among = (rows[row[key].partition("/")[2]] for key in ("of", "among"))
        best = (of @ among.T).max(1)
        assert row["latents"] == len(of) and row["top"] == 1
        assert row["mean_cosine"] == pytest.approx(best.mean(), abs=1e-9) and row["share_over_half"] == (best >= 0.5).mean()
        assert {**row, "cached": True, "seconds": 0} == {**later, "seconds": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((f"{RELEASE}/19.resid_post/2048",), "0 to 2047"),
        ((f"{RELEASE}/19.resid_post",), "is not a latent"),
        ((f"{RELEASE}/19.resid_post/615", "--t-res", "1.5"), "t_res is 1.5; a cosine is -1 to 1"),
        ((f"{RELEASE}/19.resid_post/615", "--t-module", "-2"), "t_module is -2.0; a cosine is -1 to 1"),
        ((f"{RELEASE}/19.resid_post/615", "--top-k", "21"), "1 to 20 are possible"),
        (("huge/19.resid_post/615",), "No SAE 'huge/19.resid_post'"),
        ((f"{RELEASE}/20.resid_post/615",), f"No SAE '{RELEASE}/20.resid_post'"),
        (("match", "huge"), "No SAE 'huge'"),
        (("match", f"{RELEASE}/9.mlp_out"), f"{RELEASE}/9.mlp_out: 0 tables"),
        (("match", RELEASE, "--all"), "Remove one"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_2(arguments: tuple[str, ...], message: str) -> None:
    done = latents("flow", *arguments, "--json")
    assert done.status == 2 and done.stdout == ""
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_a_seed_of_a_release_without_a_residual_dictionary_in_its_layer_leads_nowhere(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["15.mlp_out"], tmp_path / "lone" / "15.mlp_out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTS_SAE_FOLDERS", str(tmp_path / "lone"))
        get_settings.cache_clear()
        done = latents("flow", "lone/15.mlp_out/3", "--json")
    get_settings.cache_clear()
    assert done.status == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "lone has no residual dictionary at layer 15, so lone/15.mlp_out leads nowhere" in " ".join(done.stderr.split())
