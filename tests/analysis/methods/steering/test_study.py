"""Laws of the sweep as a study: killed and resumed, found again, and the command that makes it again."""

from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis.asks.edits import Intervention, NamedVector, Where
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.steering.dose_response import RuleKind
from dashboard.analysis.methods.steering.study import STUDY, DoseAsk
from dashboard.analysis.names import Site
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.settings import get_settings
from dashboard.analysis.studies.bundle import command_of
from dashboard.analysis.studies.study import find, run
from tests.recording import Recording, bench_of

EDITS = (Intervention.parse("tiny/2.resid_post/7:add:4"), Intervention.parse("tiny/2.resid_post/3:clamp:5"))
ASK = DoseAsk(
    "The quick brown fox", EDITS, (-1.0, 0.0, 1.0, 2.0), 3, word="dog", words="fox, dog", max_new_tokens=6, temperature=1.0, seed=5
)


def test_a_sweep_that_is_killed_goes_on_from_its_last_block_to_the_very_numbers_of_a_straight_one(
    runner: LocalRunner, tmp_path: Path
) -> None:
    killed = run(STUDY, bench_of(runner, tmp_path / "killed"), ASK)
    assert next(killed).done == 16
    killed.close()
    recording = Recording(runner)
    *_, resumed = run(STUDY, bench_of(recording, tmp_path / "killed"), ASK)
    whole = Recording(runner)
    *_, straight = run(STUDY, bench_of(whole, tmp_path / "straight"), ASK)
    assert (resumed.done, resumed.total) == (21, 21) and resumed.result == straight.result
    assert 0 < len(recording.asked) < len(whole.asked) / 2


def test_a_sweep_that_is_kept_is_found_without_asking_the_model(runner: LocalRunner, tmp_path: Path) -> None:
    ask = replace(ASK, factors=(0.0, 1.0), seeds=1)
    *_, made = run(STUDY, bench_of(runner, tmp_path), ask)
    recording = Recording(runner)
    found = find(STUDY, bench_of(recording, tmp_path), ask)
    assert found is not None and found.result == made.result and recording.asked == []
    assert find(STUDY, bench_of(recording, tmp_path), replace(ask, seed=6)) is None


def test_the_ask_survives_json_and_the_command_that_makes_it_again_says_all_of_it() -> None:
    assert from_plain(DoseAsk, to_plain(ASK)) == ASK
    said = str(command_of(STUDY, replace(ASK, where="2:5", together=True)))
    assert said.startswith("latents sweep 'The quick brown fox' --set=tiny/2.resid_post/7:add:4:raw --set=tiny/2.resid_post/3:clamp:5:raw ")
    assert "--factors=-1,0,1,2" in said and "--words='fox, dog'" in said.replace("'--words=fox, dog'", "--words='fox, dog'")
    assert "--where=2:5" in said and "--together" in said and "--seeds=3" in said


def test_all_edits_are_at_the_place_that_the_ask_names() -> None:
    curves = replace(ASK, where="prompt").curves()
    assert {edit.where for curve in curves for edit in curve.interventions} == {Where.PROMPT}
    assert [curve.label for curve in curves] == [str(edit) for edit in EDITS]
    assert [curve.label for curve in replace(ASK, numbered=True).curves()] == ["1: tiny/2.resid_post/7", "2: tiny/2.resid_post/3"]
    (together,) = replace(ASK, together=True).curves()
    assert together.label == "all together" and len(together.interventions) == 2


def test_a_text_is_judged_by_one_rule() -> None:
    assert replace(ASK, words=None).rule() is None
    assert (found := replace(ASK, words=None, refusal=True).rule()) is not None and found.kind is RuleKind.REFUSAL
    with pytest.raises(BadAsk, match="2 rules were given"):
        replace(ASK, regex="x").sweep()
    with pytest.raises(BadAsk, match="at least 1 edit; 0 were given with --set"):
        replace(ASK, edits=()).sweep()


def test_a_kept_vector_is_part_of_what_a_sweep_depends_on(runner: LocalRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTS_CACHE", str(tmp_path))
    get_settings.cache_clear()
    reads = next(one for one in STUDY.ask.__dataclass_fields__.values() if one.name == "edits").metadata["option"].reads
    bench, folder, keys = bench_of(runner, tmp_path), VectorFolder(tmp_path / "vectors"), set[str]()
    for values in ((1.0, 2.0), (1.0, 3.0)):
        folder.keep(NamedVector("mood", Site.parse("1.resid_post"), values), "tests/tiny")
        keys.add(STUDY.key(bench, replace(ASK, edits=(reads("vector/mood:add:1"),))))
    get_settings.cache_clear()
    assert len(keys) == 2
