"""The latent page without a browser, on the tiny model with an index that is really built."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.weights import NeighbourAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.index.building import build_indexes
from dashboard.analysis.index.facts import N_BINS, LatentFacts, bin_of
from dashboard.analysis.index.file import read_facts, read_index
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.notebook.notebook import LatentList, Note
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpora import corpus_file
from dashboard.analysis.text.corpus import Corpus, join, write_corpus
from dashboard.analysis.tokens import Prompt
from dashboard.ui.shell import resources
from dashboard.ui.views import latent as latent_state
from tests.app_pages.conftest import Open, drawn, told
from tests.conftest import N_LATENTS, random_weights, save_sae

SAE, NO_INDEX = SaeId("tiny", "2.resid_post"), SaeId("tiny", "2.exact")
DEAD = 5
RARE = 4.3
"""Threshold of latent 7, which so fires in some documents only."""
TEXTS = (
    "The fox sleeps, and the dog jumps over the lazy fox.",
    "The quick brown fox jumps over the dog. The dog sleeps.",
    "The quick brown fox jumps over the lazy cat and is done.",
    "한국어 emoji 👩‍👩‍👧 done. The lazy dog, the quick dog.",
    "and the dog and the fox and the dog and the fox and the dog and the fox",
)


@pytest.fixture(scope="module")
def corpus(tiny_model: LoadedModel) -> Corpus:
    ids = [tiny_model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    return join("tiny-text", str(tiny_model.id), [(f"kind {place}", document) for place, document in enumerate(ids)])


@pytest.fixture(scope="module")
def indexed(
    tmp_path_factory: pytest.TempPathFactory, tiny_release: Path, tiny_model: LoadedModel, tiny_settings: Settings, corpus: Corpus
) -> Catalog:
    """A copy of the release with an index beside each SAE but one; latent DEAD of one SAE never fires."""
    folder = tmp_path_factory.mktemp("indexed")
    release = shutil.copytree(tiny_release, folder / "tiny")
    weights = random_weights(1)
    weights["threshold"][DEAD], weights["threshold"][7] = 1e3, RARE
    save_sae(release / SAE.name, "blocks.2.hook_resid_post", weights)
    catalog = read_catalog(tiny_settings.model_copy(update={"sae_folders": (release,)}), assets=folder)
    build_indexes([spec for spec in catalog.specs if spec.id != NO_INDEX], corpus, tiny_model, catalog, folder)
    return catalog


@pytest.fixture
def runner(tiny_model: LoadedModel, indexed: Catalog, corpus: Corpus, tmp_path: Path) -> LocalRunner:
    write_corpus(corpus_file(corpus, Settings(cache=tmp_path)), corpus)
    return LocalRunner(tiny_model, indexed, tmp_path)


@pytest.fixture
def facts(indexed: Catalog) -> LatentFacts:
    return read_facts(indexed.get(SAE), 7)


def page(open_page: Open, latent: LatentId | str, **query: str) -> AppTest:
    """The latent page, opened by a link."""
    app = open_page()
    app.query_params.clear()
    for name, value in {"latent": str(latent), **query}.items():
        app.query_params[name] = value
    return app.switch_page("app_pages/latent.py").run()


def all_drawn(app: AppTest, component: str) -> list[dict[str, Any]]:
    return [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.component_name.endswith(component)]


def bands(app: AppTest) -> list[dict[str, Any]]:
    """The example lists below the test box."""
    return all_drawn(app, "example_list")[1:]


def said(app: AppTest) -> str:
    return " ".join([*(e.value for e in app.markdown), *(e.value for e in app.caption)]).replace("\\", "")


def anchors(band: dict[str, Any]) -> list[tuple[int, float, float]]:
    """Position, value of the index, value on the page's own reading."""
    return [(int(row["key"]), row["value"], row["values"][row["anchor"]]) for row in band["rows"]]


