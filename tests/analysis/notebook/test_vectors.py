"""Directions kept by name, and the files of strangers."""

import json
import threading
from pathlib import Path

import pytest

from dashboard.analysis.asks.edits import NamedVector
from dashboard.analysis.errors import AnalysisError, BadAsk
from dashboard.analysis.names import Site
from dashboard.analysis.notebook.vectors import MAX_BYTES, VectorFolder, parse_vector, vector_json

SITES = ("0.embed", "2.resid_post", "1.mlp_out", "3.attn_out")
VALUES = (0.1, -2.5, 1e-7, 0.0)
HERE = Site.parse("2.resid_post")


def neuronpedia(**other: object) -> bytes:
    return json.dumps(
        {"modelId": "m", "layerNumber": 2, "hookType": "resid-post", "vector": [1, 2.5], "vectorLabel": "x", **other}
    ).encode()


@pytest.mark.parametrize("name", ["north", "two words", "v1.2", "a.json", "북쪽 +1-2_x", "x" * 60, "a.writing"])
def test_vectors_are_read_as_they_were_kept(tmp_path: Path, name: str) -> None:
    folder = VectorFolder(tmp_path / "vectors")
    assert folder.all() == {}
    for site in SITES:
        vector = NamedVector(name, Site.parse(site), VALUES)
        folder.keep(vector, "tests/tiny")
        assert folder.all() == {name: vector}
    assert len([*(tmp_path / "vectors").iterdir()]) == 1


def test_a_kept_file_is_neuronpedias_object(tmp_path: Path) -> None:
    VectorFolder(tmp_path).keep(NamedVector("north", HERE, VALUES), "tests/tiny")
    assert json.loads((tmp_path / "north.json").read_text()) == {
        "modelId": "tests/tiny",
        "layerNumber": 2,
        "hookType": "resid-post",
        "vector": list(VALUES),
        "vectorLabel": "north",
    }


def test_an_array_belongs_to_the_site_that_was_chosen_and_an_object_to_its_own() -> None:
    other = Site.parse("1.mlp_out")
    assert parse_vector(b"[1, -2.5, 0]", "up", other) == NamedVector("up", other, (1.0, -2.5, 0.0))
    assert parse_vector(neuronpedia(), "up", other) == NamedVector("up", HERE, (1.0, 2.5))
    bare = json.dumps({"vector": [1]}).encode()
    assert parse_vector(bare, "up", other).site == other


@pytest.mark.parametrize("site", SITES)
def test_a_vectors_json_is_read_back(site: str) -> None:
    vector = NamedVector("north", Site.parse(site), VALUES)
    assert parse_vector(json.dumps(vector_json(vector, "m")).encode(), "north", None) == vector


@pytest.mark.parametrize("hook", ["resid-pre", "hook_resid_pre"])
def test_before_a_layer_is_after_the_one_before(hook: str) -> None:
    assert str(parse_vector(neuronpedia(hookType=hook, layerNumber=3), "x", None).site) == "2.resid_post"
    assert str(parse_vector(neuronpedia(hookType=hook, layerNumber=0), "x", None).site) == "0.embed"
    assert str(parse_vector(neuronpedia(hookType="resid-post", layerNumber=3), "x", None).site) == "3.resid_post"


WHOLE = neuronpedia()
HOSTILE = {
    **{f"cut after {n} bytes": WHOLE[:n] for n in range(len(WHOLE))},
    "nothing": b"",
    "no JSON": b"\x89PNG\r\n",
    "no UTF-8": b"\xff\xff[1]",
    "NaN": b"[NaN, 1]",
    "Infinity": b"[1, Infinity]",
    "-Infinity": b"[1, -Infinity]",
    "too large for a float": b"[1e999]",
    "an integer too large for a float": b"[1" + b"0" * 400 + b"]",
    "an integer of 5,000 digits": b"[" + b"9" * 5000 + b"]",
    "too long for float32": b"[1e30, 1]",
    "too short for float32": b"[1e-60, 1e-60]",
    "a file too large": b"[" + b"1," * (MAX_BYTES // 2) + b"1]",
    "deep nesting": b"[" * 200_000,
    "deep objects": b'{"vector":' * 200_000,
    "nested arrays": b"[[1, 2], [3, 4]]",
    "text": b'"12345"',
    "strings": b'["1", "2"]',
    "true": b"[true, false]",
    "null": b"null",
    "nulls": b"[1, null]",
    "a number": b"7",
    "an empty array": b"[]",
    "zeros": b"[0, 0.0, -0.0]",
    "no vector": b'{"layerNumber": 2}',
    "a vector of text": neuronpedia(vector="123"),
    "a vector of an object": neuronpedia(vector={"1": 2}),
    "a vector of nothing": neuronpedia(vector=None),
    "an empty vector": neuronpedia(vector=[]),
    **{
        f"layer {layer!r}": neuronpedia(layerNumber=layer)
        for layer in (-1, 1.5, None, "", "x", True, 10**9, [2], {"a": 1}, "2.resid_post", "٢")
    },
    **{f"hook {hook!r}": neuronpedia(hookType=hook) for hook in ("resid-mid", "", "../x", None, 3, "z", ["resid-pre"], "embed")},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_vector_is_refused_with_the_cure(content: bytes) -> None:
    with pytest.raises(AnalysisError, match=r"Give a JSON|must have|at most|The form is|can be used"):
        parse_vector(content, "mine", HERE)


def test_a_vector_without_a_site_is_refused_with_the_cure() -> None:
    for content in (b"[1, 2]", b'{"vector": [1, 2]}'):
        with pytest.raises(BadAsk, match="choose a site"):
            parse_vector(content, "mine", None)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "../up", "a/b", "a\\b", "/etc/x", "x" * 61, "a\nb", "a\0b", "a:b", "<b>", "a\n"])
def test_a_name_that_is_no_files_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadAsk, match="use 1 to 60 letters"):
        VectorFolder(tmp_path / "vectors").keep(NamedVector(name, HERE, VALUES), "m")
    assert not [*tmp_path.iterdir()]


def test_broken_files_hide_no_other(tmp_path: Path) -> None:
    folder = VectorFolder(tmp_path)
    good = {name: NamedVector(name, HERE, VALUES) for name in ("a", "z")}
    for vector in good.values():
        folder.keep(vector, "m")
    for number, content in enumerate(HOSTILE.values()):
        (tmp_path / f"m{number}.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "gone")
    (tmp_path / "half.writing").write_bytes(WHOLE)
    assert folder.all() == good


def test_threads_that_keep_one_name_all_succeed(tmp_path: Path) -> None:
    folder = VectorFolder(tmp_path)
    vectors = [NamedVector("north", HERE, (float(n),) * 200) for n in range(1, 5)]
    problems: list[BaseException] = []

    def keep(vector: NamedVector) -> None:
        try:
            for _ in range(50):
                folder.keep(vector, "m")
                assert folder.all()["north"] in vectors
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=keep, args=(vector,)) for vector in vectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert [path.name for path in tmp_path.iterdir()] == ["north.json"]
