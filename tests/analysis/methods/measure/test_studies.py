"""Laws of measuring SAEs as studies: found again for the same text alone, resumed, and equal to measuring them directly."""

import json
from pathlib import Path

import pytest

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk, UnknownSae
from dashboard.analysis.methods.measure import study_absorption, study_evaluation, study_options
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.measure.absorption import measure_absorption
from dashboard.analysis.sae.measure.evaluation import evaluate
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run
from tests.analysis.methods.known.studying import Counting

NAMES = ("tiny/1.resid_post", "tiny/2.resid_post", "tiny/1.mlp_out")
KINDS = ((study_evaluation, study_evaluation.EvalAsk), (study_absorption, study_absorption.SplitAsk))


@pytest.fixture
def text(tmp_path: Path) -> str:
    file = tmp_path / "words.jsonl"
    file.write_text("".join(json.dumps({"text": "The dog barked. " * 60}) + "\n" for _ in range(60)))
    return str(file)


def made(module, runner, store: ResultStore, ask):
    *_, last = run(module.STUDY, Bench(runner, runner.catalog, store), ask)
    return last.made


def test_figures_are_those_of_measuring_directly(runner: LocalRunner, tmp_path: Path, text: str) -> None:
    store, specs = ResultStore(tmp_path / "results"), [runner.catalog.get(SaeId.parse(name)) for name in NAMES]
    placed = {name: (spec.site, runner.sae(spec.id)) for name, spec in zip(NAMES, specs, strict=True)}
    found = made(study_evaluation, runner, store, study_evaluation.EvalAsk(NAMES, (text,), 1000, 500)).result.of_sae
    assert {str(name): one for name, one in found.items()} == evaluate(placed, [text], runner.model, 1000, 500)
    split = made(study_absorption, runner, store, study_absorption.SplitAsk(NAMES, (text,), 1000)).result.of_sae
    assert {str(name): one for name, one in split.items()} == dict(measure_absorption(placed, [text], runner.model, 1000))


@pytest.mark.parametrize(("module", "kind"), KINDS, ids=("eval", "absorption"))
def test_the_same_text_is_measured_once_and_another_of_its_name_again(module, kind, runner, tmp_path: Path, text: str) -> None:
    store, ask = ResultStore(tmp_path / "results"), kind(NAMES[:1], (text,), tokens=1000)
    first = made(module, runner, store, ask)
    again = Counting(runner)
    assert made(module, again, store, kind(NAMES[:1], (text,), tokens=1000, write=True)).key == first.key and {*again.asked} <= {"describe"}
    Path(text).write_text(Path(text).read_text().replace("dog", "cat"))
    assert made(module, runner, store, ask).key != first.key


@pytest.mark.parametrize(("module", "kind"), KINDS, ids=("eval", "absorption"))
def test_killed_after_a_lot_and_started_again_goes_on_from_it(module, kind, runner, tmp_path: Path, text: str, monkeypatch) -> None:
    monkeypatch.setattr(study_options, "LOT", 1)
    ask = kind(NAMES, (text,), tokens=1000)
    straight = made(module, runner, ResultStore(tmp_path / "straight"), ask)
    store = ResultStore(tmp_path / "resumed")
    with pytest.raises(KeyboardInterrupt):
        made(module, Counting(runner, breaks_after=3), store, ask)  # it describes itself, measures two, and dies
    resumed = Counting(runner)
    assert made(module, resumed, store, ask).result == straight.result
    assert resumed.asked[f"{module.STUDY.result.__name__[:-1]}Ask"] == 1


def test_what_cannot_be_measured_is_refused(runner: LocalRunner, tmp_path: Path, text: str) -> None:
    bench = Bench(runner, runner.catalog, ResultStore(tmp_path))
    with pytest.raises(BadAsk, match="0 texts"):
        study_evaluation.STUDY.key(bench, study_evaluation.EvalAsk(NAMES))
    with pytest.raises(UnknownSae, match="nothing"):
        study_absorption.STUDY.key(bench, study_absorption.SplitAsk(("nothing",), (text,)))