def test_a_link_shows_the_latent_with_its_facts_and_no_error(open_page: Open, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent)
    assert not app.exception and not app.error and "latent 7 of" in app.title[0].value
    first, second = all_drawn(app, "histogram")
    assert first["counts"] == list(facts.histogram) and first["high"] == facts.maximum and first["clickable"]
    assert second["counts"] == list(facts.logit_histogram) and second["signed"] and not second["clickable"]
    assert facts.label.replace("\\", "") in said(app) and f"{facts.n_fired} of {facts.head.n_tokens} tokens" in said(app)
    likelier, less = drawn(app, "token_columns")["columns"]
    assert [t["weight"] for t in likelier["tokens"]] == [t.logit for t in facts.promoted]
    assert [t["weight"] for t in less["tokens"]] == [t.logit for t in facts.suppressed]


def test_every_example_fires_as_the_index_says_and_all_texts_share_one_scale(open_page: Open, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent, test="The lazy fox")
    fired, near = bands(app)[:-1], bands(app)[-1]
    assert {json.dumps(band["scale"]) for band in all_drawn(app, "example_list")} == {json.dumps(fired[0]["scale"])}
    assert fired[0]["scale"]["maximum"] == facts.maximum
    for position, value, read in [row for band in fired for row in anchors(band)]:
        assert read == pytest.approx(value, rel=1e-3), position
    tops = [example.position for example in facts.top]
    assert [row[0] for row in anchors(fired[0])] == [p for p in tops if p in {row[0] for row in anchors(fired[0])}]
    assert [row[0] for row in anchors(near)] == [example.position for example in facts.near_misses]
    assert all(read == 0 for _, _, read in anchors(near))


def test_no_example_is_shown_twice(open_page: Open, facts: LatentFacts) -> None:
    keys = [row["key"] for band in bands(page(open_page, facts.latent)) for row in band["rows"]]
    assert len(keys) == len({*keys})
    folded = sum(int(row["more"].split()[0]) for row in bands(page(open_page, facts.latent))[0]["rows"] if row["more"])
    assert len(bands(page(open_page, facts.latent))[0]["rows"]) + folded == len(facts.top)


def test_the_test_box_reads_a_text_on_the_scale_of_the_examples(open_page: Open, runner: LocalRunner, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent)
    assert all_drawn(app, "example_list")[0]["rows"] == []
    app.text_area(key="latent:text").set_value("The lazy fox").run()
    tested = all_drawn(app, "example_list")[0]
    capture = runner.ask(CaptureAsk(Prompt("The lazy fox"), (SAE,)))
    values = capture.activations[SAE].of_latent(7)
    assert tested["rows"][0]["values"] == pytest.approx(values.tolist()) and "".join(tested["rows"][0]["texts"][1:]) == "The lazy fox"
    assert tested["rows"][0]["value"] == pytest.approx(values[1:].max()) and tested["scale"]["maximum"] == facts.maximum
    assert app.query_params["test"] == "The lazy fox"
    app.text_area(key="latent:text").set_value("The dog").run()
    assert "Earlier tests (1)" in [expander.label for expander in app.expander]


def test_a_text_that_is_too_long_is_said_and_the_bands_stay_away_from_no_one(open_page: Open, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent, test="x y " * 400)
    assert "the limit is 256" in told(app) and not app.exception
    app.text_area(key="latent:text").set_value("The fox").run()
    assert not app.error and len(bands(app)) > 1


def test_a_bin_filters_the_examples_and_the_same_bin_again_shows_all(open_page: Open, facts: LatentFacts) -> None:
    chosen = bin_of(facts.top[0].value, facts.maximum)
    app = page(open_page, facts.latent, bin=str(chosen))
    (band,) = bands(app)
    low, high = facts.maximum * chosen / N_BINS, facts.maximum * (chosen + 1) / N_BINS
    assert band["rows"] and all(low < value <= high for _, value, _ in anchors(band))
    assert drawn(app, "histogram")["selected"] == chosen
    app.button(key="latent:all").click().run()
    assert len(bands(app)) > 1 and "bin" not in app.query_params


def test_an_empty_bin_says_so(open_page: Open, facts: LatentFacts) -> None:
    stored = {bin_of(one.value, facts.maximum) for one in (*facts.top, *(e for part in facts.intervals for e in part.examples))}
    empty = next(i for i in range(N_BINS) if i not in stored)
    app = page(open_page, facts.latent, bin=str(empty))
    assert "0 of the" in said(app) and not bands(app) and not app.exception


