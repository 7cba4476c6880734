"""The search page without a browser: what is ranked, what is stale, the address bar, and what goes wrong, on the tiny model."""

from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.search.by_text import By, RankAsk, rank
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import LatentList, ListEntry, Note, Notebook
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.shelf import Shelf
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import resources
from tests.app_pages.conftest import Open, drawn, told

PAGE = "app_pages/search.py"
FOX = "The quick brown fox"
RESULTS = "search_results"


def opened(open_page: Open, **query: str | list[str]) -> AppTest:
    app = open_page(PAGE, **({"prompt": FOX} | query))
    assert not app.exception
    return app


def ranked(runner: LocalRunner, ask: RankAsk, text: str = FOX) -> list[str]:
    capture = runner.ask(CaptureAsk(Prompt(text), tuple(spec.id for spec in runner.catalog.specs)))
    return [str(row.latent) for row in rank(capture, {}, ask).rows()]


def names(app: AppTest) -> list[str]:
    found = drawn(app, RESULTS)
    assert found is not None
    return [row["key"] for row in found["rows"]]


def in_url(app: AppTest, name: str) -> list[str]:
    value = app.query_params[name]
    return [value] if isinstance(value, str) else list(value)


def button(app: AppTest, label: str):
    return next(one for one in app.button if one.label == label)


def test_first_open_searches_an_example_in_all_saes(open_page: Open, runner: LocalRunner) -> None:
    app = open_page(PAGE)
    assert not app.exception and not app.error
    found = drawn(app, RESULTS)
    assert "".join(found["texts"][1:]) == app.text_area[0].value
    assert {key.rsplit("/", 1)[0] for key in names(app)} <= {str(spec.id) for spec in runner.catalog.specs}
    assert len(names(app)) == 50 and found["chosen"] == []


@pytest.mark.parametrize("by", [By.MAX, By.SUM])
def test_the_rows_are_the_ranking_over_every_sae(open_page: Open, runner: LocalRunner, by: By) -> None:
    app = opened(open_page, by=by.value)
    expected = ranked(runner, RankAsk(by))
    assert names(app) == expected[:50] and len(expected) > 100
    caption = next(one.value for one in app.caption if "fire on the tokens" in one.value)
    assert str(len(expected)) in caption and "4 SAEs have no index" in caption
    assert drawn(open_page(PAGE, prompt=FOX, by=by.value, part="2"), RESULTS)["rows"][0]["key"] == expected[50]


def test_a_row_carries_the_text_as_its_latent_reads_it(open_page: Open, runner: LocalRunner) -> None:
    found = drawn(opened(open_page, by="max"), RESULTS)
    for row in found["rows"][:10]:
        latent = LatentId.parse(row["key"])
        values = runner.ask(CaptureAsk(Prompt(FOX), (latent.sae,))).activations[latent.sae].of_latent(latent.index)
        assert row["positions"] == values.nonzero()[0].tolist()
        assert row["values"] == pytest.approx(values[values > 0].tolist(), abs=1e-5)
        assert row["maximum"] == pytest.approx(values[row["peak"]], abs=1e-5) and row["peak"] == 1 + int(values[1:].argmax())
        assert row["href"] == f"latent?latent={row['key']}" and row["figures"][0] == f"{values[1:].max():.2f}"


def test_on_a_common_scale_every_row_has_the_maximum_of_the_strongest(open_page: Open) -> None:
    own = drawn(opened(open_page, by="max"), RESULTS)["rows"]
    common = drawn(opened(open_page, by="max", shade="common"), RESULTS)["rows"]
    assert len({row["maximum"] for row in own}) > 1
    assert {row["maximum"] for row in common} == {max(row["maximum"] for row in own)}


