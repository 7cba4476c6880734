"""The panels of the flow on text, without a browser, on the tiny model and a corpus of its own."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.flow.origins import GroupTest, Origin
from dashboard.analysis.methods.flow.schedule import Goal, PlacedLatent, Schedule, settings_of
from dashboard.analysis.methods.flow.steering import SteeredPoint
from dashboard.analysis.names import LatentId, Point
from dashboard.analysis.stats.estimates import Estimate
from dashboard.analysis.text.corpus import join, read_corpus, write_corpus
from dashboard.analysis.tokens import Prompt
from dashboard.ui.flow import present_on_text as present_flow_data
from dashboard.ui.shell import resources
from tests.app_pages.conftest import Open, told


def origins_page() -> None:
    from dashboard.analysis.names import LatentId
    from dashboard.ui.flow import on_text as flow_data
    from dashboard.ui.shell import failures

    with failures.shown():
        flow_data.origins(LatentId.parse("tiny/2.resid_post/7"))


def deactivation_page() -> None:
    from dashboard.analysis.names import LatentId
    from dashboard.ui.flow import on_text as flow_data
    from dashboard.ui.shell import failures

    with failures.shown():
        flow_data.deactivation(LatentId.parse("tiny/2.resid_post/7"))


def steering_page() -> None:
    from dashboard.analysis.methods.flow.graph import build
    from dashboard.analysis.methods.flow.results import FlowAsk
    from dashboard.analysis.methods.flow.suite import find_suite
    from dashboard.analysis.names import LatentId
    from dashboard.ui.flow.steering import steering
    from dashboard.ui.shell import failures
    from dashboard.ui.shell.resources import get_catalog, get_engine

    seed = LatentId.parse("tiny/2.resid_post/7")
    with failures.shown():
        steering(build(get_engine(), find_suite(get_catalog(), seed.sae), FlowAsk(seed, t_res=0.1)))


@pytest.fixture
def open_panel(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AppTest]:
    del open_page  # it puts the tiny model in place
    texts = ("The quick brown fox jumps over the lazy dog", "and the dog sleeps. done.", "lazy quick brown dog", "over the fox")
    file = tmp_path / "own.parquet"
    write_corpus(
        file, join("own", "tests/tiny", [(("tale", "list")[i % 2], list(runner.tokens(Prompt(t)).ids[1:])) for i, t in enumerate(texts)])
    )
    monkeypatch.setattr(resources, "_own_corpus", lambda key, own: read_corpus(file))
    return lambda page: AppTest.from_function(page, default_timeout=60).run()


def finished(app: AppTest) -> AppTest:
    """Wait for the job."""
    for _ in range(100):
        app.run()
        if not app.get("progress"):
            return app
        time.sleep(0.1)
    raise AssertionError("the job did not end")


def figures(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return finished(app.run())


def test_origins_are_found_and_every_view_of_them_draws(open_panel) -> None:
    app = open_panel(origins_page)
    assert not app.exception and not told(app)
    app = press(app, "Find origins")
    assert figures(app) == 1 and "tokens of 4 texts" in " ".join(c.value for c in app.caption) and not told(app)
    for view, n in (("By kind of text", 1), ("Cosines", 1), ("Tests", 1), ("Between groups", 1), ("Co-activation", 0)):
        app.segmented_control(key="flow_origins_shows").set_value(view).run()
        assert not app.exception and not told(app) and figures(app) >= n, view
    app = press(app, "Run")
    assert figures(app) == 1 and not told(app)


def test_deactivation_draws_success_and_change_and_a_sweep_has_its_curves(open_panel) -> None:
    app = open_panel(deactivation_page)
    app.text_input(key="flow_deactivation_factors").set_value("0, 1")
    app = press(app, "Rescale")
    assert not app.exception and not told(app) and figures(app) == 5
    app.text_input(key="flow_deactivation_factors").set_value("nothing")
    next(button for button in app.button if button.label == "Rescale").click()
    assert "is not a list of numbers" in told(app.run())


def test_steering_draws_behaviour_coherence_and_total_apart(open_panel) -> None:
    app = open_panel(steering_page)
    app.text_input(key="flow_steering_words").set_value("dog, fox")
    app.text_input(key="flow_steering_strengths_activate").set_value("0, 3")
    app.selectbox(key="flow_steering_unit").set_value("raw")
    app.number_input(key="flow_steering_texts").set_value(2)
    app.number_input(key="flow_steering_max_new_tokens").set_value(6)
    app = press(app, "Generate and score")
    assert not app.exception and not told(app) and figures(app) == 3
    app.text_input(key="flow_steering_judge").set_value("file:///etc/passwd")
    next(button for button in app.button if button.label == "Generate and score").click()
    assert "is not the address of a judge" in told(app.run())


def made(app: AppTest, panel: str) -> str:
    """The command under a result."""
    app.session_state[f"{panel}_made"] = True
    return app.run().code[0].value


def test_a_result_stays_and_a_second_tab_with_equal_settings_has_it_at_once(open_panel) -> None:
    first = press(open_panel(origins_page), "Find origins")
    first.run()
    assert figures(first) == 1
    second = open_panel(origins_page)
    assert figures(second) == 1 and first.session_state["flow_origins_job"].key == second.session_state["flow_origins_job"].key
    second.number_input(key="flow_origins_texts").set_value(3)
    other = press(second, "Find origins")
    assert figures(other) == 1 and first.session_state["flow_origins_job"].key != other.session_state["flow_origins_job"].key
    said, still_said = (" ".join(one.value for one in tab.markdown) for tab in (other, first.run()))
    assert r"texts\: 3" in said and r"texts\: 3" not in still_said


def test_a_result_says_the_command_that_makes_it_again(open_panel) -> None:
    app = open_panel(deactivation_page)
    app.text_input(key="flow_deactivation_factors").set_value("-1, 0")
    said = made(press(app, "Rescale"), "flow_deactivation")
    assert said.startswith(
        "LATENTS_MODEL=tests/tiny LATENTS_DTYPE=float32 "
        "latents flow deactivate tiny --layers=2 --texts=8 --tokens=2 --factors=-1,0 --by-subset"
    )
    app = open_panel(steering_page)
    app.text_input(key="flow_steering_words").set_value("dog, it's")
    app.text_input(key="flow_steering_strengths_activate").set_value("0, 3")
    app.number_input(key="flow_steering_texts").set_value(2)
    app.number_input(key="flow_steering_max_new_tokens").set_value(6)
    app.selectbox(key="flow_steering_unit").set_value("raw")
    words = shlex.split(made(press(app, "Generate and score"), "flow_steering"))
    assert {"tiny/2.resid_post/7", "--words=dog,it's", "--strengths=0,3", "--unit=raw", "--t-res=0.1", "--texts=2"} <= {*words}


def clicks() -> None:
    import streamlit as st

    from dashboard.ui.parts import clicks as kept

    for bars, curve in ((None, None), ("a", None), ("a", "b"), ("a", "c"), ("d", "c"), (None, "c")):
        st.text(str(kept.latest("panel", {"bars": bars, "curve": curve})))


def test_of_figures_that_keep_their_marks_the_one_clicked_last_says_what_is_shown() -> None:
    app = AppTest.from_function(clicks, default_timeout=60).run()
    assert [one.value for one in app.text] == ["None", "a", "b", "c", "d", "None"]


def test_behind_a_point_of_the_steering_curves_stand_its_own_texts() -> None:
    seed, nothing = PlacedLatent(LatentId.parse("tiny/2.resid_post/7"), 2), Estimate(0.5, None, 1)
    settings = settings_of((seed,), (PlacedLatent(LatentId.parse("tiny/1.resid_post/3"), 1), seed), Schedule(Goal.ACTIVATE))
    points = [
        SteeredPoint(one, strength, (), {"lexicon": Estimate(0.1 * place + strength, None, 1)}, nothing, None)
        for place, one in enumerate(settings)
        for strength in (0.0, 0.5)
    ]
    curves = present_flow_data.score_curves(points, "lexicon", "behaviour")
    for label, doses in curves.items():
        for dose in doses:
            (behind,) = present_flow_data.points_behind(points, "lexicon", present_flow_data.dose_name(label, dose.factor))
            assert (behind.setting.label, behind.strength, behind.behaviour["lexicon"].mean) == (label, dose.factor, dose.mean)
    assert present_flow_data.points_behind(points, "lexicon", None) == points


def test_the_tests_behind_a_bar_are_those_that_it_counts() -> None:
    tests = [
        GroupTest(9, Point.RESID_POST, Origin.NOWHERE, Origin.RES, 9, 9, p, 0.5) for p in (0.5, 1e-9)
    ] + [GroupTest(9, Point.RESID_POST, Origin.MLP, Origin.ATT, 9, 9, 0.1, 0.5)]  # fmt: skip
    bars = {f"{bar.module} {bar.sort} {bar.score}": bar for bar in present_flow_data.significance_bars(tests)}
    for key, bar in bars.items():
        assert len(present_flow_data.tests_rows(tests, key)) == bar.n
    assert [row["p"] for row in present_flow_data.tests_rows(tests, "RES AO RES")] == ["1.0e-09", "5.0e-01"]
    assert present_flow_data.tests_rows(tests, None) == []