def test_previous_and_next_go_round_the_ends(open_page: Open) -> None:
    app = page(open_page, LatentId(SAE, N_LATENTS - 1))
    app.button(key="latent:next").click().run()
    assert app.query_params["latent"] == f"{SAE}/0" and "latent 0 of" in app.title[0].value
    app.button(key="latent:previous").click().run()
    assert app.query_params["latent"] == f"{SAE}/{N_LATENTS - 1}"
    assert app.text_input(key="latent:name").value == str(N_LATENTS - 1)


def test_random_is_another_latent_that_fires_each_as_likely(indexed: Catalog) -> None:
    spec, draw = indexed.get(SAE), random.Random(0)
    firing = {*np.flatnonzero(read_index(spec).n_fired).tolist()}
    assert DEAD not in firing
    found = Counter(latent_state.another(spec, LatentId(SAE, 7), draw).index for _ in range(6000))
    assert {*found} == firing - {7} and max(found.values()) < 2 * min(found.values())
    without = {latent_state.another(indexed.get(NO_INDEX), LatentId(NO_INDEX, 3), draw).index for _ in range(2000)}
    assert without == {*range(N_LATENTS)} - {3}


def test_the_random_button_goes_to_a_latent_that_fires(open_page: Open, indexed: Catalog) -> None:
    app = page(open_page, LatentId(SAE, 7))
    app.button(key="latent:random").click().run()
    latent = LatentId.parse(app.query_params["latent"])
    assert latent != LatentId(SAE, 7) and read_index(indexed.get(SAE)).n_fired[latent.index] > 0


def test_a_dead_latent_is_said_and_its_weights_are_shown(open_page: Open) -> None:
    app = page(open_page, LatentId(SAE, DEAD))
    assert "This latent is dead: it fired on none of the" in told(app) and not app.error and not app.exception
    assert drawn(app, "token_columns") and [h["signed"] for h in all_drawn(app, "histogram")] == [True]
    assert drawn(app, "latent_list")["rows"]


def test_without_an_index_the_cure_is_said_and_the_test_box_works(open_page: Open, runner: LocalRunner) -> None:
    app = page(open_page, LatentId(NO_INDEX, 3), test="The fox")
    assert f"latents index build {NO_INDEX}" in told(app) and not app.error and not app.exception
    (tested,) = all_drawn(app, "example_list")
    values = runner.ask(CaptureAsk(Prompt("The fox"), (NO_INDEX,))).activations[NO_INDEX].of_latent(3)
    assert tested["scale"]["maximum"] == pytest.approx(values[1:].max())
    assert drawn(app, "latent_list")["rows"]


def test_without_the_corpus_the_facts_still_stand(open_page: Open, facts: LatentFacts, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "corpora", ignore_errors=True)
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    app = page(open_page, facts.latent)
    assert "is not on this machine" in told(app) and drawn(app, "histogram")["counts"] == list(facts.histogram)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"latent": "tiny/2.resid_post/64"}, "has 64 latents (0 to 63)"),
        ({"latent": "nonsense"}, "RELEASE/NAME/INDEX"),
        ({"latent": "tiny/9.resid_post/1"}, "Nearest: tiny/"),
        ({"latent": "tiny/2.resid_post/7", "bin": "40"}, "not a bin of the histogram"),
        ({"latent": "tiny/2.resid_post/7", "bin": "<b>"}, "not a bin of the histogram"),
    ],
)
def test_a_wrong_link_is_said_and_the_page_works(open_page: Open, query: dict[str, str], message: str) -> None:
    app = page(open_page, **query)
    assert message in told(app) and not app.exception and drawn(app, "token_columns") is not None


@pytest.mark.parametrize(
    ("typed", "latent", "message"), [("9", f"{SAE}/9", ""), ("tiny/2.exact/1", "tiny/2.exact/1", ""), ("64", f"{SAE}/7", "0 to 63")]
)
def test_a_name_can_be_typed(open_page: Open, typed: str, latent: str, message: str) -> None:
    app = page(open_page, LatentId(SAE, 7))
    app.text_input(key="latent:name").set_value(typed).run()
    assert app.query_params["latent"] == latent and message in told(app) and not app.exception


