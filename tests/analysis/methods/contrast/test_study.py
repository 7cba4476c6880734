"""Laws of the contrast as a study: killed and resumed, found again, and its file of two sets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast.method import contrast, promoted_tokens
from dashboard.analysis.methods.contrast.study import STUDY, ContrastAsk, TwoSets, read_sets
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.studies.bundle import files_of
from dashboard.analysis.studies.study import find, run
from tests.analysis.methods.contrast.test_contrast import FRIENDLY, HOSTILE
from tests.recording import Recording, bench_of

ASK = ContrastAsk(TwoSets("friendly", FRIENDLY, "hostile", HOSTILE), ("tiny",), 5)


def test_the_study_finds_what_the_method_finds(runner: LocalRunner, tmp_path: Path) -> None:
    *steps, last = run(STUDY, bench_of(runner, tmp_path), ASK)
    straight = contrast(runner, FRIENDLY, HOSTILE, [spec.id for spec in runner.catalog.specs])
    assert last.result is not None and last.result.latents == straight.latents[:5]
    assert last.result.promotes == promoted_tokens(runner, straight.latents[:5])
    assert (last.result.n_tested, last.result.n_silent) == (len(straight.latents), straight.n_silent)
    assert [step.done for step in steps] == [*range(1, 10)] and last.total == 9


def test_a_contrast_that_is_killed_reads_only_the_texts_that_are_left(runner: LocalRunner, tmp_path: Path) -> None:
    killed = run(STUDY, bench_of(runner, tmp_path / "killed"), ASK)
    assert [next(killed).done for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    killed.close()
    recording = Recording(runner)
    *_, resumed = run(STUDY, bench_of(recording, tmp_path / "killed"), ASK)
    *_, straight = run(STUDY, bench_of(runner, tmp_path / "straight"), ASK)
    assert resumed.result == straight.result
    assert [type(ask).__name__ for ask in recording.asked].count("CaptureAsk") == 3


def test_a_contrast_that_is_kept_is_found_without_asking_the_model(runner: LocalRunner, tmp_path: Path) -> None:
    *_, made = run(STUDY, bench_of(runner, tmp_path), ASK)
    recording = Recording(runner)
    found = find(STUDY, bench_of(recording, tmp_path), ASK)
    assert found is not None and found.result == made.result and recording.asked == []
    assert find(STUDY, bench_of(recording, tmp_path), replace(ASK, top=6)) is None


def test_two_sets_go_through_json_and_through_the_file_of_the_command_that_makes_it_again(runner: LocalRunner, tmp_path: Path) -> None:
    assert from_plain(ContrastAsk, to_plain(ASK)) == ASK
    *_, last = run(STUDY, bench_of(runner, tmp_path), ASK)
    assert last.made is not None
    files = files_of(STUDY, last.made)
    assert "latents contrast sets.json --sae=tiny --top=5" in files["record.json"]
    (tmp_path / "sets.json").write_text(files["sets.json"])
    assert read_sets(str(tmp_path / "sets.json")) == ASK.sets


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"a": ["x"]}', "cannot be read"),
        ('{"a": ["x"], "b": [1]}', "does not hold"),
        ("[1, 2]", "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_form(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sets.json"
    file.write_text(content)
    with pytest.raises(BadAsk, match=message) as raised:
        read_sets(str(file))
    assert "{NAME: [TEXT, ...], OTHER: [TEXT, ...]}" in str(raised.value)
    assert json.loads(str(ASK.sets)) == {"friendly": list(FRIENDLY), "hostile": list(HOSTILE)}
