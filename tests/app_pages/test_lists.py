"""The lists page without a browser, on the tiny model: what it shows is what the model reads, what is changed is kept."""

import hashlib
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.list_forms import MAX_LINK, Form, export_list, pack_link
from dashboard.analysis.notebook.notebook import LatentList, ListEntry, Note, Notebook
from dashboard.analysis.tokens import Prompt
from dashboard.ui.lists import acts
from dashboard.ui.views import lists
from tests.app_pages.conftest import Open, drawn, in_session, told

PAGE = "app_pages/lists.py"
A, B, C = (LatentId(SaeId("tiny", name), index) for name, index in (("2.resid_post", 7), ("1.resid_post", 9), ("1.mlp_out", 30)))
GONE = LatentId(SaeId("gone", "x"), 3)
TEXT = "The quick brown fox jumps over the lazy dog."
LIST = LatentList("foxes", "of all kinds", TEXT, (ListEntry(A, "first"), ListEntry(B), ListEntry(C, "third")))


@pytest.fixture
def book(tmp_path: Path) -> Notebook:
    return Notebook(tmp_path / "notebook.sqlite")


def rows(app: AppTest) -> list[dict]:
    assert not app.exception
    data = drawn(app, "list_rows")
    return data["rows"] if data else []


def in_url(app: AppTest, name: str) -> str:
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


def click(app: AppTest, label: str) -> AppTest:
    return next(one for one in app.button if one.label == label).click().run()


def act(app: AppTest, view_of: Notebook, name: str, **what: object) -> AppTest:
    """What a click in the rows does: their callbacks are not called without a browser."""
    app.session_state[lists.PAGE.key("rows")] = what
    now = lists.Shown(lists.ListsView(name), view_of.get_list(name))
    for key, callback in (("moved", acts.move), ("removed", acts.remove), ("noted", acts.write_note)):
        if key in what:
            with in_session(app):
                callback(now)
    return app.run()


def test_the_first_open_is_not_empty_and_keeps_nothing_unasked(open_page: Open, book: Notebook) -> None:
    app = open_page(PAGE)
    assert not app.exception and app.text_input(lists.PAGE.key("name")).value == "Worked example"
    assert app.text_area(lists.PAGE.key("test_text")).value and book.lists() == ()
    click(app, "Save this list")
    assert [known.name for known in book.lists()] == ["Worked example"]
    assert in_url(app, "name") == "Worked example"


def test_every_row_shows_what_its_latent_does_on_the_text(open_page: Open, book: Notebook, runner: LocalRunner) -> None:
    book.save_list(LIST)
    book.write_note(B, Note("my label"))
    app = open_page(PAGE, name="foxes")
    found = rows(app)
    assert [(row["key"], row["note"], row["place"], row["is_last"]) for row in found] == [
        (str(A), "first", 0, False), (str(B), "", 1, False), (str(C), "third", 2, True),
    ]  # fmt: skip
    assert [(row["label"], row["own"]) for row in found] == [("", False), ("my label", True), ("", False)]
    capture = runner.ask(CaptureAsk(Prompt(TEXT), (A.sae, B.sae, C.sae)))
    assert drawn(app, "list_rows")["texts"] == list(capture.tokens.texts)
    for row, latent in zip(found, (A, B, C), strict=True):
        values = capture.activations[latent.sae].of_latent(latent.index)
        values[0] = 0.0  # the begin token is special
        assert dict(zip(row["positions"], row["values"], strict=True)) == pytest.approx(
            {i: v for i, v in enumerate(values) if v > 0}, abs=1e-5
        )
        assert row["maximum"] == pytest.approx(float(values.max()), abs=1e-5) and row["figures"][0] == f"{values.max():.2f}"
    assert any(row["positions"] for row in found)
    app.toggle(lists.PAGE.key("is_common")).set_value(True).run()
    assert {row["maximum"] for row in rows(app)} == {max(row["maximum"] for row in found)}


