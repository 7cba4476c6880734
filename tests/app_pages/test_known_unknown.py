"""The known-or-unknown page without a browser: a study made and shown on the tiny model, its address, its figures, its grades."""

import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.entities import kinds as entity_kinds
from dashboard.analysis.entities.answer_matching import Verdict
from dashboard.analysis.entities.kinds import Matcher, added_folder
from dashboard.analysis.errors import BadAsk, BrokenEntityFile
from dashboard.analysis.methods.known import study as known_unknown
from dashboard.analysis.methods.known import study_causality
from dashboard.analysis.methods.known.causality import load_causality
from dashboard.analysis.methods.known.effects import CAUSALITY, Causality, CausalitySettings
from dashboard.analysis.methods.known.results import Overrule
from dashboard.analysis.methods.known.statistics.labels import Knowledge, LabelWay
from dashboard.analysis.methods.known.study_entities import STUDY, ask_of, study_of
from dashboard.analysis.names import LatentId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.parts import kept_parts
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Made, Study, run
from dashboard.ui.known import exports as known_exports
from dashboard.ui.known import present as present_known
from dashboard.ui.known import present_entities
from dashboard.ui.known.own_types import keep_type
from dashboard.ui.shell import resources
from dashboard.ui.views import known as known_state
from tests.analysis.methods.known.studying import KIND, QUICK, corpus, names
from tests.app_pages.conftest import Open, drawn, told

PAGE = "app_pages/known_unknown.py"
WORDS = ("famous", "known", "obscure", "invented")


