"""Edits on the command line: vectors are looked up only where one is named, and the place is read once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.analysis.asks import edits
from dashboard.analysis.asks.edits import NamedVector, TokenSpan
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import Site
from dashboard.analysis.notebook import vectors
from dashboard.analysis.settings import get_settings
from dashboard.cli import steer

ABLATE = "tiny/1.resid_post/3:ablate"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LATENTS_CACHE", str(tmp_path))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def test_no_vector_is_read_where_none_is_named_and_the_place_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(edits, "parse_where", lambda text, parse=edits.parse_where: parsed.append(text) or parse(text))
    monkeypatch.setattr(vectors.VectorFolder, "all", lambda *_: pytest.fail("the vector folder was opened"))
    found = steer._edits([ABLATE, ABLATE], "2:5")
    assert parsed == ["2:5"] and [edit.where for edit in found] == [TokenSpan(2, 5)] * 2


def test_a_vector_that_is_named_is_found(cache: Path) -> None:
    vectors.VectorFolder(cache / "vectors").keep(NamedVector("mood", Site.parse("1.resid_post"), (1.0, 2.0)), "tests/tiny")
    mood, latent = steer._edits(["vector/mood:add:1", ABLATE], "prompt")
    assert str(mood.direction) == "vector/mood" and str(latent.direction) == "tiny/1.resid_post/3"
    with pytest.raises(BadAsk, match="There is no vector/none here"):
        steer._edits(["vector/none:add:1"], "prompt")
