"""Results on disk: whole or not there, named by what they depend on."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownResult
from dashboard.analysis.names import SaeId
from dashboard.analysis.studies.record import RunRecord, key_of, make_record
from dashboard.analysis.studies.store import ResultStore

SAE = SaeId("tiny", "2.resid_post")
ASK = {"prompt": "한국어 👩‍👩‍👧 \ud800 half", "edits": [{"edit": "tiny/2.resid_post/7:add:0.1:raw", "where": "3:"}], "temperature": 0.0}
RESULT = {"text": "né \ud83d \n", "kl": [0.1, 1e-300, -0.0], "nothing": None, "deep": {"a": [[]]}}


@pytest.fixture
def record(runner: LocalRunner) -> RunRecord:
    return make_record("steer", ASK, runner.describe(), runner.catalog, (SAE,), 1.25)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_result_is_read_as_it_was_saved(store: ResultStore, record: RunRecord) -> None:
    given = json.dumps(RESULT)
    key = store.save(record, RESULT)
    assert store.load("steer", key) == (record, RESULT) and json.dumps(RESULT) == given
    assert store.keys("steer") == [key] and store.keys("sweep") == []


def test_the_key_is_that_of_the_ask_whenever_and_wherever_it_ran(record: RunRecord) -> None:
    elsewhere = replace(record, created="2001-01-01T00:00:00+00:00", seconds=None, libraries={"torch": "1"}, device="cuda", code="9")
    turned = replace(record, ask=dict(reversed(ASK.items())))
    assert key_of(elsewhere) == key_of(turned) == key_of(record)


def test_whatever_changes_the_answer_changes_the_key(record: RunRecord) -> None:
    others = [
        replace(record, kind="sweep"),
        replace(record, model="tests/other"),
        replace(record, dtype="bfloat16"),
        replace(record, saes={str(SAE): "0" * 64}),
        replace(record, saes={}),
        *(replace(record, ask={**ASK, name: value}) for name, value in (("prompt", "a"), ("temperature", 0.1), ("edits", []), ("new", 1))),
    ]
    assert len({key_of(other) for other in [record, *others]}) == 1 + len(others)


def test_other_weights_in_the_same_file_are_another_key(runner: LocalRunner, tmp_path: Path) -> None:
    spec = runner.catalog.get(SAE)
    folder = tmp_path / "2.resid_post"
    folder.mkdir()
    weights = folder / "sae_weights.safetensors"
    catalog = replace(runner.catalog, specs=(replace(spec, source=folder),))
    keys: list[str] = []
    for content in (b"one", b"two", b"one"):
        weights.unlink(missing_ok=True)
        weights.write_bytes(content)
        keys.append(key_of(make_record("steer", ASK, runner.describe(), catalog, (SAE, SAE), None)))
    assert keys[0] == keys[2] != keys[1]


def test_a_kill_before_the_last_move_leaves_the_old_result_whole(
    store: ResultStore, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way to put a file or folder in place is cut off, and so is the clearing away that follows an error."""
    key = store.save(record, {"try": 1})
    cuts: list[object] = []

    def killed(*paths: object, **_: object) -> None:
        cuts.append(paths)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        for name in ("replace", "rename", "unlink"):
            cut.setattr(Path, name, killed)
        for after in (record, replace(record, ask={})):
            with pytest.raises(KeyboardInterrupt):
                store.save(after, {"try": 2})
    assert len(cuts) >= 2
    assert store.load("steer", key) == (record, {"try": 1})
    assert store.keys("steer") == [key]


def test_what_is_no_json_is_refused_and_changes_nothing(store: ResultStore, record: RunRecord) -> None:
    key = store.save(record, {"kl": [0.0]})
    for wrong in ({"kl": [float("nan")]}, {"kl": {1, 2}}):
        with pytest.raises((ValueError, TypeError)):
            store.save(record, wrong)
    assert store.load("steer", key)[1] == {"kl": [0.0]} and store.keys("steer") == [key]


@pytest.mark.parametrize("key", ["../x", "..", "", "/etc", "A" * 16, "0" * 15, "0" * 17, "0" * 16 + "\n", "٠" * 16, "../" * 5 + "0" * 16])
def test_what_is_no_key_is_refused_with_the_form(store: ResultStore, record: RunRecord, key: str, tmp_path: Path) -> None:
    store.save(record, RESULT)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "result.json").write_text("{}")
    before = files(tmp_path)
    with pytest.raises(BadAsk, match="16 digits of 0-9 and a-f"):
        store.load("steer", key)
    assert files(tmp_path) == before


def test_an_unknown_key_is_refused_with_how_many_there_are(store: ResultStore, record: RunRecord) -> None:
    store.save(record, RESULT)
    with pytest.raises(UnknownResult, match=r"0000000000000000 on this machine; there are 1 of this kind"):
        store.load("steer", "0" * 16)
    with pytest.raises(UnknownResult, match=r"there are 0 of this kind"):
        store.load("sweep", key_of(record))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b"{}", b"\xff\xfe", b"[" * 200_000, b'{"record": {}, "result": {}}', b'{"record": [], "result": 1}'],
)
def test_a_damaged_result_is_refused_and_hides_no_other(store: ResultStore, record: RunRecord, content: bytes, tmp_path: Path) -> None:
    whole = replace(record, ask={})
    key, other = store.save(record, RESULT), store.save(whole, RESULT)
    (tmp_path / "results" / "steer" / key / "result.json").write_bytes(content)
    before = files(tmp_path)
    with pytest.raises(UnknownResult, match=rf"{key} on this machine; there are 2 of this kind"):
        store.load("steer", key)
    assert store.load("steer", other) == (whole, RESULT) and files(tmp_path) == before
    assert store.save(record, RESULT) == key and store.load("steer", key) == (record, RESULT)


def test_threads_that_save_the_same_result_all_succeed_and_readers_never_see_half_of_it(store: ResultStore, record: RunRecord) -> None:
    key = store.save(replace(record, seconds=0.0), {"writer": 0.0})
    problems: list[BaseException] = []
    n_read = 0
    done = threading.Event()

    def write(writer: float) -> None:
        try:
            for _ in range(60):
                assert store.save(replace(record, seconds=writer), {"writer": writer, "filler": "x" * 20_000}) == key
        except BaseException as error:
            problems.append(error)

    def read() -> None:
        nonlocal n_read
        try:
            while not done.is_set():
                made, result = store.load("steer", key)
                assert made.seconds == result["writer"]
                assert store.keys("steer") == [key]
                n_read += 1
        except BaseException as error:
            problems.append(error)

    writers = [threading.Thread(target=write, args=(float(i),)) for i in range(1, 5)]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not problems and n_read
    assert store.load("steer", key)[0].seconds in {1.0, 2.0, 3.0, 4.0}


def test_keys_come_newest_first(store: ResultStore, record: RunRecord, tmp_path: Path) -> None:
    keys = [store.save(replace(record, ask={"n": n}), {}) for n in range(4)]
    for age, key in zip((3, 1, 4, 2), keys, strict=True):
        os.utime(tmp_path / "results" / "steer" / key / "result.json", (10**9 - age, 10**9 - age))
    assert store.keys("steer") == [keys[1], keys[3], keys[0], keys[2]]