def test_changes_of_head_and_rows_are_kept_at_once(open_page: Open, book: Notebook) -> None:
    book.save_list(LIST)
    app = open_page(PAGE)
    app.text_input(lists.PAGE.key("description")).set_value("of some kinds").run()
    app.text_area(lists.PAGE.key("test_text")).set_value("the dog").run()
    app.text_input(lists.PAGE.key("name")).set_value("dogs").run()
    assert in_url(app, "name") == "dogs"
    act(app, book, "dogs", moved={"key": str(C), "by": -2})
    assert [row["key"] for row in rows(app)] == [str(C), str(A), str(B)]
    act(app, book, "dogs", removed=str(A))
    act(app, book, "dogs", noted={"key": str(B), "note": "second"})
    assert book.lists() == (LatentList("dogs", "of some kinds", "the dog", (ListEntry(C, "third"), ListEntry(B, "second"))),)
    assert [row["note"] for row in rows(app)] == ["third", "second"]
    assert Notebook(book._file).lists() == book.lists()


def test_latents_are_added_by_name_all_or_none(open_page: Open, book: Notebook) -> None:
    book.save_list(LatentList("x"))
    app = open_page(PAGE)
    assert "This list is empty" in told(app)
    app.text_input(lists.PAGE.key("add")).set_value(f"{A}, {B}")
    click(app, "Add")
    assert [row["key"] for row in rows(app)] == [str(A), str(B)]
    app.text_input(lists.PAGE.key("add")).set_value(f"{C} tiny/1.mlp_out/64")
    click(app, "Add")
    assert "Latent 64 is not in tiny/1.mlp_out: it has 64 latents" in told(app)
    assert len(book.get_list("x").entries) == 2


def test_a_new_list_is_made_by_its_name_and_a_name_that_is_taken_is_refused(open_page: Open, book: Notebook) -> None:
    book.save_list(LIST)
    app = open_page(PAGE)
    with in_session(app):
        acts.choose("new")
    assert [known.name for known in book.lists()] == ["foxes", "new"]
    app = open_page(PAGE, name="new")
    app.text_input(lists.PAGE.key("name")).set_value("foxes").run()
    assert "A list named foxes already exists" in told(app)
    assert app.text_input(lists.PAGE.key("name")).value == "new" and book.get_list("foxes") == LIST


def test_a_list_is_deleted_only_when_that_was_confirmed(open_page: Open, book: Notebook) -> None:
    book.save_list(LIST)
    book.write_note(A, Note("stays"))
    app = click(open_page(PAGE), "Delete")
    click(app, "Cancel")
    assert book.lists() == (LIST,)
    click(click(app, "Delete"), "Delete it")
    assert book.lists() == () and book.note(A) == Note("stays")
    assert "foxes is deleted" in told(app) and app.text_input(lists.PAGE.key("name")).value == "Worked example"


def test_a_link_carries_the_list_to_an_installation_that_has_none(open_page: Open, book: Notebook) -> None:
    link = pack_link(LatentList(LIST.name, LIST.description, LIST.test_text, (*LIST.entries, ListEntry(GONE))))
    app = open_page(PAGE, list=link)
    assert [row["key"] for row in rows(app)] == [str(A), str(B), str(C)] and book.lists() == ()
    assert "gone/x/3 was left out" in told(app)
    click(app, "Save this list")
    assert book.lists() == (LIST,) and in_url(app, "name") == "foxes"
    again = open_page(PAGE, list=pack_link(LIST))
    click(again, "Save this list")
    assert [known.name for known in book.lists()] == ["foxes", "foxes 2"]


def test_a_list_of_a_link_can_be_changed_before_it_is_kept_and_its_address_follows(open_page: Open, book: Notebook) -> None:
    app = open_page(PAGE, list=pack_link(LIST))
    app.text_input(lists.PAGE.key("name")).set_value("changed").run()
    other = open_page(PAGE, list=in_url(app, "list"))
    assert other.text_input(lists.PAGE.key("name")).value == "changed" and book.lists() == ()


