"""Laws of bringing an SAE as a study: everything that is done has a place of its own, so the same again goes on from there."""

import time
from pathlib import Path

import pytest

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.waiting import StudyRunner
from dashboard.analysis.errors import BadAsk, OtherModel
from dashboard.analysis.index.file import read_index
from dashboard.analysis.install import bringing
from dashboard.analysis.install.bringing import STUDY, BringAsk
from dashboard.analysis.sae.catalog import Catalog, read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Jobs, Lane
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run, submit
from tests.analysis.methods.known.studying import corpus
from tests.conftest import exact_weights, save_sae


@pytest.fixture
def bench(runner: LocalRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(bringing, "default_corpus", lambda settings: corpus())
    settings = Settings(cache=tmp_path / "cache", device="cpu", dtype="float32", sae_folders=(tmp_path / "mine",))

    def renew() -> Catalog:
        runner.renew(read_catalog(settings, assets=tmp_path / "nothing"))
        return runner.catalog

    return Bench(runner, runner.catalog, ResultStore(tmp_path / "results"), settings=settings, renew=renew)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_sae(tmp_path / "mine" / "exact", "blocks.2.hook_resid_post", exact_weights())
    return tmp_path / "mine" / "exact"


def test_it_is_measured_and_indexed_and_a_second_time_nothing_is_built(bench: Bench, folder: Path, monkeypatch) -> None:
    *drafts, last = run(STUDY, bench, BringAsk(str(folder), 200))
    found = last.result
    assert str(found.sae) == "mine/exact" and found.is_indexed and found.measured["fvu"] == pytest.approx(0, abs=1e-6)
    assert any(one.result is not None and not one.result.is_indexed for one in drafts), "figures are shown while the index is built"
    spec = read_catalog(bench.settings).get(found.sae)
    assert read_index(spec).head.n_tokens and spec.measured("fvu") == pytest.approx(found.measured["fvu"], abs=1e-6)
    monkeypatch.setattr(bringing, "index_steps", lambda *all: pytest.fail("the index was built again"))
    *_, again = run(STUDY, bench, BringAsk(str(folder), 200))
    assert again.result == found and bench.store.keys(STUDY.kind) == []


def test_killed_at_its_index_and_started_again_it_is_whole(bench: Bench, folder: Path) -> None:
    steps = run(STUDY, bench, BringAsk(str(folder), 200))
    next(one for one in steps if one.result is not None)
    steps.close()
    *_, last = run(STUDY, bench, BringAsk(str(folder), 200))
    assert last.result.is_indexed and read_index(read_catalog(bench.settings).get(last.result.sae)) is not None


def test_an_engine_brings_it_in_the_training_lane_and_others_join(bench: Bench, runner: LocalRunner, engine: Engine, folder: Path) -> None:
    def renew() -> Catalog:
        engine.renew(read_catalog(bench.settings))
        return runner.catalog

    own = Bench(StudyRunner(engine), bench.catalog, bench.store, settings=bench.settings, renew=renew)
    jobs = Jobs()
    try:
        ids = {submit(STUDY, own, jobs, BringAsk(str(folder), 200)) for _ in range(2)}
        (id,) = ids
        while not jobs.get(id).state.ended:
            time.sleep(0.02)
        job = jobs.get(id)
        assert job.error is None and job.lane is Lane.TRAINING and job.latest.result.is_indexed
    finally:
        jobs.close()


def test_an_sae_of_another_model_and_none_are_refused(bench: Bench, tmp_path: Path) -> None:
    save_sae(tmp_path / "theirs" / "exact", "blocks.2.hook_resid_post", exact_weights(), "gpt2-small")
    with pytest.raises(OtherModel, match="gpt2-small"):
        list(run(STUDY, bench, BringAsk(str(tmp_path / "theirs" / "exact"))))
    with pytest.raises(BadAsk, match="No SAE was named"):
        list(run(STUDY, bench, BringAsk()))
