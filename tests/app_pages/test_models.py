"""Which model a tab looks at, and what is said where an SAE is not of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.install import bringing
from dashboard.analysis.names import ModelId, SaeId
from dashboard.analysis.roster.models import remember_model
from dashboard.analysis.sae.catalog import Catalog, folder_spec
from dashboard.analysis.settings import Settings
from dashboard.analysis.studies.jobs import Jobs
from dashboard.analysis.studies.study import Progress
from dashboard.ui.models import models as model_box
from dashboard.ui.parts import cautions
from dashboard.ui.shell import resources
from dashboard.ui.shell.resources import get_jobs, get_pool
from dashboard.ui.views import steer
from tests.analysis.methods.known.studying import corpus
from tests.app_pages.conftest import Open, drawn, told
from tests.conftest import exact_weights, save_sae

TINY, CHAT, OTHER = "tests/tiny", "tests/tiny-chat", "tests/other"


@pytest.fixture
def installed(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Three models on the same weights: tests/tiny with its SAEs, its chat model, and one without an SAE."""
    own = resources.get_settings()
    for name in (CHAT, OTHER):
        remember_model(name, own)
    engines: list[Engine] = []

    def open_engine(settings: Settings, say: Callable[[str], None], catalog: Catalog) -> Engine:
        model = replace(runner.model, id=ModelId.parse(settings.model))
        engines.append(Engine(lambda: LocalRunner(model, catalog, own.cache)))
        say("")
        return engines[-1]

    monkeypatch.setattr(resources, "open_engine", open_engine)
    yield open_page
    for engine in engines:
        engine.close()


def loaded() -> str:
    return str(get_pool().loaded)


def named(app: AppTest) -> str:
    """The model in the address."""
    value = app.query_params["model"]
    return value if isinstance(value, str) else value[-1]


def pick(app: AppTest, name: str) -> AppTest:
    return app.sidebar.selectbox(key="model_pick").select(name).run()


def test_the_sidebar_offers_every_model_and_choosing_one_closes_the_other(installed: Open) -> None:
    app = installed()
    assert app.sidebar.selectbox(key="model_pick").options[0] == TINY and loaded() == TINY
    first = get_pool().engine(get_pool().loaded)  # type: ignore[arg-type]
    app = pick(app, CHAT)
    assert loaded() == CHAT and named(app) == CHAT and drawn(app, "token_strip") is not None
    assert first.is_idle and named(pick(app, TINY)) == TINY and loaded() == TINY
    assert not app.error and not app.warning


def test_a_link_carries_its_model_and_one_without_means_the_first(installed: Open) -> None:
    assert not told(installed(model=OTHER)).count("smollm2") and loaded() == OTHER
    app = installed(latent="tiny/2.resid_post/3", prompt="The dog")
    assert loaded() == TINY and "model" not in app.query_params


def test_a_tab_without_an_address_takes_the_model_that_is_loaded(installed: Open) -> None:
    installed(model=CHAT)
    assert named(installed()) == CHAT and loaded() == CHAT


def test_a_model_that_is_not_here_is_said_and_the_first_is_shown(installed: Open) -> None:
    app = installed(model="/etc")
    assert "No model '/etc' in this installation" in told(app) and loaded() == TINY and drawn(app, "token_strip") is not None


def test_a_page_of_a_model_without_saes_says_what_to_do_with_the_command(installed: Open) -> None:
    app = installed(model=OTHER)
    assert f"No SAE of {OTHER} is installed" in told(app)
    assert "latents sae find other" in app.code[0].value and drawn(app, "token_strip") is None


def test_another_window_cannot_take_the_model_away_unseen(installed: Open) -> None:
    one, other = installed(), installed(model=CHAT)
    one = one.run()
    assert f"{TINY} is not loaded: {CHAT} was chosen since" in told(one) and loaded() == CHAT
    one = one.button(key="model_load").click().run()
    assert loaded() == TINY and drawn(one, "token_strip") is not None
    assert f"{CHAT} is not loaded" in told(other.run())


def test_a_model_at_work_is_not_closed_and_the_page_says_why(installed: Open) -> None:
    app, jobs = installed(), get_jobs()
    assert isinstance(jobs, Jobs)
    ends: list[bool] = []

    def steps() -> Iterator[Progress[None]]:
        while not ends:
            time.sleep(0.05)
            yield Progress(0, 1, "at work")

    id = jobs.submit("a long study", 1, steps, lambda: ends.append(True))
    app = pick(app, CHAT)
    assert "a long study" in told(app) and loaded() == TINY and drawn(app, "token_strip") is None
    app = app.button(key="model_cancel").click().run()
    assert jobs.get(id).state.ended and loaded() == CHAT and drawn(app, "token_strip") is not None


