"""Tables of entities: what stands in the file is read, what is wrong is named by row, what is doubtful is left out."""

import unicodedata
from pathlib import Path

import pytest

from dashboard.analysis.entities.answer_matching import Verdict, grade
from dashboard.analysis.entities.checking import check_table
from dashboard.analysis.entities.tables import MAX_BYTES, read_entities, read_table, split_cell, write_rows
from dashboard.analysis.errors import BrokenEntityFile, UnknownKind
from tests.analysis.entities.making import kind_in, table_of

GOOD = """\ufeffname,familiarity,country,population,place,mayor
Paris,famous,France;  FRANCE ,"2,102,650",48.86 2.35,x
 Reno ,,United States of America,,,

Zorvath,invented,,,,
"""


def test_a_table_is_read_as_it_stands(tmp_path: Path) -> None:
    table = table_of(kind_in(tmp_path), GOOD)
    paris, reno, zorvath = table.entities
    assert paris.answers == {"country": ("France", "FRANCE"), "population": ("2,102,650",), "place": ("48.86 2.35",)}
    assert (reno.name, reno.familiarity, reno.row) == ("Reno", None, 3)
    assert (zorvath.familiarity, zorvath.answers, zorvath.row) == ("invented", {}, 5)
    assert table.passed_over == ("mayor",) and table.left_out == () and len(table) == 3
    assert table.column("country") == ("France", "FRANCE", "United States of America")
    assert table.others("country", paris) == ("United States of America",)
    with pytest.raises(UnknownKind):
        table.column("mayor")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first row has no column name: it is nothing"),
        ("name\n", "0 rows below the header"),
        ("town,country\nParis,France\n", "it is town, country. The columns of town are name, familiarity, country"),
        ("name,country,country\nParis,a,b\n", "column 'country' stands 2 times"),
        ("name,country\nParis,France,2\n", "row 2 has 1 cells more than the header"),
        ("name,country\n ,France\n", "row 2 has no name: give it one, or delete the row"),
        ("name;country\nParis;France\n", "its cells seem to be separated by ';': separate them by commas"),
        ('name,country\nParis,France\n"Weird" Al,US\n', "row 3 is not valid CSV (',' expected after '\"'): put a cell"),
        (f"name\n{'x' * 501}\n", "row 2: the name has 501 characters; the limit is 500: shorten it"),
        ("name,familiarity\nParis,Famous\nReno,well\n", "row 3: familiarity is 'well': one of famous, known"),
        ("name,population\nParis,many\n", "row 2: population is 'many': a number"),
        ("name,place\nParis,98 2\n", "row 2: place is '98 2': latitude and longitude"),
        ('name,country\nParis,"France" \n', "row 2 is not valid CSV"),
        ("name,place\n" + "Paris,x\n" * 14, "14 things to correct"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenEntityFile, match="the upload") as caught:
        table_of(kind_in(tmp_path), text)
    assert message in str(caught.value)


def test_what_is_no_text_too_long_or_not_there_is_named(tmp_path: Path) -> None:
    kind = kind_in(tmp_path)
    with pytest.raises(BrokenEntityFile, match="byte 5 is not UTF-8"):
        read_entities(kind, b"name\n\xe9\n")
    with pytest.raises(BrokenEntityFile, match="the limit is 67,108,864"):
        read_entities(kind, b"x" * (MAX_BYTES + 1))
    with pytest.raises(BrokenEntityFile, match=r"town\.csv"):
        read_table(kind)


def test_a_name_that_stands_twice_is_left_out_with_all_its_rows(tmp_path: Path) -> None:
    table = table_of(kind_in(tmp_path), "name\nMartin\nParis\n Martin\nQ42\nQueens\n")
    assert [entity.name for entity in table.entities] == ["Paris", "Queens"]
    assert [(one.row, one.reason) for one in table.left_out] == [
        (2, "the name stands in 2 rows: 2, 4"),
        (4, "the name stands in 2 rows: 2, 4"),
        (5, "a number of Wikidata, not a name"),
    ]


def test_distractors_are_wrong_apart_from_each_other_and_the_same_each_time(tmp_path: Path) -> None:
    rows = [(f"Town {i}", f"Land{chr(97 + i % 20)} {i % 20 * 7919}", str(1000 * 2**i)) for i in range(40)]
    rows += [("Twin", "Landa", "1010"), ("Blank", "", "")]
    table = table_of(kind_in(tmp_path), write_rows(("name", "country", "population"), rows))
    for attribute in (table.kind.attribute("country"), table.kind.attribute("population")):
        for entity in table.entities:
            drawn = table.distractors(attribute.name, entity, 4)
            assert len(drawn) == 4 and drawn == table.distractors(attribute.name, entity, 4)
            known = [*entity.answers.get(attribute.name, ()), *drawn]
            for i, one in enumerate(known):
                assert grade(attribute, one, [*known[:i], *known[i + 1 :]]) is Verdict.ERROR
    few = table_of(table.kind, "name,country\nA,x\nB,y\n")
    assert few.distractors("country", few.entities[0], 4) == ("y",)


def test_cells_and_rows_are_written_as_they_are_read(tmp_path: Path) -> None:
    rows = [('Say "hi", now', "a;b"), ("Ünder", " a ; ;b; a")]
    table = table_of(kind_in(tmp_path), write_rows(("name", "country"), rows))
    assert [(one.name, one.answers["country"]) for one in table.entities] == [(rows[0][0], ("a", "b")), ("Ünder", ("a", "b"))]
    assert split_cell(" ; ") == ()


UGLY = (
    '"Weird Al" Yankovic', "Washington, D.C.", "Ünïcödé Ñame", "東京", "Ἀθῆναι", "O'Brien's", "C++", "Who?", "E.T.", "...", "A", "🙂",
    "José\u0301", "Tab\tand\nbreak", "zero\u200bwidth", "x" * 500, "=SUM(A1)", "-5", "1984", "Dr. No [film]", "a\u00a0b", "{name}",
)  # fmt: skip


def test_names_of_every_kind_are_read_as_they_are_and_go_through_every_template(tmp_path: Path) -> None:
    text = "\ufeff" + write_rows(("name", "familiarity", "country"), [(name, "famous", "") for name in UGLY]).replace("\n", "\r\n\r\n")
    table = table_of(kind_in(tmp_path), text)
    expected = [unicodedata.normalize("NFC", " ".join(name.split())) for name in UGLY]
    assert [one.name for one in table.entities] == expected and not table.left_out
    for one in table.entities:
        filled = table.kind.reading_text(one.name)
        assert filled.text == f"The town '{one.name}'" and filled.text[filled.start : filled.end] == one.name
        for attribute in table.kind.attributes:
            cloze = table.kind.cloze_text(attribute, one.name)
            assert cloze.text[cloze.start : cloze.end] == one.name


def test_names_that_are_nearly_the_same_are_told(tmp_path: Path) -> None:
    notes = check_table(table_of(kind_in(tmp_path), "name\nParis\nPARIS\nReno\n")).notes
    assert any("2 names are the same but for capitals" in note and "Paris, PARIS" in note for note in notes)
