"""The box of recipes and the dose response of the steer page, without a browser, on the tiny model."""

import time
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.contrast.recipe import DirectionAsk
from dashboard.analysis.methods.flow.recipe import FlowPathAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.registry import recipes
from dashboard.analysis.studies.study import result_of
from tests.analysis.methods.contrast.test_contrast import FRIENDLY, HOSTILE
from tests.app_pages.conftest import Open, told
from tests.recording import bench_of

PAGE = "app_pages/steer.py"
EDIT = "tiny/2.resid_post/7:add:8:raw"
BOX = "steer:recipes"


def with_box(open_page: Open, recipe: str, **query: str | list[str]) -> AppTest:
    app = open_page(PAGE, prompt="The quick brown fox", tokens="4", **query)
    app.session_state[BOX] = True
    app.run()
    app.selectbox(key="steer:recipe_name").set_value(recipe).run()
    assert not app.exception
    return app


def waited(app: AppTest, there: Callable[[], object]) -> AppTest:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, told(app)
        time.sleep(0.2)
        app.run()
    assert not app.exception
    return app


def pressed(app: AppTest, recipe: str) -> AppTest:
    next(button for button in app.button if button.label == "Compute the edits").click().run()
    return waited(app, lambda: [button for button in app.button if button.key == f"steer:recipe_{recipe}_use"])


def edits_of(app: AppTest) -> list[str]:
    value = app.query_params["edit"]
    return [value] if isinstance(value, str) else list(value)


def test_every_recipe_is_offered_and_a_closed_box_has_no_form(open_page: Open) -> None:
    app = open_page(PAGE, prompt="The quick brown fox", tokens="4")
    assert not [box for box in app.selectbox if box.key == "steer:recipe_name"]
    app = with_box(open_page, "flow path")
    assert app.selectbox(key="steer:recipe_name").options == [recipe.title for recipe in recipes()]


def test_the_flow_path_of_the_page_is_that_of_the_command_line_and_goes_among_the_edits(
    open_page: Open, runner: LocalRunner, tmp_path: Path
) -> None:
    app = with_box(open_page, "flow path", edit=EDIT)
    app.text_input(key="steer:recipe_flow-path_latent").set_value("tiny/2.resid_post/7")
    app.number_input(key="steer:recipe_flow-path_t_res").set_value(0.1)
    app = pressed(app, "flow-path")
    wanted = result_of(
        recipes()[0].study(), bench_of(runner, tmp_path / "own"), FlowPathAsk(LatentId.parse("tiny/2.resid_post/7"), t_res=0.1)
    )
    table = next(frame.value for frame in app.dataframe if "s_res" in frame.value)
    assert list(table["latent"]) == [str(one.latent) for one in wanted.evidence]
    assert any("2502.03032" in caption.value.replace("\\", "") for caption in app.caption)
    app.button(key="steer:recipe_flow-path_use").click().run()
    assert not app.exception and edits_of(app) == [EDIT, *map(str, wanted.edits)]


def test_a_contrast_as_one_vector_is_kept_and_steers(open_page: Open, runner: LocalRunner, tmp_path: Path) -> None:
    app = with_box(open_page, "contrast direction")
    name = "steer:recipe_contrast-direction"
    app.text_area(key=f"{name}_first").set_value("\n".join(FRIENDLY))
    app.text_area(key=f"{name}_second").set_value("\n".join(HOSTILE))
    app.toggle(key=f"{name}_vector").set_value(True)
    app = pressed(app, "contrast-direction")
    app.button(key=f"{name}_use").click().run()
    ask = DirectionAsk(FRIENDLY, HOSTILE, vector=True)
    wanted = result_of(recipes()[1].study(), bench_of(runner, tmp_path / "own"), ask)
    assert not app.exception and edits_of(app) == [str(edit) for edit in wanted.edits]
    assert VectorFolder(tmp_path / "vectors").all() == wanted.vectors


def test_edits_that_do_not_fit_are_refused_with_the_numbers(open_page: Open) -> None:
    app = with_box(open_page, "contrast direction", edit=[f"tiny/2.resid_post/{i}:add:1:raw" for i in range(6)])
    app = pressed(app, "contrast-direction")
    app.button(key="steer:recipe_contrast-direction_use").click().run()
    assert "6 edits are on already and the recipe makes 5; at most 8 fit" in told(app)
    assert len(edits_of(app)) == 6


def test_a_wrong_latent_is_told_when_the_edits_are_made(open_page: Open) -> None:
    app = with_box(open_page, "flow path")
    app.text_input(key="steer:recipe_flow-path_latent").set_value("tiny/2.resid_post/99999")
    next(button for button in app.button if button.label == "Compute the edits").click().run()
    assert not app.exception and "99999" in told(app)


def test_a_dose_response_is_found_again_by_another_window(open_page: Open) -> None:
    query = {"edit": EDIT, "temperature": "0"}
    first = open_page(PAGE, prompt="The quick brown fox", tokens="4", **query)
    first.session_state["steer:tab"] = "Dose response"
    first.run()
    first.number_input(key="steer:sweep seeds").set_value(1)
    next(button for button in first.button if button.label == "Measure").click().run()
    done = "done: 5 of 5 texts. Bars: 95 % over seeds."
    waited(first, lambda: [caption for caption in first.caption if caption.value == done])
    second = open_page(PAGE, prompt="The quick brown fox", tokens="4", **query)
    second.session_state["steer:tab"] = "Dose response"
    second.run()
    second.number_input(key="steer:sweep seeds").set_value(1)
    next(button for button in second.button if button.label == "Measure").click().run()
    said = [caption.value for caption in second.caption]
    assert done in said and any("showing the stored result" in line for line in said), said
