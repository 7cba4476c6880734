"""A search by word without a browser, on the tiny model with indexes that are really built: which SAEs are searched."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.index.building import build_indexes
from dashboard.analysis.index.file import read_index
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.text.corpora import corpus_file
from dashboard.analysis.text.corpus import Corpus, join, write_corpus
from tests.app_pages.conftest import Open, drawn, told
from tests.conftest import N_LATENTS, TEXT

INDEXED = tuple(SaeId("tiny", name) for name in ("1.resid_post", "2.resid_post", "1.mlp_out"))
LAYERS, SITES = "word:layers", "word:points"


@pytest.fixture(scope="module")
def corpus(tiny_model: LoadedModel) -> Corpus:
    return join("tiny-text", str(tiny_model.id), [("text", tiny_model.tokenizer(TEXT, add_special_tokens=False)["input_ids"])])


@pytest.fixture(scope="module")
def indexed(
    tmp_path_factory: pytest.TempPathFactory, tiny_release: Path, tiny_model: LoadedModel, tiny_settings: Settings, corpus: Corpus
) -> Catalog:
    folder = tmp_path_factory.mktemp("indexed-words")
    release = shutil.copytree(tiny_release, folder / "tiny")
    catalog = read_catalog(tiny_settings.model_copy(update={"sae_folders": (release,)}), assets=folder)
    build_indexes([catalog.get(sae) for sae in INDEXED], corpus, tiny_model, catalog, folder)
    return catalog


@pytest.fixture
def runner(tiny_model: LoadedModel, indexed: Catalog, corpus: Corpus, tmp_path: Path) -> LocalRunner:
    write_corpus(corpus_file(corpus, Settings(cache=tmp_path)), corpus)
    return LocalRunner(tiny_model, indexed, tmp_path)


def opened(open_page: Open, **query: str | list[str]) -> AppTest:
    app = open_page("app_pages/search.py", **({"find": "word", "word": "dog", "how": "exact"} | query))
    assert not app.exception and not app.error
    return app


def latents(app: AppTest) -> list[LatentId]:
    found = drawn(app, "list_rows")
    return [LatentId.parse(row["key"]) for row in found["rows"]] if found else []


def searched(app: AppTest) -> int:
    """How many latents the caption says were looked through."""
    words = next(one.value for one in app.caption if "latents match" in one.value).split()
    return int(words[words.index("latents") - 1])


def test_without_a_choice_every_sae_is_searched(open_page: Open, indexed: Catalog) -> None:
    app = opened(open_page)
    has_it = {LatentId(sae, i) for sae in INDEXED for i, label in enumerate(read_index(indexed.get(sae)).labels) if "dog" in label}
    assert searched(app) == 3 * N_LATENTS and {latent.sae for latent in latents(app)} <= {*INDEXED}
    assert has_it and {*latents(opened(open_page))} & has_it
    assert app.expander[0].label == "All of 4 SAEs" and not {"layer", "site"} & {*app.query_params}


def test_layers_and_sites_choose_the_saes_and_stand_in_the_address(open_page: Open) -> None:
    app = opened(open_page)
    app.button_group(key=LAYERS).set_value([1]).run()
    assert searched(app) == 2 * N_LATENTS and {latent.sae.name for latent in latents(app)} == {"1.resid_post", "1.mlp_out"}
    app.button_group(key=SITES).set_value(["mlp_out"]).run()
    assert searched(app) == N_LATENTS and {latent.sae.name for latent in latents(app)} == {"1.mlp_out"}
    assert app.expander[0].label == "1 of 4 SAEs"
    assert (app.query_params["layer"], app.query_params["site"]) == ("1", "mlp_out")
    again = opened(open_page, layer="1", site="mlp_out")
    assert latents(again) == latents(app) and again.button_group(key=LAYERS).value == [1]
    app.button_group(key=LAYERS).set_value([2]).run()
    assert not latents(app) and "None of the selected SAEs has an index" in told(app)


def test_what_the_address_chooses_and_is_not_there_is_named_and_the_rest_is_searched(open_page: Open) -> None:
    app = opened(open_page, layer=["77", "2"])
    assert "layer='77' is none of 1, 2" in told(app)
    assert searched(app) == N_LATENTS and {latent.sae for latent in latents(app)} == {INDEXED[1]}


def test_each_search_has_a_choice_of_its_own(open_page: Open) -> None:
    app = opened(open_page, layer="2")
    app.button_group(key="search:find").set_value("By text").run()
    assert not app.exception and app.button_group(key="search:layers").value == []
    app.button_group(key="search:layers").set_value([1]).run()
    app.button_group(key="search:find").set_value("By word").run()
    assert app.button_group(key=LAYERS).value == [2] and searched(app) == N_LATENTS
    fresh = open_page("app_pages/search.py", prompt="The dog", layer="1")
    fresh.button_group(key="search:find").set_value("By word").run()
    assert not fresh.exception and fresh.button_group(key=LAYERS).value == []
