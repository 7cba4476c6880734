"""The highlight page without a browser: states, errors, and the URL, on the tiny model."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.asks.lens import KeepLensAsk, LensAsk, LensKind
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.lenses.file import Check, LayerCheck, LensRecord, Measured, pack
from dashboard.analysis.tokens import Prompt
from tests.app_pages.conftest import Open, drawn, told
from tests.conftest import D_MODEL, N_LAYERS, TINY


def test_first_open_shows_an_example_and_no_error(open_page: Open) -> None:
    app = open_page()
    strip = drawn(app, "token_strip")
    assert not app.exception and not app.error
    assert strip is not None and "".join(strip["texts"][1:]) == app.text_area[0].value
    assert strip["special"][0] and not any(strip["special"][1:])


def test_the_scale_is_the_largest_ordinary_value(open_page: Open) -> None:
    strip = drawn(open_page(prompt="The fox sleeps"), "token_strip")
    assert strip["scale"]["maximum"] == pytest.approx(max(strip["values"][1:]))


def test_a_url_opens_the_same_view(open_page: Open) -> None:
    app = open_page(prompt="The fox sleeps", latent="tiny/2.resid_post/7", pin=["tiny/1.resid_post/3", "tiny/2.resid_post/9"], token="2")
    strip, listed = drawn(app, "token_strip"), drawn(app, "latent_list")
    assert strip["scale"]["label"] == "tiny/2.resid_post/7" and strip["selected"] == 2
    assert [lane["key"] for lane in strip["lanes"]] == ["tiny/1.resid_post/3", "tiny/2.resid_post/9"]
    assert all(row["key"].startswith("tiny/2.resid_post/") for row in listed["rows"])
    assert app.select_slider[0].value == 2
    again = open_page(**dict(app.query_params.items()))
    assert drawn(again, "token_strip") == strip and drawn(again, "latent_list") == listed


def test_the_list_is_what_fires_on_the_token_strongest_first(open_page: Open, runner: LocalRunner) -> None:
    from dashboard.analysis.asks.capture import CaptureAsk
    from dashboard.analysis.names import SaeId
    from dashboard.analysis.tokens import Prompt

    sae = SaeId("tiny", "1.resid_post")
    listed = drawn(open_page(prompt="The fox sleeps", sae=str(sae), token="3"), "latent_list")
    expected = runner.ask(CaptureAsk(Prompt("The fox sleeps"), (sae,))).activations[sae].at_position(3)
    assert [(row["key"], row["value"]) for row in listed["rows"]] == [(f"{sae}/{i}", pytest.approx(v)) for i, v in expected]


def test_the_map_counts_until_a_latent_is_chosen(open_page: Open) -> None:
    counted = drawn(open_page(prompt="The fox"), "layer_map")
    assert all(value == int(value) for row in counted["rows"] for value in row["values"])
    related = drawn(open_page(prompt="The fox", latent="tiny/1.resid_post/3"), "layer_map")
    assert [row["key"] for row in related["rows"] if row["chosen"]] == ["tiny/1.resid_post tiny/1.resid_post/3"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"latent": "tiny/2.resid_post/64"}, "has 64 latents (0 to 63)"),
        ({"latent": "nonsense"}, "RELEASE/NAME/INDEX"),
        ({"latent": "tiny/9.resid_post/1"}, "Nearest: tiny/"),
        ({"sae": "<script>alert(1)</script>/x"}, "No SAE"),
        ({"token": "-1"}, "not a position"),
        ({"pin": "x/y/1"}, "No SAE"),
    ],
)
def test_a_wrong_url_is_said_and_the_page_works(open_page: Open, query: dict[str, str], message: str) -> None:
    app = open_page(prompt="The fox", **query)
    assert message in told(app)
    assert not app.exception and drawn(app, "token_strip") is not None


def test_a_token_beyond_the_prompt_is_no_error(open_page: Open) -> None:
    app = open_page(prompt="The fox", token="400")
    assert not app.exception and "Click a token" in told(app)


@pytest.mark.parametrize(("text", "message"), [("", "0 tokens"), ("x y " * 25_000, "the limit is 256")])
def test_bad_input_is_said_with_numbers_and_the_next_request_works(open_page: Open, text: str, message: str) -> None:
    app = open_page(prompt="The fox")
    app.text_area[0].set_value(text).run()
    assert message in told(app) and not app.exception
    app.text_area[0].set_value("The dog").run()
    assert not app.error and "".join(drawn(app, "token_strip")["texts"][1:]) == "The dog"


@pytest.mark.parametrize(
    "text", ["\x00\x07 bell", "שלום עולם", "<script>alert(1)</script>", "# *not* a `title` :red[x] $y$", "e\u0301\u202etxt"]
)
def test_strange_text_comes_through_unchanged(open_page: Open, text: str) -> None:
    app = open_page()
    app.text_area[0].set_value(text).run()
    assert not app.exception and not app.error
    assert "".join(drawn(app, "token_strip")["texts"][1:]) == text


def test_chat_shows_the_template(open_page: Open) -> None:
    app = open_page(prompt="Hi", chat="1")
    assert "user" in "".join(drawn(app, "token_strip")["texts"]) and app.query_params["chat"] == "1"


def test_another_layer_keeps_the_prompt_and_the_pins(open_page: Open) -> None:
    app = open_page(prompt="The fox", latent="tiny/2.resid_post/7", pin="tiny/2.resid_post/9")
    app.select_slider[0].set_value(1).run()
    strip = drawn(app, "token_strip")
    assert strip["scale"]["label"].startswith("tiny/1.") and [lane["key"] for lane in strip["lanes"]] == ["tiny/2.resid_post/9"]
    assert app.query_params["sae"].startswith("tiny/1.") and "latent" not in app.query_params


def test_the_map_can_show_counts_while_a_latent_is_chosen_and_the_link_says_so(open_page: Open) -> None:
    app = open_page(prompt="The fox", latent="tiny/1.resid_post/3", map="counts")
    assert all(" " not in row["key"] for row in drawn(app, "layer_map")["rows"]) and app.query_params["map"] == "counts"
    app.segmented_control(key="highlight:map_shows").set_value("Relatives").run()
    assert any(" " in row["key"] for row in drawn(app, "layer_map")["rows"]) and "map" not in app.query_params


def test_wandering_through_layers_keeps_every_choice(open_page: Open) -> None:
    app = open_page(prompt="The fox", sae="tiny/2.exact", latent="tiny/2.exact/3")
    for layer in (1, 2, 1, 2):
        app.select_slider[0].set_value(layer).run()
        assert not app.exception and not app.error and app.text_area[0].value == "The fox"
    app.segmented_control(key="highlight:point").set_value("resid_post").run()
    assert not app.exception and app.query_params["sae"].startswith("tiny/2.")


def test_two_saes_of_one_site_can_be_told_apart(open_page: Open) -> None:
    app = open_page(prompt="The fox", sae="tiny/2.exact")
    assert app.selectbox(key="highlight:sae").value == "tiny/2.exact" and app.query_params["sae"] == "tiny/2.exact"
    app.selectbox(key="highlight:sae").set_value("tiny/2.resid_post").run()
    assert drawn(app, "token_strip")["scale"]["label"].startswith("tiny/2.resid_post/")


def test_a_failing_engine_is_one_message(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(prompt="The fox")
    monkeypatch.setattr(type(runner), "ask", lambda self, ask: 1 / 0)
    app.text_area[0].set_value("Something new").run()
    assert "ZeroDivisionError" in told(app) and not app.exception
    monkeypatch.undo()


def test_the_csv_has_a_line_a_token(open_page: Open) -> None:
    app = open_page(prompt='=cmd, "quoted"', latent="tiny/2.resid_post/7")
    lines = app.code[0].value.strip().split("\n")
    assert lines[0] == "position,id,text,special,tiny/2.resid_post/7"
    assert len(lines) == 1 + len(drawn(app, "token_strip")["texts"])
    assert not any(line.split(",")[2].startswith("=") for line in lines[1:])


def test_a_long_prompt_stays_out_of_the_url(open_page: Open) -> None:
    app = open_page(prompt="The fox")
    app.text_area[0].set_value("a" * 9000).run()
    assert "prompt" not in app.query_params


@pytest.fixture
def kept_lens(runner: LocalRunner) -> Iterator[None]:
    """A lens of identities that says of itself that it was checked."""
    half = Measured(0.5, 0.25, 0.75)
    layers = tuple(LayerCheck(layer, half, half, half, half) for layer in range(N_LAYERS))
    record = LensRecord(str(TINY), "texts", "", (0,), 20, 16, "float32", {}, "2026-01-01", Check(3, 60, half, layers, layers))
    matrices = np.broadcast_to(np.eye(D_MODEL, dtype=np.float32), (N_LAYERS - 1, D_MODEL, D_MODEL))
    stem = Path(runner.ask(KeepLensAsk(pack(record, matrices))))
    yield
    for file in stem.parent.glob(f"{stem.name}*"):
        file.unlink()


def test_no_lens_is_read_before_one_is_chosen_and_the_choice_stands_in_the_address(open_page: Open) -> None:
    app = open_page(prompt="The fox sleeps")
    assert drawn(app, "word_grid") is None and "lens" not in app.query_params
    app.segmented_control(key="highlight:lens").set_value(LensKind.LOGIT).run()
    assert not app.exception and not app.error and app.query_params["lens"] == "logit"
    assert drawn(app, "word_grid") is not None


def test_the_grid_has_the_last_layer_first_where_every_word_is_the_model_s_own(open_page: Open, runner: LocalRunner) -> None:
    prompt = Prompt("The fox sleeps")
    grid = drawn(open_page(prompt=prompt.text, lens="logit", token="2"), "word_grid")
    lens = runner.ask(LensAsk(prompt))
    assert [row["label"] for row in grid["rows"]] == ["3", "2", "1", "0"] and grid["selected"] == 2
    assert [column["special"] for column in grid["columns"]] == list(lens.tokens.special)
    assert all(grid["rows"][0]["marked"])
    for row in grid["rows"]:
        layer = int(row["label"])
        assert row["words"] == [lens.texts[token] for token in lens.ids[layer, :, 0].tolist()]
        assert row["shares"] == pytest.approx(lens.shares[layer, :, 0].tolist())


def test_a_long_text_is_read_around_the_chosen_token(open_page: Open) -> None:
    grid = drawn(open_page(prompt="The fox sleeps and " * 20, lens="logit", token="60"), "word_grid")
    keys = [column["key"] for column in grid["columns"]]
    assert len(keys) == 32 and keys == list(range(keys[0], keys[0] + 32)) and 60 in keys


def test_without_a_jacobian_lens_the_page_says_how_to_get_one(open_page: Open) -> None:
    app = open_page(prompt="The fox", lens="jacobian", latent="tiny/1.resid_post/3")
    assert told(app).count("latents model fit-lens") == 1 and drawn(app, "token_strip") is not None


def test_the_jacobian_lens_stands_beside_the_logit_lens_and_chance(open_page: Open, kept_lens: None) -> None:
    app = open_page(prompt="The fox", lens="jacobian", latent="tiny/1.resid_post/3")
    assert not app.exception and not app.error
    said = " ".join(caption.value for caption in app.caption).replace("\\", "")
    assert "at layer 1 on 50 % [25, 75]" in said and "logit lens" in said and "constant" not in said
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    assert any("logit, another token" in {trace.get("name") for trace in chart["data"]} for chart in charts)
