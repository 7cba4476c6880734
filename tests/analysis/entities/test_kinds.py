"""Types of entities: two files add one, and every template knows where the name stands."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.entities.kinds import FOLDER, EntityKind, find_kinds, read_kind
from dashboard.analysis.errors import BrokenEntityFile, UnknownKind
from dashboard.analysis.settings import Settings
from tests.analysis.entities.making import TOWN, kind_in

NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> EntityKind:
    return kind_in(tmp_path_factory.mktemp("kind"))


@given(name=NAMES | st.sampled_from(["{name}", "{type}", "The", "'"]))
@settings(deadline=None)
def test_a_filled_template_has_the_name_where_it_says(name: str, town: EntityKind) -> None:
    kind = town
    country = kind.attribute("country")
    texts = (kind.reading_text(name), kind.cloze_text(country, name), kind.plain_text(country, name), kind.self_report_text(name))
    for filled in (*texts, kind.recall_text(country, name)):
        assert filled is not None and filled.text[filled.start : filled.end] == name
    assert kind.reading_text(name).text == f"The town '{name}'"
    question, stem = f"What country contains the town '{name}'?", f"The country of the town '{name}' is"
    assert kind.question_text(country, name).text == question and kind.cloze_text(country, name).text == f"{question} {stem}"
    assert kind.plain_text(country, name).text == f"In which country is the town {name}?"


def test_what_is_not_given_is_the_default(tmp_path: Path) -> None:
    kind = kind_in(tmp_path, "[attributes.a]\nquestion = 'What of {name}?'\nstem = '{name} is'", "thing")
    (a,) = kind.attributes
    assert (kind.name, kind.title, kind.word, kind.reading) == ("thing", "Thing", "thing", "The {type} '{name}'")
    assert kind.plain_text(a, "x") == kind.question_text(a, "x") and kind.recall_text(a, "x") is None
    assert (a.matcher, a.tolerance, a.relative, kind.query) == ("names", 0.0, False, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "[attributes.NAME] is missing"),
        ("title = 3", "title is 3: a text"),
        ("a = ", "Invalid value"),
        (TOWN.replace('matcher = "number"', 'matcher = "digits"'), "attributes.population.matcher is 'digits': one of names, contains"),
        (TOWN.replace("tolerance = 0.1", "tolerance = -1"), "attributes.population.tolerance is -1"),
        (TOWN.replace("stem = \"In the {type} '{name}' live\"", ""), "attributes.population.stem is missing"),
        (TOWN.replace("stem = \"In the {type} '{name}' live\"", "stem = 'In it live'"), "it must hold {name}"),
        (TOWN.replace("{type} '{name}' in the north", "{type} {city} '{name}'"), "holds {city}: only {name} and {type}"),
        (TOWN.replace("recall", "recal"), "attributes.country.recal is not known"),
        (TOWN.replace("attributes.side", "attributes.familiarity"), "not name or familiarity"),
    ],
)
def test_a_mistake_in_a_type_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenEntityFile, match=r"town\.toml: \d+ things? to correct") as caught:
        kind_in(tmp_path, text)
    assert message in str(caught.value)


def test_two_files_add_a_type_and_a_broken_one_hides_no_other(tmp_path: Path) -> None:
    kind_in(tmp_path)
    (tmp_path / "town.csv").write_text("name\nX\n")
    (tmp_path / "ruin.toml").write_text("title = 3")
    (tmp_path / "city.toml").write_text(TOWN)
    found = find_kinds(Settings(entity_folders=(tmp_path, tmp_path / "none")))
    assert found.get("town").table == tmp_path / "town.csv"
    assert [error.path.name for error in found.broken] == ["city.toml", "ruin.toml", "none"]
    assert found.get("city").file.parent == FOLDER and "is taken by" in str(found.broken[0])
    with pytest.raises(UnknownKind, match=r"No type of entity 'towns'\. Nearest: town"):
        found.get("towns")
    with pytest.raises(UnknownKind, match="country, population, place, side"):
        found.get("town").attribute("mayor")


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(BrokenEntityFile, match=r"none\.toml"):
        read_kind(tmp_path / "none.toml")


@pytest.mark.parametrize(("raw", "message"), [(b'title = "\xff"', "not UTF-8"), (b"title = Towns", r"not TOML: .*line 1.*city\.toml")])
def test_what_is_no_toml_at_all_is_said_with_a_cure(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "town.toml").write_bytes(raw)
    with pytest.raises(BrokenEntityFile, match=message):
        read_kind(tmp_path / "town.toml")
