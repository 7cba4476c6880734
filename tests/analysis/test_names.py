"""Names round-trip, and what is not a name is refused with the form that would be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.analysis.errors import BadName
from dashboard.analysis.names import (
    LatentId,
    ModelId,
    NodeId,
    NodeKind,
    Point,
    SaeId,
    Site,
    hook_of_site,
    point_of_code,
    point_of_module,
    site_of_hook,
)

words = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True)
sites = st.builds(Site, st.integers(0, 999), st.sampled_from(sorted({*Point} - {Point.EMBED}))) | st.just(Site(0, Point.EMBED))
saes = st.builds(SaeId, words, st.lists(words, min_size=1, max_size=3).map("/".join))


@given(sites)
def test_a_site_is_read_as_it_is_printed(site: Site) -> None:
    assert Site.parse(str(site)) == site


@given(sites)
def test_a_site_is_read_from_the_hook_that_is_written_for_it(site: Site) -> None:
    assert site_of_hook(hook_of_site(site)) == site


@given(saes, st.integers(0, 10**8))
def test_a_latent_is_read_as_it_is_printed(sae: SaeId, index: int) -> None:
    latent = LatentId(sae, index)
    assert LatentId.parse(str(latent)) == latent
    assert SaeId.parse(str(sae)) == sae


latents = st.builds(LatentId, saes, st.integers(0, 10**8))
at = st.none() | st.integers(0, 10**7 - 1)
tokens = st.integers(0, 10**7 - 1)
nodes = (
    st.builds(NodeId.of_latent, latents, at)
    | st.builds(NodeId.of_error, sites, at)
    | st.builds(NodeId.of_token, tokens, at)
    | st.builds(NodeId.of_logit, tokens, at)
)


@given(nodes)
def test_a_node_is_read_as_it_is_printed(node: NodeId) -> None:
    assert NodeId.parse(str(node)) == node
    assert " " not in str(node)


@given(latents)
def test_a_latent_at_no_position_is_printed_as_the_latent(latent: LatentId) -> None:
    assert str(NodeId.of_latent(latent)) == str(latent)


def test_what_looks_like_a_position_in_the_name_of_an_sae_is_none() -> None:
    assert NodeId.parse("a/x@1/5") == NodeId.of_latent(LatentId(SaeId("a", "x@1"), 5))
    assert NodeId.parse("a/x@1/5@7") == NodeId.of_latent(LatentId(SaeId("a", "x@1"), 5), 7)
    assert NodeId.parse("error:1/x/5") == NodeId.of_latent(LatentId(SaeId("error:1", "x"), 5))


@pytest.mark.parametrize(
    "text", ["", "token", "token:", "token:x", "logit:-1", "error:resid_post", "latent:3", "a/b", "token:1@", "token:1@x"]
)
def test_what_is_not_a_node_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BadName, match=r"The form is"):
        NodeId.parse(text)


def test_a_node_is_exactly_what_its_kind_says() -> None:
    latent = LatentId(SaeId("a", "b"), 1)
    for wrong in (
        {"kind": NodeKind.LATENT},
        {"kind": NodeKind.LATENT, "token": 3},
        {"kind": NodeKind.ERROR, "latent": latent},
        {"kind": NodeKind.TOKEN, "token": 3, "latent": latent},
        {"kind": NodeKind.LOGIT, "token": -1},
        {"kind": NodeKind.LATENT, "latent": latent, "position": -1},
    ):
        with pytest.raises(BadName):
            NodeId(**wrong)  # pyright: ignore[reportArgumentType]


@given(words, words | st.none())
def test_a_model_is_read_as_it_is_printed(repo: str, revision: str | None) -> None:
    model = ModelId(f"owner/{repo}", revision)
    assert ModelId.parse(str(model)) == model


def test_sites_come_in_the_order_of_a_forward_pass_whatever_their_names() -> None:
    order = ["0.embed", "0.resid_post", "3.attn_z", "3.attn_out", "3.resid_mid", "3.mlp_post", "3.mlp_out", "3.resid_post", "4.attn_z"]
    places = [Site.parse(text).forward_order for text in order]
    assert places == sorted(places) and len(set(places)) == len(places)


def test_no_hook_module_or_code_stands_for_two_points() -> None:
    hooks = [hook for point in Point for hook in {point.row.recorded, *point.row.aliases}]
    modules = [module for point in Point for module in point.row.modules]
    codes = [code for point in Point for code in point.row.codes]
    for names in (hooks, modules, codes):
        assert len(set(names)) == len(names)
    assert point_of_module("mlp") is point_of_code("m") is Point.MLP_OUT and point_of_module("") is Point.RESID_POST
    assert point_of_module("mlp.act_fn") is None
    with pytest.raises(BadName, match="one of att, a, mlp, m, res, r"):
        point_of_code("x")


def test_resid_pre_is_the_residual_stream_after_the_layer_before() -> None:
    assert Site.parse("16.resid_pre") == Site(15, Point.RESID_POST)
    assert Site.parse("0.resid_pre") == Site(0, Point.EMBED)
    assert site_of_hook("blocks.7.hook_resid_pre") == Site(6, Point.RESID_POST)
    assert site_of_hook("blocks.7.hook_mlp_out") == Site(7, Point.MLP_OUT)
    assert site_of_hook("blocks.7.mlp.hook_post") == Site(7, Point.MLP_POST)


@pytest.mark.parametrize(
    "text", ["", "15", "resid_post", "-1.resid_post", "15.resid", "15.resid_post.x", "٣.resid_post", "1e9.mlp_out", "5.embed"]
)
def test_what_is_not_a_site_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BadName, match=r"LAYER\.POINT|0\.embed"):
        Site.parse(text)


@pytest.mark.parametrize("text", ["", "a/b", "a/b/", "a/b/-1", "a/b/1.5", "a/b/x", "/b/1", "a//1", "812", "a/b/٣", "a/b/9999999999"])
def test_what_is_not_a_latent_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BadName, match="RELEASE/NAME"):
        LatentId.parse(text)


@pytest.mark.parametrize("hook", ["None", "blocks.x.hook_resid_post", "blocks.3.mlp.hook_pre", "transformer.h.3"])
def test_a_hook_that_is_no_site_of_ours_is_refused(hook: str) -> None:
    with pytest.raises(BadName):
        site_of_hook(hook)