@pytest.fixture(autouse=True)
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small types take the place of those that ship, random tokens that of the corpus."""
    folder = tmp_path / "types"
    folder.mkdir()
    for seed, name in enumerate(("bird", "town")):
        (folder / f"{name}.toml").write_text(KIND.format(name=name.capitalize(), word=name), "utf-8")
        rows = [f"{each},{WORDS[i % 4]},Place{i % 7},{i % 50}" for i, each in enumerate(names(40, seed))]
        (folder / f"{name}.csv").write_text("\n".join(["name,familiarity,home,age", *rows]), "utf-8")
    monkeypatch.setattr(entity_kinds, "FOLDER", folder)
    monkeypatch.setattr(resources, "default_corpus", lambda settings: corpus())
    monkeypatch.setattr(known_state, "PREVIEW", QUICK)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def made(runner: LocalRunner, store: ResultStore, **settings: object) -> known_unknown.KnownUnknownStudy:
    kinds = entity_kinds.find_kinds(resources.get_settings()).kinds
    ask = ask_of([*kinds], [spec.id for spec in runner.catalog.specs][:2], replace(QUICK, **settings))
    return study_of(ran(STUDY, runner, store, ask))


def ran(study: Study[Any, Any], runner: LocalRunner, store: ResultStore, ask: Any) -> Made[Any, Any]:
    bench = Bench(runner, runner.catalog, store, lambda file: corpus(), resources.get_settings())
    *_, last = run(study, bench, ask)
    assert last.made is not None
    return last.made


def tried(runner: LocalRunner, store: ResultStore, study: known_unknown.KnownUnknownStudy, amount: float) -> Causality:
    settings = CausalitySettings(n_questions=2, n_random=2, new_tokens=3).with_amount(amount)
    return load_causality(store, ran(study_causality.STUDY, runner, store, study_causality.ask_of(study.key, settings)).key)


def chart(app: AppTest, key: str) -> dict:
    """A figure by the key of its element."""
    return next(json.loads(one.proto.spec) for one in app.get("plotly_chart") if key in one.proto.id)


def keys_of(figure: dict) -> set[str]:
    return {row[0] for trace in figure["data"] for row in trace.get("customdata", [])}


def run_until_done(app: AppTest) -> AppTest:
    for _ in range(120):
        if not any(not job.state.ended for job in resources.get_jobs().list()):
            return app.run()
        time.sleep(0.25)
    raise AssertionError("the study did not end")


def test_without_a_study_the_page_says_what_would_be_here(open_page: Open) -> None:
    app = open_page(PAGE)
    assert not app.exception and "Run the preview above" in told(app)


def test_types_of_one_title_are_told_apart(open_page: Open, types: Path) -> None:
    for end in ("toml", "csv"):
        (types / f"town-wikidata.{end}").write_bytes((types / f"town.{end}").read_bytes())
    app = open_page(PAGE)
    (pills,) = [one for one in app.button_group if one.label == "Types of entities"]
    assert {*pills.options} >= {"Birds", "Towns (town)", "Towns (town-wikidata)"} and "Towns" not in pills.options


def test_a_type_that_was_added_is_offered_to_commands_too_and_can_be_removed(open_page: Open, types: Path) -> None:
    settings = resources.get_settings()
    keep_type(None, File("my_lakes.csv", "name,familiarity,depth\nErie,famous,64\nMoon,invented,3\n"), added_folder(settings), frozenset())
    assert entity_kinds.find_kinds(settings).get("my_lakes").title == "My lakes"
    app = open_page(PAGE)
    (pills,) = [one for one in app.button_group if one.label == "Types of entities"]
    assert "My lakes" in pills.options
    next(one for one in app.button if one.label == r"my\_lakes").click().run()
    (pills,) = [one for one in app.button_group if one.label == "Types of entities"]
    assert not app.exception and {*pills.options} == {"Birds", "Towns"} and not [*added_folder(settings).iterdir()]


def test_the_button_makes_a_study_and_the_page_shows_it(open_page: Open, store: ResultStore) -> None:
    app = open_page(PAGE)
    next(one for one in app.button if one.label == "Run the preview").click().run()
    run_until_done(app)
    assert not app.exception and not app.error
    (head,) = known_unknown.list_studies(store)
    assert app.query_params["study"] in (head.key, [head.key])
    study = known_unknown.load_study(store, head.key)
    points = present_known.scatter(study, present_known.ALL, known_state.Split.TEST).points
    figure = chart(app, "known:scatter")
    assert len(points) > 20
    assert keys_of(figure) == {point.key for point in points}


@pytest.mark.parametrize("tab", known_state.TABS)
def test_every_part_of_a_study_is_drawn(open_page: Open, runner: LocalRunner, store: ResultStore, tab: str) -> None:
    study = made(runner, store)
    app = open_page(PAGE, study=study.key, tab=tab)
    assert not app.exception and not app.error, told(app)
    assert {one.value for one in app.selectbox if one.label == "Study"} == {study.key}


def test_every_part_can_be_reached_from_the_first_and_left_again(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    made(runner, store)
    app = open_page(PAGE)
    for tab in (*known_state.TABS[1:], known_state.TABS[0]):
        next(one for one in app.button_group if one.label == "Part").set_value(tab).run(timeout=120)
        assert not app.exception and not app.error, (tab, told(app))
        assert known_state.TABS[0] == tab or app.query_params["tab"] in (tab, [tab])


def test_the_same_study_again_is_shown_without_a_job_and_says_so(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    app = open_page(PAGE)
    next(one for one in app.button if one.label == "Run the preview").click().run()
    app = run_until_done(app)
    assert "showing the stored result" not in told(app)
    n_jobs = len(resources.get_jobs().list())
    next(one for one in app.button if one.label == "Run the preview").click().run()
    assert "Already computed on" in told(app) and "showing the stored result" in told(app) and not app.exception and not app.error
    assert len(resources.get_jobs().list()) == n_jobs == 1


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Jobs begin when the event is set."""
    jobs, go = resources.get_jobs(), threading.Event()
    submit = jobs.submit

    def submitted(title: str, total: int, steps: Callable[[], Iterator[Any]], *more: Any, **named: Any) -> str:
        return submit(title, total, lambda: steps() if go.wait(60) else iter(()), *more, **named)

    monkeypatch.setattr(jobs, "submit", submitted)
    return go


def test_parts_that_were_made_are_drawn_chosen_by_the_address_and_made_again_without_the_model(
    open_page: Open, runner: LocalRunner, store: ResultStore
) -> None:
    study = made(runner, store)
    keys = [tried(runner, store, study, amount).key for amount in (1.0, 2.0)]
    app = open_page(PAGE, study=study.key, tab="Causality")
    assert not app.exception and not app.error, told(app)
    (box,) = [one for one in app.selectbox if one.label == "Interventions"]
    assert box.value == keys[1] and len(box.options) == 2
    assert next(one for one in app.number_input if one.label.startswith("Amount added")).value == 2.0
    app = open_page(PAGE, study=study.key, tab="Causality", causality=keys[0])
    next(one for one in app.button if one.label == "Run the interventions").click().run()
    assert not resources.get_jobs().list()
    assert "showing the stored result" in told(app) and app.query_params["causality"] in (keys[0], [keys[0]])
    figure = chart(app, "known:rates UNKNOWN refused")
    assert {trace["name"] for trace in figure["data"]} == {"original", "+ known", "+ unknown", "+ random", "unknown taken out"}