@pytest.mark.parametrize(
    "query, said", [({"list": "1broken"}, "This link's list cannot be read"), ({"name": "gone"}, "no list named 'gone' on this machine")]
)
def test_an_address_that_means_nothing_is_told_and_the_page_lives(open_page: Open, query: dict[str, str], said: str) -> None:
    app = open_page(PAGE, **query)
    assert said in told(app) and app.text_input(lists.PAGE.key("name")).value == "Worked example"


def test_what_is_not_installed_has_its_row_and_the_rest_is_read(open_page: Open, book: Notebook) -> None:
    book.save_list(LatentList("x", "", TEXT, (ListEntry(GONE, "was here"), ListEntry(A))))
    app = open_page(PAGE)
    first, second = rows(app)
    assert first["href"] == "" and "No SAE 'gone/x'" in first["label"] and first["note"] == "was here" and first["positions"] == []
    assert second["href"] and second["positions"]
    assert "1 of these latents are not available here" in told(app)


def test_files_and_pasted_links_come_in_and_what_goes_out_comes_in_again(open_page: Open, book: Notebook, runner: LocalRunner) -> None:
    book.save_list(LatentList("other"))
    app = open_page(PAGE)
    file = export_list(LIST, Form.LIST, runner.catalog).text
    app.get("file_uploader")[0].upload("months.json", file.encode(), "application/json").run()
    assert book.get_list("foxes") == LIST and len(rows(app)) == 3
    codes = [code.value for code in app.code]
    assert any(code.endswith(f"?list={pack_link(LIST)}") for code in codes)
    quick = next(code for code in codes if "quick-list" in code)
    app.text_area(lists.PAGE.key("pasted")).set_value(quick)
    click(app, "Import")
    assert [entry.latent for entry in book.get_list("foxes 2").entries] == [A, B, C]
    app.text_area(lists.PAGE.key("pasted")).set_value("nonsense")
    click(app, "Import")
    assert "is not a list of latents" in told(app)
    app.text_area(lists.PAGE.key("pasted")).set_value(json.dumps([{"modelId": "gpt2-small", "layer": "6-res-jb", "index": "5"}]))
    click(app, "Import")
    assert "no latent of an installed SAE" in told(app) and len(book.lists()) == 3


def test_a_long_list_is_leafed_through_and_says_what_its_link_leaves_out(open_page: Open, book: Notebook) -> None:
    noisy = tuple(
        ListEntry(LatentId(A.sae, i), hashlib.sha512(bytes([i])).hexdigest() + hashlib.sha512(bytes([i, 0])).hexdigest()) for i in range(60)
    )
    book.save_list(LatentList("long", "", "", noisy))
    app = open_page(PAGE)
    assert len(rows(app)) == lists.PER_PAGE and drawn(app, "list_rows")["texts"] == []
    with in_session(app):
        lists.PAGE.change(part=3)
    app.run()
    assert [row["place"] for row in rows(app)] == list(range(50, 60)) and rows(app)[-1]["is_last"]
    said = " ".join(caption.value for caption in app.caption)
    assert f"longer than the {MAX_LINK:,} characters" in said.replace("\\", "")


def test_moving_goes_no_further_than_an_end() -> None:
    entries = LIST.entries
    for by, order in ((-9, (C, A, B)), (-1, (A, C, B)), (0, (A, B, C)), (9, (A, B, C))):
        assert tuple(entry.latent for entry in acts.moved_by(entries, C, by)) == order
    assert acts.moved_by(entries, GONE, 1) == entries


def test_who_comes_back_from_another_page_with_its_address_finds_the_list(open_page: Open, book: Notebook) -> None:
    for name in ("a first one", "foxes"):
        book.save_list(LatentList(name))
    app = open_page(PAGE, name="foxes")
    app.query_params.clear()
    app.query_params["latent"] = str(A)
    app.run()
    assert app.text_input(lists.PAGE.key("name")).value == "foxes"
    assert in_url(app, "name") == "foxes" and "latent" not in app.query_params