def test_chosen_tokens_rank_without_another_reading(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(open_page, by="sum")
    every = names(app)
    with monkeypatch.context() as asked:
        asked.setattr(type(runner), "ask", lambda self, ask: pytest.fail("the model was asked again"))
        app.session_state["search::view"] = replace(app.session_state["search::view"], positions=(2, 3))
        app.segmented_control(key="search:by").set_value(By.SUM).run()
    assert names(app) == ranked(runner, RankAsk(By.SUM, (2, 3)))[:50] != every
    assert in_url(app, "token") == ["2", "3"] and drawn(app, RESULTS)["chosen"] == [2, 3]
    app.segmented_control(key="search:by").set_value(By.MAX).run()
    assert names(app) == ranked(runner, RankAsk(By.MAX, (2, 3)))[:50] and in_url(app, "by") == ["max"]


def test_a_changed_text_is_said_and_read_only_when_asked(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, by="max")
    before = names(app)
    app.text_area(key="search:text").set_value("Something else").run()
    assert "Stale" in app.markdown[0].value + " ".join(one.value for one in app.markdown)
    assert names(app) == before and "".join(drawn(app, RESULTS)["texts"][1:]) == FOX and in_url(app, "prompt") == [FOX]
    app.segmented_control(key="search:by").set_value(By.SUM).run()
    assert names(app) == ranked(runner, RankAsk(By.SUM))[:50]
    button(app, "Run again").click().run()
    assert not any("Stale" in one.value for one in app.markdown)
    assert names(app) == ranked(runner, RankAsk(By.SUM), "Something else")[:50] and in_url(app, "prompt") == ["Something else"]


def test_fewer_saes_are_live_and_more_are_stale(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, by="max", layer="1")
    kept = tuple(spec.id for spec in runner.catalog.specs if spec.site.layer == 1)
    assert names(app) == ranked(runner, RankAsk(By.MAX, saes=kept))[:50]
    app.button_group(key="search:points").set_value(["mlp_out"]).run()
    only = tuple(sae for sae in kept if sae.name == "1.mlp_out")
    assert names(app) == ranked(runner, RankAsk(By.MAX, saes=only))[:50] and in_url(app, "site") == ["mlp_out"]
    assert not any("Stale" in one.value for one in app.markdown)
    app.button_group(key="search:points").set_value([]).run()
    app.button_group(key="search:layers").set_value([]).run()
    assert any("2 more SAEs" in one.value.replace("\\", "") for one in app.markdown)
    button(app, "Run again").click().run()
    assert names(app) == ranked(runner, RankAsk(By.MAX))[:50]
    counted = {layer["layer"]: layer["n"] for layer in drawn(app, RESULTS)["layers"]}
    whole = ranked(runner, RankAsk(By.MAX))
    assert counted == {n: sum(runner.catalog.get(LatentId.parse(key).sae).site.layer == n for key in whole) for n in (1, 2)}


def test_special_tokens_count_only_when_asked(open_page: Open, runner: LocalRunner) -> None:
    assert all(row["peak"] != 0 for row in drawn(opened(open_page, by="max"), RESULTS)["rows"])
    app = opened(open_page, by="max", special="1")
    assert names(app) == ranked(runner, RankAsk(By.MAX, with_special=True))[:50]
    assert any(row["peak"] == 0 for row in drawn(app, RESULTS)["rows"])


def test_a_second_text_is_taken_away(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, by="max", without="The lazy dog")
    saes = tuple(spec.id for spec in runner.catalog.specs)
    here, there = (runner.ask(CaptureAsk(Prompt(text), saes)) for text in (FOX, "The lazy dog"))
    expected = rank(here, {}, RankAsk(By.MAX), there).rows(0, 50)
    assert names(app) == [str(row.latent) for row in expected] != ranked(runner, RankAsk(By.MAX))[:50]
    assert [row["figures"][0] for row in drawn(app, RESULTS)["rows"]] == [f"{row.score:+.2f}" for row in expected]
    assert in_url(app, "without") == ["The lazy dog"]


def test_a_url_opens_the_same_view(open_page: Open) -> None:
    query = {"by": "sum", "token": ["2", "3"], "density": "5", "special": "1", "layer": "2", "site": "resid_post", "shade": "common"}
    app = opened(open_page, **query)
    for name, value in {**query, "prompt": FOX}.items():
        assert in_url(app, name) == ([value] if isinstance(value, str) else value)
    again = open_page(PAGE, **dict(app.query_params.items()))
    assert drawn(again, RESULTS) == drawn(app, RESULTS)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"by": "loudness"}, "by='loudness' is none of rarity, quantile"),
        ({"density": "2"}, "density='2' is none of any, 5, 1"),
        ({"layer": "77"}, "layer='77' is none of 1, 2"),
        ({"site": "<script>"}, "site='<script>' is none of"),
        ({"token": "-1"}, "not a position"),
    ],
)
def test_a_wrong_url_is_said_and_the_page_works(open_page: Open, query: dict[str, str], message: str) -> None:
    app = opened(open_page, **query)
    assert message in told(app) and len(names(app)) == 50