def test_an_sae_of_the_base_model_is_cautioned_on_every_page_with_its_fvu(installed: Open, runner: LocalRunner) -> None:
    said = "trained on tests/tiny, used on tests/tiny-chat"
    app = installed(model=CHAT)
    assert said in told(app)
    for page in ("latent", "search", "lists", "flow", "steer", "models"):
        app = app.switch_page(f"app_pages/{page}.py").run()
        if page == "lists":
            app.text_input(key="lists:add").set_value("tiny/2.resid_post/3")
            app = next(button for button in app.button if button.label == "Add").click().run()
        if page == "steer":
            app.session_state[steer.PAGE.key("add")] = True
            app.run().text_input(key=steer.PAGE.key("add name")).set_value("tiny/2.resid_post/3")
            app = next(button for button in app.button if button.label == "Add").click().run()
        assert said in told(app), page
    spec = replace(runner.catalog.specs[0], record={"evaluation": {"fvu": 0.4321}})
    assert "FVU 0.432" in cautions.lines(Catalog((spec,)), [spec.id], ModelId.parse(CHAT))[0]
    assert cautions.lines(runner.catalog, [SaeId("tiny", "2.exact")], ModelId.parse(TINY)) == []


def test_a_model_is_sized_before_it_is_loaded_and_then_chosen(installed: Open, tiny_path: Path) -> None:
    app = installed().switch_page("app_pages/models.py").run()
    app = app.text_input(key="models:given").input(str(tiny_path)).run()
    app = app.button(key="models:look").click().run()
    assert "LlamaForCausalLM" in told(app) and "MiB free: it fits" in told(app) and loaded() == TINY
    app = app.button(key="models:take").click().run()
    assert app.sidebar.selectbox(key="model_pick").value == tiny_path.name
    assert app.switch_page("app_pages/highlight.py").run() and loaded() == tiny_path.name


def test_presets_of_suites_say_how_texts_are_read(installed: Open) -> None:
    app = installed().switch_page("app_pages/models.py").run()
    app = app.selectbox(key="models:family").select("GPT-2 small, OpenAI's TopK").run()
    assert app.text_input(key="models:given").value == "openai-community/gpt2"
    said = " ".join(one.value for one in app.caption).replace("\\", "")
    assert "float32, texts without BOS" in said and "layer norm" in said
    assert model_box.in_words(next(one for one in model_box.FAMILIES if one.query == "llama_scope_lx")).count("√d")


def test_saes_that_were_trained_with_another_bos_are_read_after_one_click(installed: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained_without(settings: Settings) -> Catalog:
        return Catalog(tuple(replace(spec, config={**spec.config, "prepend_bos": False}) for spec in before(settings).specs))

    before = resources.read_catalog
    monkeypatch.setattr(resources, "read_catalog", trained_without)
    app = installed(model=TINY).switch_page("app_pages/models.py").run()
    assert "trained on texts without a BOS token and cannot be used now: tiny/" in told(app)
    app = app.button(key="models:other BOS").click().run()
    assert "BOS token" not in told(app) and not [button for button in app.button if button.key == "models:other BOS"]
    app.switch_page("app_pages/highlight.py").run()
    now = get_pool().loaded
    assert now is not None and str(now) == TINY and not now.bos


def test_nothing_of_the_default_suite_is_offered_with_another_model(installed: Open) -> None:
    app = installed().switch_page("app_pages/steer.py").run()
    assert not {"Titles", "Places", "Without cities"} & {button.label for button in app.button}


def test_an_sae_of_a_folder_is_brought_with_its_figures_and_can_be_opened(
    installed: Open, runner: LocalRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "default_corpus", lambda settings: corpus())
    folder = tmp_path / "mine" / "exact"
    save_sae(folder, "blocks.2.hook_resid_post", exact_weights())
    app = installed(model=TINY).switch_page("app_pages/models.py").run()
    monkeypatch.setattr(resources, "read_catalog", lambda settings: Catalog((*runner.catalog.specs, folder_spec(folder))))
    next(one for one in app.text_input if one.label.startswith("Or a folder")).input(str(folder))
    app = next(one for one in app.button if one.label == "Add").click().run()
    while any(not job.state.ended for job in get_jobs().list()):
        time.sleep(0.05)
    app = app.run()
    assert not app.error, told(app)
    assert {"L0", "FVU"} <= {one.label for one in app.metric} and (folder / "index.parquet").is_file()
    assert [one for one in app.button if one.label == "Open its first latent" and not one.disabled]
