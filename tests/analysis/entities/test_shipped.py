"""The types that ship: readable, balanced, gradable; and what the command says of files."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashboard.analysis.entities.answer_matching import Verdict, grade
from dashboard.analysis.entities.checking import check_table
from dashboard.analysis.entities.kinds import EntityKind, find_kinds
from dashboard.analysis.entities.tables import Familiarity, read_table
from dashboard.analysis.settings import Settings, get_settings
from dashboard.cli import app
from tests.analysis.entities.making import TOWN, kind_in, table_of

SHIPPED = find_kinds(Settings())


def test_six_types_ship_and_none_is_broken() -> None:
    assert SHIPPED.broken == () and list(SHIPPED.kinds) == ["animal", "city", "country", "movie", "player", "song"]


@pytest.mark.parametrize("kind", SHIPPED.kinds.values(), ids=lambda kind: kind.name)
def test_a_shipped_table_reaches_from_famous_to_invented_and_nothing_in_it_is_doubtful(kind: EntityKind) -> None:
    table = read_table(kind)
    counts = Counter(entity.familiarity for entity in table.entities)
    assert len(table) >= 245 and counts[None] == 0
    assert counts[Familiarity.FAMOUS] >= 35 and counts[Familiarity.INVENTED] >= 45 and counts[Familiarity.OBSCURE] >= 65
    assert len({entity.name.casefold() for entity in table.entities}) == len(table)
    check = check_table(table)
    assert check.notes == () and check.n_testable >= 195 and sum(check.by_familiarity.values()) == len(table)


@pytest.mark.parametrize("kind", SHIPPED.kinds.values(), ids=lambda kind: kind.name)
def test_every_right_answer_is_graded_correct_and_some_other_of_its_column_is_not(kind: EntityKind) -> None:
    table = read_table(kind)
    for attribute in kind.attributes:
        for entity in table.entities:
            for right in entity.answers.get(attribute.name, ()):
                verdict = grade(attribute, right.replace("film", ""), entity.answers[attribute.name], table.others(attribute.name, entity))
                assert verdict is Verdict.CORRECT, (entity.name, right)
            if attribute.name in entity.answers:
                assert table.distractors(attribute.name, entity, 1), (entity.name, attribute.name)


def test_questions_about_players_name_no_sport() -> None:
    kind = SHIPPED.get("player")
    texts = [text for one in kind.attributes for text in (one.question, one.stem, one.plain, one.recall)]
    assert not any(
        sport in text for sport in ("basketball", "football", "baseball", "hockey", "cricket") for text in [*texts, kind.reading]
    )


def test_a_check_counts_and_names_what_a_study_would_stumble_over(tmp_path: Path) -> None:
    rows = "name,familiarity,country,population,mayor\nMexico City,famous,Mexico,9,x\nReno,invented,Mexico,8,\nTwin,,a,1,\nTwin,,a,1,\n"
    check = check_table(table_of(kind_in(tmp_path), rows))
    country, population, place, side = check.attributes
    assert (country.n_answers, country.n_values, country.given_away) == (2, 1, ("Mexico City",))
    assert (population.n_answers, population.given_away, place.n_answers, side.n_answers) == (2, (), 0, 0)
    assert check.n_testable == 1 and check.by_familiarity == {"famous": 1, "invented": 1}
    text = " ".join(check.notes)
    for said in ("2 rows are left out", "passed over: mayor", "1 invented entities have right answers (Reno)", "country has 1 value only"):
        assert said in text
    assert "No entity has a right answer for side" in text and "under 20 no model" in text


def test_the_command_lists_types_and_checks_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "town.toml").write_text(TOWN)
    (tmp_path / "town.csv").write_text("name,country,population\nParis,France,2100000\n")
    (tmp_path / "lone.csv").write_text("name,country\nParis,France\n")
    monkeypatch.setenv("LATENTS_ENTITY_FOLDERS", str(tmp_path))
    get_settings.cache_clear()
    try:
        run = CliRunner()
        rows = json.loads(run.invoke(app, ["entities", "list", "--json"]).stdout)
        assert [row["type"] for row in rows] == [*SHIPPED.kinds, "town"] and rows[-1]["entities"] == 1
        for arguments in (["town.csv"], ["town.toml"], ["lone.csv", "--type", "town"], ["lone.csv", "--type", "city"]):
            done = run.invoke(app, ["entities", "check", str(tmp_path / arguments[0]), *arguments[1:], "--json"])
            found = json.loads(done.stdout)
            assert found["n_entities"] == 1 and found["type"] == (arguments[2] if len(arguments) > 1 else "town")
        lone = run.invoke(app, ["entities", "check", str(tmp_path / "lone.csv")])
        assert "lone.csv has no lone.toml beside it" in str(lone.exception)
        assert "1 entities" in run.invoke(app, ["entities", "check", str(tmp_path / "town.csv")]).stdout
        assert "city" in run.invoke(app, ["entities", "list"]).stdout
    finally:
        get_settings.cache_clear()
