"""`latents study entities` on the default model and the shipped dictionaries."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.command_line import answer, latents

pytestmark = pytest.mark.real
ASK = ("study", "entities", "--types", "city,movie", "--sae", "smollm2-135m/1[37].resid_post", "--preview")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("study")
    return folder, answer(*ASK, "--out", str(folder))


def test_a_preview_finds_latents_of_famous_cities_and_films_above_chance(made) -> None:
    _, found = made
    assert [one["type"] for one in found["types"]] == ["city", "movie"]
    for one in found["types"]:
        assert one["n_known"] + one["n_unknown"] + one["n_aside"] == 60
    best = {(one["type"], one["side"]): one for one in found["nulls"]}
    assert best["city", "known"]["observed"] > 0.4 and best["city", "known"]["p"] < 0.1
    assert all("smollm2-135m/1" in one["latent"] for one in found["known"])


def test_the_tables_count_what_the_answer_says(made) -> None:
    folder, found = made
    for one in found["known"][:3]:
        for pair in one["pairs"]:
            k, n = (int(part) for part in pair["known"].split("/"))
            of = f"from '{folder}/entities.parquet' where type = '{pair['type']}' and label = 'known' and split = 'test'"
            ((total,),) = duckdb.sql(f"select count(*) {of}").fetchall()
            fires = f"select name from '{folder}/activations.parquet' where latent = '{one['latent']}' and type = '{pair['type']}'"
            ((fired,),) = duckdb.sql(f"select count(*) {of} and name in ({fires})").fetchall()
            assert (fired, total) == (k, n)
    page = (folder / "report.html").read_text("utf-8")
    assert found["known"][0]["latent"] in page and "<script src=" not in page


def test_it_is_listed_and_the_same_ask_is_answered_at_once(made) -> None:
    _, found = made
    assert found["key"] in {one["key"] for one in answer("study", "list")}
    again = answer(*ASK)
    assert {**again, "files": []} == {**found, "files": []}


def test_names_that_do_not_exist_are_refused_with_what_there_is() -> None:
    for arguments, word in ((("--types", "planet"), "planet"), (("--sae", "nothing/*"), "nothing"), (("--labels", "guess"), "answers")):
        refused = latents("study", "entities", "--preview", *arguments)
        assert refused.status == 2 and word in refused.stderr
