"""The notebook: what was written is read again, by everybody, and nobody's change is lost."""

import multiprocessing
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.analysis.errors import AnalysisError, BadAsk, NotUsable
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import MAX_ENTRIES, MAX_NAME, LatentList, ListEntry, Note, Notebook

A, B, C = (LatentId(SaeId("tiny", "1.resid_post"), index) for index in (1, 2, 30))
TEXTS = st.text(st.characters(), max_size=40)
LATENTS = st.builds(
    lambda name, index: LatentId(SaeId("tiny", name), index), st.sampled_from(["a", "b/c", "1.resid_post"]), st.integers(0, 99)
)
ENTRIES = st.lists(st.builds(ListEntry, LATENTS, TEXTS), max_size=6, unique_by=lambda entry: entry.latent).map(tuple)
LISTS = st.builds(LatentList, TEXTS.filter(lambda name: len(" ".join(name.split())) >= 1), TEXTS, TEXTS, ENTRIES)


@pytest.fixture
def book(tmp_path: Path) -> Notebook:
    return Notebook(tmp_path / "deep" / "notebook.sqlite")


def _add_many(file: Path, name: str, start: int, count: int) -> None:
    book = Notebook(file)
    for index in range(start, start + count):
        entry = ListEntry(LatentId(SaeId("tiny", "x"), index))
        book.change_list(name, lambda old, entry=entry: old.with_entries(entry))
        book.write_note(entry.latent, Note(f"label {index}"))


def test_a_note_is_read_as_it_was_written_and_an_empty_one_is_gone(book: Notebook) -> None:
    assert book.note(A) == Note()
    book.write_note(A, Note("  months \n of the year ", "seen in\ntwo texts \ud83d"))
    assert book.note(A) == Note("months of the year", "seen in\ntwo texts \ufffd")
    book.write_note(B, Note(text="?"))
    assert book.notes() == {A: book.note(A), B: Note("", "?")}
    book.write_note(A, Note())
    assert list(book.notes()) == [B]


@given(LISTS)
@settings(max_examples=60, deadline=None)
def test_a_list_is_read_as_it_was_saved(tmp_path_factory: pytest.TempPathFactory, latents: LatentList) -> None:
    book = Notebook(tmp_path_factory.mktemp("book") / "notebook.sqlite")
    book.save_list(latents)
    assert book.get_list(latents.name) == latents
    assert book.lists() == (latents,)
    book.delete_list(latents.name)
    assert book.lists() == ()


def test_a_saved_list_replaces_the_one_of_its_name_and_leaves_the_others(book: Notebook) -> None:
    for name in ("b", "A"):
        book.save_list(LatentList(name, entries=(ListEntry(A), ListEntry(B, "second"))))
    book.save_list(LatentList(" b ", entries=(ListEntry(C),)))
    assert [(one.name, len(one.entries)) for one in book.lists()] == [("A", 2), ("b", 1)]


def test_a_list_keeps_its_order_and_its_latents_once(book: Notebook) -> None:
    book.save_list(LatentList("x", entries=(ListEntry(C), ListEntry(A, "first"), ListEntry(B))))
    grown = book.change_list("x", lambda old: old.with_entries(ListEntry(A), ListEntry(C, "new note")))
    assert grown.entries == (ListEntry(C, "new note"), ListEntry(A, "first"), ListEntry(B)) == book.get_list("x").entries
    with pytest.raises(BadAsk, match=r"tiny/1.resid_post/1 is already in x"):
        LatentList("x", entries=(ListEntry(A), ListEntry(A)))


def test_a_list_can_be_renamed_but_not_over_another(book: Notebook) -> None:
    for name in ("one", "two"):
        book.save_list(LatentList(name, entries=(ListEntry(A),)))
    with pytest.raises(BadAsk, match="A list named two already exists"):
        book.change_list("one", lambda old: replace(old, name="two"))
    assert [one.name for one in book.lists()] == ["one", "two"]
    book.change_list("one", lambda old: replace(old, name="zero"))
    assert [(one.name, len(one.entries)) for one in book.lists()] == [("two", 1), ("zero", 1)]


@pytest.mark.parametrize("name", ["", "  \n ", "x" * (MAX_NAME + 1)])
def test_a_name_that_cannot_be_a_lists_is_refused(name: str) -> None:
    with pytest.raises(BadAsk, match=f"1 to {MAX_NAME} characters"):
        LatentList(name)


def test_too_long_a_list_and_too_long_a_label_are_refused_with_their_numbers() -> None:
    with pytest.raises(BadAsk, match="1,025 latents; the limit is 1,024"):
        LatentList("x", entries=tuple(ListEntry(LatentId(A.sae, index)) for index in range(MAX_ENTRIES + 1)))
    with pytest.raises(BadAsk, match="201 characters"):
        Note("x" * 201)


def test_a_list_that_is_not_there_is_named_with_those_that_are(book: Notebook) -> None:
    book.save_list(LatentList("cities"))
    with pytest.raises(BadAsk, match=r"no list named 'city' here. Available lists: cities"):
        book.get_list("city")
    with pytest.raises(BadAsk, match="no list"):
        book.change_list("city", lambda old: old)
    book.delete_list("city")


def test_two_processes_and_two_threads_lose_nothing(tmp_path: Path) -> None:
    file, count = tmp_path / "notebook.sqlite", 12
    context = multiprocessing.get_context("spawn")
    Notebook(file).save_list(LatentList("all"))
    processes = [context.Process(target=_add_many, args=(file, "all", part * 100, count)) for part in (0, 1)]
    threads = [threading.Thread(target=_add_many, args=(file, "all", part * 100, count)) for part in (2, 3)]
    for worker in (*processes, *threads):
        worker.start()
    for worker in (*processes, *threads):
        worker.join()
    wanted = {part * 100 + index for part in range(4) for index in range(count)}
    book = Notebook(file)
    assert {entry.latent.index for entry in book.get_list("all").entries} == wanted
    assert {latent.index: note.label for latent, note in book.notes().items()} == {index: f"label {index}" for index in wanted}


def test_many_may_open_a_notebook_that_is_not_there_yet(tmp_path: Path) -> None:
    file, failed = tmp_path / "notebook.sqlite", []

    def write(index: int) -> None:
        try:
            Notebook(file).write_note(LatentId(A.sae, index), Note(str(index)))
        except AnalysisError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(Notebook(file).notes()) == 8


def test_a_change_that_fails_changes_nothing(book: Notebook) -> None:
    book.save_list(LatentList("x", entries=(ListEntry(A),)))
    with pytest.raises(BadAsk):
        book.change_list("x", lambda old: replace(old, entries=old.entries * 2))
    assert book.get_list("x").entries == (ListEntry(A),)
    book.write_note(A, Note("still open to others"))


def test_a_damaged_file_is_told_with_its_cure(tmp_path: Path) -> None:
    file = tmp_path / "notebook.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(NotUsable, match=r"damaged: .* move it away to start with an empty one"):
        Notebook(file).notes()
    file.unlink()
    Notebook(file).save_list(LatentList("x", entries=(ListEntry(A),)))
    base = sqlite3.connect(file)
    base.execute("DROP TABLE entries")
    base.close()
    with pytest.raises(NotUsable, match="damaged"):
        Notebook(file).lists()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notebook.sqlite"
    Notebook(file).write_note(A, Note("x"))
    base = sqlite3.connect(file)
    base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(NotUsable, match="of version 9; this dashboard reads version 1"):
        Notebook(file).write_note(A, Note("y"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match=r"cannot be written.*LATENTS_CACHE"):
        Notebook(tmp_path / "file" / "notebook.sqlite").notes()