def test_another_sae_shows_the_latent_that_points_the_same_way(open_page: Open, runner: LocalRunner) -> None:
    app, other = page(open_page, LatentId(SAE, 7)), SaeId("tiny", "1.mlp_out")
    app.selectbox(key="latent:sae").set_value(str(other)).run()
    assert app.query_params["latent"] == str(runner.ask(NeighbourAsk(LatentId(SAE, 7), (other,)))[0].latent)


def test_label_and_note_are_kept_and_stand_at_the_head(open_page: Open, tmp_path: Path) -> None:
    latent = LatentId(SAE, 7)
    app = page(open_page, latent)
    app.text_input(key=f"latent:label {latent}").set_value("sleepy foxes").run()
    app.text_input(key=f"latent:note {latent}").set_value("seen *twice*").run()
    assert "#### sleepy foxes" in said(app)
    assert resources.get_notebook().note(latent) == Note("sleepy foxes", "seen *twice*")
    app.text_input(key=f"latent:label {latent}").set_value("x" * 201).run()
    assert "the limit is 200" in told(app) and resources.get_notebook().note(latent).label == "sleepy foxes"


def test_a_latent_is_added_to_a_list(open_page: Open) -> None:
    open_page()
    resources.get_notebook().save_list(LatentList("mine"))
    for index in (7, 8):
        app = page(open_page, LatentId(SAE, index))
        app.selectbox(key="latent:lists").set_value("mine").run()
        assert app.selectbox(key="latent:lists").value is None and not app.exception and not told(app)
    assert [str(entry.latent) for entry in resources.get_notebook().get_list("mine").entries] == [f"{SAE}/7", f"{SAE}/8"]


def test_the_vector_is_the_decoder_row_under_neuronpedias_name(runner: LocalRunner) -> None:
    from dashboard.ui.latent.head import vector_json

    values = json.loads(vector_json(runner, LatentId(SAE, 7)))
    assert values == pytest.approx(runner.sae(SAE).W_dec[7].tolist())


def test_steer_and_highlight_lead_on_with_this_latent(open_page: Open) -> None:
    app = page(open_page, LatentId(SAE, 7), test="The lazy fox")
    app.button(key="latent:steer").click().run()
    assert not app.exception and f"{SAE}/7:add" in str(app.query_params["edit"])
    app = page(open_page, LatentId(SAE, 7), test="The lazy fox")
    app.button(key="latent:highlight").click().run()
    assert drawn(app, "token_strip")["scale"]["label"] == f"{SAE}/7" and app.text_area[0].value == "The lazy fox"


def test_without_a_test_highlight_reads_the_strongest_example(open_page: Open, facts: LatentFacts, corpus: Corpus) -> None:
    app = page(open_page, facts.latent)
    app.button(key="latent:highlight").click().run()
    assert app.text_area[0].value in TEXTS[corpus.document_at(facts.top[0].position)]


def test_the_link_opens_the_same_page(open_page: Open, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent, test="The fox", log="1", full="1")
    query = {name: app.query_params[name] for name in ("latent", "test", "log", "full")}
    again = page(open_page, **query)
    for component in ("histogram", "example_list", "latent_list", "token_columns"):
        assert all_drawn(again, component) == all_drawn(app, component)
    assert all(histogram["log"] for histogram in all_drawn(app, "histogram")) and all(band["wrapped"] for band in bands(app))


def test_full_texts_are_whole_documents(open_page: Open, facts: LatentFacts) -> None:
    app = page(open_page, facts.latent, full="1")
    for row in bands(app)[0]["rows"]:
        assert not row["before"] and not row["after"] and "".join(row["texts"]) in TEXTS


def test_first_open_is_a_worked_example(open_page: Open) -> None:
    app = open_page().switch_page("app_pages/latent.py").run()
    assert not app.exception and not app.error and bands(app) and all_drawn(app, "example_list")[0]["rows"]