def test_tokens_beyond_the_text_are_left_out(open_page: Open, runner: LocalRunner) -> None:
    app = opened(open_page, by="max", token=["2", "4000"])
    assert names(app) == ranked(runner, RankAsk(By.MAX, (2,)))[:50] and in_url(app, "token") == ["2"]


@pytest.mark.parametrize(("text", "message"), [("", "0 tokens"), ("x y " * 25_000, "the limit is 256")])
def test_bad_input_is_said_and_what_was_read_stays(open_page: Open, text: str, message: str) -> None:
    app = opened(open_page)
    before = names(app)
    app.text_area(key="search:text").set_value(text).run()
    button(app, "Run").click().run()
    assert message in told(app) and not app.exception and names(app) == before
    app.text_area(key="search:text").set_value("The dog").run()
    button(app, "Run").click().run()
    assert not app.error and "".join(drawn(app, RESULTS)["texts"][1:]) == "The dog"


def test_a_persons_own_label_is_shown_and_rows_say_whether_they_are_listed(open_page: Open, runner: LocalRunner, tmp_path) -> None:
    first, second = ranked(runner, RankAsk(By.MAX))[:2]
    notebook = Notebook(tmp_path / "notebook.sqlite")
    notebook.write_note(LatentId.parse(first), Note("foxes"))
    notebook.save_list(LatentList("My latents", entries=(ListEntry(LatentId.parse(second)),)))
    rows = drawn(opened(open_page, by="max"), RESULTS)["rows"]
    assert [(row["label"], row["own"], row["listed"]) for row in rows[:2]] == [("foxes", True, False), ("", False, True)]


def test_the_list_button_puts_a_latent_in_and_takes_it_out(open_page: Open, tmp_path) -> None:
    def script() -> None:
        import streamlit as st

        from dashboard.ui.parts import list_box
        from dashboard.ui.views.search import PAGE, SearchView

        PAGE.take(SearchView(into="Mine"))
        st.session_state[PAGE.key("results")] = {"listed": "tiny/2.resid_post/7"}
        list_box.toggle_listed(PAGE, "results")
        PAGE.tell()

    notebook, latent = Notebook(tmp_path / "notebook.sqlite"), LatentId.parse("tiny/2.resid_post/7")
    other = ListEntry(LatentId.parse("tiny/2.resid_post/9"), "kept")
    app = AppTest.from_function(script).run()
    assert "is now in the list Mine" in app.toast[0].value and notebook.lists() == (LatentList("Mine", entries=(ListEntry(latent),)),)
    notebook.save_list(LatentList("Mine", "foxes", "The fox", (other, ListEntry(latent))))
    assert "was taken out of the list Mine" in app.run().toast[0].value
    assert notebook.lists() == (LatentList("Mine", "foxes", "The fox", (other,)),)


def test_no_sae_at_all_is_said(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "read_catalog", lambda settings: Catalog(()))
    app = open_page(PAGE, prompt=FOX)
    assert "0 SAEs are installed" in told(app) and not app.exception


def test_a_broken_sae_leaves_the_others(open_page: Open, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.analysis.errors import BrokenSaeFile

    bad, load = SaeId("tiny", "2.exact"), type(runner.shelf).take

    def take(self: Shelf, name: SaeId):
        if name == bad:
            raise BrokenSaeFile(self.spec(bad).source, "cut in two")
        return load(self, name)

    monkeypatch.setattr(type(runner.shelf), "take", take)
    app = opened(open_page, by="max")
    assert "cut in two" in told(app) and not any(key.startswith(str(bad)) for key in names(app)) and len(names(app)) == 50
    assert not any("Stale" in one.value for one in app.markdown)


def test_every_number_given_to_the_browser_is_finite(open_page: Open) -> None:
    for by in By:
        found = drawn(opened(open_page, by=by.value), RESULTS)
        assert np.isfinite([value for row in found["rows"] for value in (*row["values"], row["maximum"])]).all()