def test_what_was_tuned_is_asked_again_as_it_was_asked(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    study = made(runner, store)
    settings = CausalitySettings(n_questions=2, n_random=2, new_tokens=3, n_tuning=1, amounts=(0.5, 1.0))
    found = load_causality(store, ran(study_causality.STUDY, runner, store, study_causality.ask_of(study.key, settings)).key)
    assert found.settings.amount in settings.amounts
    app = open_page(PAGE, study=study.key, tab="Causality")
    assert next(one for one in app.number_input if one.label.startswith("Amount added")).value is None
    next(one for one in app.button if one.label == "Run the interventions").click().run()
    assert "showing the stored result" in told(app)
    assert [one.key for one in kept_parts(store, CAUSALITY, study.key)] == [found.key]


def test_too_few_right_answers_are_counted_and_a_cure_is_named(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    study = made(runner, store)
    app = open_page(PAGE, study=study.key, tab="Uncertainty")
    for one in app.number_input:
        if one.label in ("Questions per type", "New tokens"):
            one.set_value(2)
    next(one for one in app.button if one.label.startswith("Compare")).click().run()
    said = told(run_until_done(app))
    assert re.search(r"bird \d+ right and \d+ wrong; town \d+ right and \d+ wrong. Ask more questions", said.replace("\\", "")), said


def test_the_sidebar_leaves_to_a_page_the_jobs_that_it_draws_itself(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    go = held(monkeypatch)
    app = open_page(PAGE)
    next(one for one in app.button if one.label == "Run the preview").click().run()
    assert "Jobs" not in [one.value for one in app.sidebar.caption]
    assert "A study is running" in told(app) and "Run the preview above" not in told(app)
    go.set()
    run_until_done(app)


def test_the_link_gives_the_same_view_again(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    study = made(runner, store)
    latent = str(study.columns.latent(70))
    query = {"study": study.key, "chosen": latent, "type": "town", "split": "train", "sae": str(study.ask.saes[1])}
    app = open_page(PAGE, **query)
    assert {name: app.query_params[name] for name in query} in (query, {name: [value] for name, value in query.items()})
    shown = chart(app, "known:scatter")
    points = present_known.scatter(study, "town", known_state.Split.TRAIN, study.ask.saes[1]).points
    assert keys_of(shown) == {point.key for point in points}
    if latent in {point.key for point in points}:
        assert shown["data"][-1]["name"] == "chosen" and shown["data"][-1]["customdata"][0][0] == latent


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"study": "feedfeedfeedfeed"}, "There is no study 'feedfeedfeedfeed'"),
        ({"type": "planet"}, "This study has no type 'planet'"),
        ({"chosen": "tiny/9.resid_post/1"}, "is not among"),
        ({"chosen": "nonsense"}, "RELEASE/NAME/INDEX"),
        ({"split": "half"}, "split='half' is none of"),
        ({"tab": "Magic"}, "tab='Magic' is none of"),
    ],
)
def test_what_is_wrong_in_a_link_is_said_and_the_page_lives(
    open_page: Open, runner: LocalRunner, store: ResultStore, query: dict[str, str], message: str
) -> None:
    made(runner, store)
    app = open_page(PAGE, **query)
    assert not app.exception and message in told(app)
    assert chart(app, "known:scatter")["data"]


def test_the_strip_shows_every_entity_of_the_type_and_texts_shaded_at_their_names(
    open_page: Open, runner: LocalRunner, store: ResultStore
) -> None:
    study = made(runner, store)
    app = open_page(PAGE, study=study.key, tab="Entities", type="town")
    figure = chart(app, "known:strip")
    drawn_keys = [row[0] for trace in figure["data"] for row in trace["customdata"]]
    assert sorted(drawn_keys) == sorted(present_entities.entity_key(one) for one in study.entities if one.kind == "town")
    rows = drawn(app, "example_list")["rows"]
    (found,) = known_unknown.activations(store, study, (LatentId.parse(drawn(app, "example_list")["scale"]["label"]),))
    assert found.latent == study.columns.latent(present_known.best_columns_of(study, "town", Knowledge.KNOWN)[0])
    of = {present_entities.entity_key(one): float(value) for one, value in zip(study.entities, found.values, strict=True)}
    assert rows and all(row["value"] == pytest.approx(of[row["key"]], rel=1e-4) for row in rows)
    assert all(row["values"][row["anchor"]] == pytest.approx(row["value"], rel=1e-3) for row in rows)


