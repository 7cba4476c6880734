"""Laws of the studies of the flow on text: stopped and started again they give the very numbers of straight ones, and keep them."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis.asks.edits import Unit
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.flow.study_coactivation import STUDY as COACTIVATION
from dashboard.analysis.methods.flow.study_coactivation import CoActivationAsk
from dashboard.analysis.methods.flow.study_deactivation import STUDY as DEACTIVATION
from dashboard.analysis.methods.flow.study_deactivation import DeactivateAsk
from dashboard.analysis.methods.flow.study_origins import STUDY as ORIGINS
from dashboard.analysis.methods.flow.study_origins import OriginsAsk
from dashboard.analysis.methods.flow.study_steering import STUDY as STEERING
from dashboard.analysis.methods.flow.study_steering import FlowSteerAsk
from dashboard.analysis.names import LatentId
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Study, find, run
from dashboard.analysis.text.corpus import Corpus, join
from dashboard.analysis.tokens import Prompt

TEXTS = ("The quick brown fox jumps over the lazy dog", "and the dog sleeps. done.", "lazy quick brown dog") * 7
SEED = LatentId.parse("tiny/2.resid_post/7")
CASES: list[tuple[Study[Any, Any], Any]] = [
    (ORIGINS, OriginsAsk("tiny", texts=20, tokens=2)),
    (COACTIVATION, CoActivationAsk("tiny", texts=20)),
    (DEACTIVATION, DeactivateAsk("tiny", texts=3, tokens=2, targets=2, by_subset=True, exhaustive=True)),
    (STEERING, FlowSteerAsk((SEED,), words=("dog",), unit=Unit.RAW, strengths=(0.0, 3.0), texts=2, max_new_tokens=4, t_res=0.1)),
]


class Failing:
    """A runner that answers so many questions and then dies."""

    def __init__(self, runner: LocalRunner, answers: int) -> None:
        self._runner, self._left = runner, answers
        self.asked: Counter[str] = Counter()

    def describe(self) -> Any:
        return self._runner.describe()

    def ask(self, ask: Any) -> Any:
        self._count(ask)
        return self._runner.ask(ask)

    def stream(self, ask: Any) -> Iterator[Any]:
        self._count(ask)
        return self._runner.stream(ask)

    def _count(self, ask: Any) -> None:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        self.asked[type(ask).__name__] += 1


@pytest.fixture
def corpus(runner: LocalRunner) -> Corpus:
    return join("c", "tests/tiny", [("ab"[i % 2], list(runner.tokens(Prompt(text)).ids[1:])) for i, text in enumerate(TEXTS)])


def last(study: Study[Any, Any], bench: Bench, ask: Any) -> Any:
    *_, progress = run(study, bench, ask)
    assert progress.made is not None
    return progress.made


def plain(study: Study[Any, Any], result: Any) -> str:
    return json.dumps(to_plain(result, study.result), allow_nan=False)


@pytest.mark.parametrize(("study", "ask"), CASES, ids=[study.kind for study, _ in CASES])
def test_stopped_anywhere_and_started_again_it_gives_the_very_numbers_of_a_straight_one_and_keeps_them(
    study: Study[Any, Any], ask: Any, runner: LocalRunner, corpus: Corpus, tmp_path: Path
) -> None:
    counting = Failing(runner, 10**6)
    straight = Bench(counting, runner.catalog, ResultStore(tmp_path / "straight"), lambda file: corpus)  # type: ignore[arg-type]
    wanted = last(study, straight, ask)
    total = counting.asked.total()
    own = replace(straight, store=ResultStore(tmp_path / "stopped"))
    for answers in (3 * total // 4, 1):
        with suppress(KeyboardInterrupt):
            list(run(study, replace(own, runner=Failing(runner, answers)), ask))
    assert find(study, own, ask) is None and [*(tmp_path / "stopped").rglob("*.json")]
    resumed = Failing(runner, 10**6)
    found = last(study, replace(own, runner=resumed), ask)
    assert plain(study, found.result) == plain(study, wanted.result) and resumed.asked.total() < total
    again = find(study, replace(own, runner=Failing(runner, 0)), ask)
    assert again is not None and plain(study, again.result) == plain(study, wanted.result)
    assert plain(study, from_plain(study.result, json.loads(plain(study, wanted.result)))) == plain(study, wanted.result)
    answers = [{name: value for name, value in study.answer(one).items() if name != "record"} for one in (found, again, wanted)]
    assert answers[0] == answers[1] == answers[2]


def test_what_is_rescaled_is_part_of_the_key(runner: LocalRunner, corpus: Corpus, tmp_path: Path) -> None:
    bench = Bench(runner, runner.catalog, ResultStore(tmp_path), lambda file: corpus)
    ask = DeactivateAsk("tiny", texts=2)
    asks = (ask, replace(ask, by_subset=True), replace(ask, exhaustive=True), replace(ask, factors=(0.0, 1.0)), replace(ask, layers=(2,)))
    assert len({DEACTIVATION.key(bench, one) for one in asks}) == len(asks)
    assert DEACTIVATION.key(bench, replace(ask, by_layer=True)) == DEACTIVATION.key(bench, ask)
