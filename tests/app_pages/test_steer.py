"""The steer page without a browser: both texts, the address bar, and what goes wrong, on the tiny model."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.asks.weights import AssembleAsk
from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.steering.comparison import SteeringAsk, compare, first_difference
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.studies.record import make_record
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.tokens import Prompt
from dashboard.ui.views import steer
from tests.app_pages.conftest import Open, drawn, told

PAGE = "app_pages/steer.py"
EDIT = "tiny/2.resid_post/7:add:8:raw"


def opened(open_page: Open, **query: str | list[str]) -> AppTest:
    app = open_page(PAGE, **{"prompt": "The quick brown fox", "tokens": "12", **query})
    assert not app.exception
    return app


def in_url(app: AppTest, name: str) -> list[str]:
    value = app.query_params[name]
    return [value] if isinstance(value, str) else list(value)


def comparison(runner: LocalRunner, *edits: str, sampling: Sampling | None = None):
    return compare(runner, SteeringAsk(Prompt("The quick brown fox"), tuple(map(Intervention.parse, edits)), sampling or Sampling(12)))


def test_both_texts_and_their_measures_are_the_methods(open_page: Open, runner: LocalRunner) -> None:
    pair = drawn(opened(open_page, edit=EDIT), "generation_pair")
    found = comparison(runner, EDIT)
    assert pair["plain"]["texts"] == list(found.plain.texts)
    assert pair["steered"]["texts"] == list(found.steered.texts)
    assert pair["steered"]["kl"] == pytest.approx([token.kl for token in found.steered_score.tokens], abs=1e-5)
    assert pair["first_difference"] == first_difference(found.plain.ids, found.steered.ids)
    assert f"{found.steered_score.perplexity:.1f}" in pair["steered"]["note"]


def test_without_edits_both_texts_are_the_same(open_page: Open) -> None:
    pair = drawn(opened(open_page), "generation_pair")
    assert pair["plain"]["texts"] == pair["steered"]["texts"] != []
    assert pair["first_difference"] is None


def test_an_installation_without_the_presets_latents_opens_without_an_error(open_page: Open) -> None:
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert drawn(app, "generation_pair") is not None


def test_a_moved_slider_is_the_number_in_the_box_in_the_url_and_in_the_text(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, edit=EDIT)
    slider = next(one for one in app.slider if one.label == "Amount")
    slider.set_value(-20.0).run()
    assert next(one for one in app.number_input if one.label == "Number").value == -20.0
    assert in_url(app, "edit") == ["tiny/2.resid_post/7:add:-20:raw"]
    expected = comparison(runner, "tiny/2.resid_post/7:add:-20:raw")
    assert drawn(app, "generation_pair")["steered"]["texts"] == list(expected.steered.texts)


def test_a_number_beyond_the_slider_counts(open_page: Open) -> None:
    app = opened(open_page, edit=EDIT)
    next(one for one in app.number_input if one.label == "Number").set_value(1234.5).run()
    assert in_url(app, "edit") == ["tiny/2.resid_post/7:add:1234.5:raw"]
    assert not app.error


def test_the_link_gives_the_same_page_again(open_page: Open) -> None:
    query = {
        "edit": [EDIT, "tiny/1.resid_post/3:scale:0.5:raw"],
        "where": "2:4",
        "temperature": "0.9",
        "top_p": "0.8",
        "seed": "7",
        "shade": "tiny/2.resid_post/9",
        "pick": "steered:3",
    }
    first = opened(open_page, **query)
    again = opened(open_page, **{name: first.query_params[name] for name in first.query_params})
    assert drawn(first, "generation_pair") == drawn(again, "generation_pair")
    for name, value in query.items():
        assert in_url(first, name) == (value if isinstance(value, list) else [value])
    assert drawn(first, "generation_pair")["selected"] == {"side": "steered", "index": 3}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"edit": "tiny/2.resid_post/900:add:1:raw"}, "it has 64 latents (0 to 63)"),
        ({"edit": "tiny/2.resid_post/7:shout:1:raw"}, "OP one of add"),
        ({"edit": "vector/none:add:1"}, "There is no vector/none here"),
        ({"edit": "tiny/2.resid_post/7:add:1:max"}, "latents index build"),
        ({"where": "9:3"}, "START:END"),
        ({"temperature": "-1"}, "it must be 0 or more"),
        ({"tokens": "9999"}, "1 to 512 are possible"),
        ({"tokens": "400"}, "the limit is 256"),
        ({"prompt": ""}, "prompt"),
        ({"latent": "nonsense"}, "RELEASE/NAME/INDEX"),
        ({"edit": [EDIT] * 9}, "The link has 9 edits; the first 8 are taken"),
    ],
)
def test_what_is_wrong_in_a_link_is_said_and_the_page_lives(open_page: Open, query: dict[str, str | list[str]], message: str) -> None:
    app = opened(open_page, **{"edit": EDIT, **query})
    assert message in told(app)
    assert app.text_area[0].value == query.get("prompt", "The quick brown fox")


def test_a_latent_from_elsewhere_is_added(open_page: Open) -> None:
    app = opened(open_page, latent="tiny/2.resid_post/7")
    assert in_url(app, "edit") == ["tiny/2.resid_post/7:add:0.4:norm"]
    assert "latent" not in app.query_params


def test_a_ninth_edit_is_refused_with_the_number(open_page: Open) -> None:
    app = opened(open_page, edit=[f"tiny/2.resid_post/{i}:add:1:raw" for i in range(8)], latent="tiny/2.resid_post/9")
    assert "8 edits are on already" in told(app)
    assert len(in_url(app, "edit")) == 8


def test_the_sum_of_the_added_latents_is_kept_and_does_the_same(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, edit=[EDIT, "tiny/2.resid_post/9:add:-5:raw", "tiny/2.resid_post/11:ablate:0:raw"])
    app.session_state[steer.PAGE.key("add")] = True
    app.run()
    next(one for one in app.text_input if one.label.startswith("Save the sum")).set_value("both").run()
    next(one for one in app.button if one.label == "Save").click().run()
    assert not app.exception and "vector/both" in " ".join(one.value for one in app.success).replace("\\", "")
    next(one for one in app.text_input if one.label == "Name").set_value("vector/both:add:1:raw")
    next(one for one in app.button if one.label == "Add").click().run()
    assert in_url(app, "edit")[-1] == "vector/both:add:1:raw"
    for edit in app.query_params["edit"][:3]:
        assert edit.startswith("tiny/2.resid_post")
    while len(in_url(app, "edit")) > 1:
        next(one for one in app.button if one.help == "Remove").click().run()
    expected = comparison(runner, EDIT, "tiny/2.resid_post/9:add:-5:raw")
    assert drawn(app, "generation_pair")["steered"]["texts"] == list(expected.steered.texts)


@pytest.mark.parametrize(
    "query",
    [{"temperature": "5"}, {"temperature": "1", "top_p": "0.001"}, {"where": "99999:"}, {"where": "3:200000"}, {"seed": "4294967296"}],
)
def test_whatever_an_ask_may_hold_the_page_can_show(open_page: Open, query: dict[str, str]) -> None:
    app = opened(open_page, edit=EDIT, **query)
    assert not app.error and not app.warning
    assert drawn(app, "generation_pair")["plain"]["texts"]
    for name, value in query.items():
        assert in_url(app, name) == [value]
    boxes = {box.label: box.value for box in app.number_input}
    if "where" in query:
        assert boxes["From token"] == int(query["where"].partition(":")[0])


def test_a_link_without_its_prompt_says_so_and_takes_no_other(open_page: Open) -> None:
    app = open_page(PAGE, edit=EDIT, tokens="6")
    assert "does not include its prompt" in told(app)
    assert app.text_area[0].value == ""


def test_an_edit_that_cannot_be_used_stays_in_its_line_and_can_be_taken_away(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, edit=[EDIT, "tiny/2.resid_post/9:add:-5:raw"])
    view = app.session_state["steer::view"]
    app.session_state["steer::view"] = replace(view, edits=(view.edits[0], replace(view.edits[1], direction="vector/gone")))
    next(one for one in app.slider if one.label == "Amount").set_value(-20.0).run()
    assert "There is no vector/gone here" in told(app)
    expected = comparison(runner, "tiny/2.resid_post/7:add:-20:raw")
    assert drawn(app, "generation_pair")["steered"]["texts"] == list(expected.steered.texts)
    [one for one in app.button if one.help == "Remove"][1].click().run()
    assert "vector/gone" not in told(app)


def test_texts_are_shaded_by_what_the_plain_model_reads_in_them(open_page: Open, runner: LocalRunner) -> None:
    pair = drawn(opened(open_page, edit=EDIT, shade="tiny/2.resid_post/9"), "generation_pair")
    found = comparison(runner, EDIT)
    for side, written in (("plain", found.plain), ("steered", found.steered)):
        capture = runner.ask(CaptureAsk(Prompt("The quick brown fox", continuation=written.ids), (SaeId.parse("tiny/2.resid_post"),)))
        values = next(iter(capture.activations.values())).of_latent(9)
        assert pair[side]["shades"] == pytest.approx(values[-len(written.ids) :].tolist(), abs=1e-5)
    assert any(pair["plain"]["shades"] + pair["steered"]["shades"])


def test_a_clicked_token_is_where_edits_begin(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, edit=EDIT, pick="steered:2")
    n_prompt = len(runner.tokens(Prompt("The quick brown fox")))
    next(one for one in app.button if one.label.startswith("Edit from here on")).click().run()
    assert in_url(app, "where") == [f"{n_prompt + 2}:"]
    found = drawn(app, "generation_pair")
    assert found["steered"]["texts"][:3] == found["plain"]["texts"][:3]
    strip = drawn(app, "token_strip")
    assert len(strip["texts"]) == n_prompt and not any(strip["values"])


def test_a_saved_run_brings_its_vector_back(open_page: Open, runner: LocalRunner, tmp_path: Path) -> None:
    vectors = VectorFolder(tmp_path / "vectors")
    north = runner.ask(AssembleAsk("north", ((LatentId.parse("tiny/2.resid_post/7"), 8.0),)))
    vectors.keep(north, "tests/tiny")
    edit = Intervention(north, Op.ADD, 1.0)
    record = make_record(
        "steer", SteeringAsk(Prompt("The fox"), (edit,), Sampling(8)).plain_data(), runner.describe(), runner.catalog, (), None
    )
    ResultStore(tmp_path / "results").save(record, {})
    vectors.keep(runner.ask(AssembleAsk("north", ((LatentId.parse("tiny/2.resid_post/9"), 1.0),))), "tests/tiny")
    app = opened(open_page)
    app.session_state[steer.PAGE.key("tab")] = "Saved runs"
    app.run()
    next(one for one in app.button if one.label == "Open").click().run()
    name = in_url(app, "edit")[0].removeprefix("vector/").removesuffix(":add:1:raw")
    assert name.startswith("north-") and vectors.all()[name].values == north.values


def test_a_rerun_in_which_nothing_changed_asks_the_model_nothing(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[object] = []
    submit = Engine.submit
    monkeypatch.setattr(Engine, "submit", lambda self, *args: (queued.append(args), submit(self, *args))[1])
    app = opened(open_page, edit=[EDIT, "tiny/2.resid_post/9:add:-5:raw"], shade="tiny/2.resid_post/9", pick="steered:3", where="2:")
    assert queued, "the page asks its engine by tickets"
    before, queued[:] = drawn(app, "generation_pair"), []
    app.run()
    assert not queued and drawn(app, "generation_pair") == before
    app.session_state[steer.PAGE.key("add")] = True
    app.run()
    assert len(queued) == 1, "what fires on the prompt is asked once it is looked at"


def test_the_same_edit_may_stand_twice_and_each_counts(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, edit=[EDIT, EDIT])
    assert in_url(app, "edit") == [EDIT, EDIT]
    assert drawn(app, "generation_pair")["steered"]["texts"] == list(comparison(runner, EDIT, EDIT).steered.texts)


def test_a_line_keeps_its_own_unit_and_amount_when_the_one_above_is_taken_away(open_page: Open) -> None:
    app = opened(open_page, edit=["tiny/2.resid_post/9:add:40:raw", "tiny/2.resid_post/7:add:0.4:norm"])
    next(one for one in app.button if one.help == "Remove").click().run()
    assert in_url(app, "edit") == ["tiny/2.resid_post/7:add:0.4:norm"] and not app.exception
    assert next(one for one in app.slider if one.label == "Amount").value == 0.4
    next(one for one in app.selectbox if one.label == "Unit").set_value("raw").run()
    assert in_url(app, "edit") == ["tiny/2.resid_post/7:add:40:raw"]
    assert next(one for one in app.slider if one.label == "Amount").value == 40.0


def test_a_span_is_found_again_after_another_choice(open_page: Open) -> None:
    app = opened(open_page, edit=EDIT, where="2:4")
    choose = lambda kind: next(one for one in app.selectbox if one.label == "Edited tokens").set_value(kind).run()  # noqa: E731
    choose("prompt")
    assert in_url(app, "where") == ["prompt"]
    choose("span")
    assert in_url(app, "where") == ["2:4"]
    choose("from")
    assert in_url(app, "where") == ["2:"]