def test_an_overruled_grade_counts_at_once_and_can_be_taken_back(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    study = made(runner, store, way=LabelWay.CHOICES, most_entities=8)
    app = open_page(PAGE, study=study.key, tab="Questions", type="town")
    assert not app.exception and not app.error, told(app)
    answers = list(known_unknown.read_answers(store, study, "town"))
    table = next(one for one in app.dataframe if "grade" in one.value.columns).value
    assert list(table["grade"]) == [one.verdict.value for one in answers] and len(answers) > 5
    one = answers[0]
    other = Verdict.ERROR if one.verdict is Verdict.CORRECT else Verdict.CORRECT
    changed = known_unknown.overrule(store, study.key, Overrule(one.kind, one.name, one.attribute, one.sample, other))
    app.run()
    table = next(each for each in app.dataframe if "grade" in each.value.columns).value
    assert changed.n_overruled == 1 and table["grade"].iloc[0] == other.value and table["matcher"].iloc[0] == one.graded.value


def test_the_bundle_holds_tables_record_and_report(open_page: Open, runner: LocalRunner, store: ResultStore) -> None:
    study = made(runner, store)
    open_page(PAGE, study=study.key, tab="Report")
    bundle = zipfile.ZipFile(BytesIO(known_exports.bundle_of(study)))
    assert {"entities.parquet", "counts.parquet", "record.json", "report.html"} <= set(bundle.namelist())
    assert study.key in bundle.read("record.json").decode()
    command = known_exports.command(study)
    assert "--types=bird,town" in command and f"--shuffles={QUICK.n_shuffles}" in command and f"--sae={study.ask.saes[0]}" in command
    assert json.loads(bundle.read("record.json"))["study"]["ask"] == study.record.ask


class File:
    """A file as it is uploaded."""

    def __init__(self, name: str, content: str) -> None:
        self.name, self._content = name, content

    def getvalue(self) -> bytes:
        return self._content.encode()


def test_two_files_make_a_type_and_one_that_is_wrong_leaves_nothing(types: Path, tmp_path: Path) -> None:
    folder, toml = tmp_path / "own", KIND.format(name="River", word="river")
    table = File("anything.csv", "name,familiarity,home,age\nRhine,famous,Basel,9\nXyl,invented,,\n")
    found = keep_type(File("river.toml", toml), table, folder, frozenset({"town"}))
    assert [one.name for one in found.entities] == ["Rhine", "Xyl"]
    assert sorted(file.name for file in folder.iterdir()) == ["river.csv", "river.toml"]
    with pytest.raises(BrokenEntityFile):
        keep_type(File("lake.toml", toml), File("lake.csv", "title\nx\n"), folder, frozenset())
    with pytest.raises(BadAsk, match="A type town already exists"):
        keep_type(File("town.toml", toml), table, folder, frozenset({"town"}))
    assert sorted(file.name for file in folder.iterdir()) == ["river.csv", "river.toml"]


def test_a_table_alone_makes_a_type_whose_columns_are_asked(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    table = File("My Rivers.csv", "name,familiarity,mouth,length_km,Odd One\nRhine,famous,North Sea,1233,x\nXyl,invented,,,\n")
    found = keep_type(None, table, folder, frozenset())
    mouth, length = found.kind.attributes
    assert (found.kind.name, found.kind.title, found.passed_over) == ("my-rivers", "My rivers", ("Odd One",))
    assert found.kind.question_text(mouth, "Rhine").text == "What is the mouth of the my rivers 'Rhine'?"
    assert (mouth.matcher, length.matcher) == (Matcher.NAMES, Matcher.NUMBER)
    (bare,) = keep_type(None, File("names.csv", "name\nRhine\n"), folder, frozenset()).kind.attributes
    assert bare.question, "a type has a question, also where the table has no answers"
    for broken in ("", "title\nx\n", "name\n", 'name\n"x\n'):
        with pytest.raises(BrokenEntityFile):
            keep_type(None, File("lake.csv", broken), folder, frozenset())
    assert not (folder / "lake.toml").exists()
