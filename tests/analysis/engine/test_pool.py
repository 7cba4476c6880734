"""One model on the device: what gives way, when, and what is said instead."""

import threading
from collections.abc import Iterator

import pytest

from dashboard.analysis.engine.engine import Engine
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.engine.pool import EnginePool
from dashboard.analysis.errors import ModelBusy, ModelClosed, ModelNotLoaded
from dashboard.analysis.names import ModelId
from dashboard.analysis.roster.models import Choice
from dashboard.analysis.sae.catalog import Catalog

ONE, OTHER = (Choice(ModelId(name), name, True, "auto") for name in ("tests/one", "tests/other"))


@pytest.fixture
def doing() -> list[str]:
    return []


@pytest.fixture
def pool(doing: list[str]) -> Iterator[EnginePool]:
    pool = EnginePool(lambda: doing, patience_s=0.2)
    yield pool
    pool.close()


def test_a_model_that_is_chosen_takes_the_place_of_the_one_before(pool: EnginePool, runner: LocalRunner) -> None:
    first = pool.choose(ONE, lambda: Engine(lambda: runner))
    first.describe()
    second = pool.choose(OTHER, lambda: Engine(lambda: runner))
    assert pool.loaded == OTHER and pool.engine(OTHER) is second
    with pytest.raises(ModelClosed):
        first.describe()
    with pytest.raises(ModelNotLoaded, match=r"tests/one is not loaded: tests/other was chosen since"):
        pool.engine(ONE)


def test_choosing_what_is_loaded_opens_nothing(pool: EnginePool, runner: LocalRunner) -> None:
    engine = pool.choose(ONE, lambda: Engine(lambda: runner))
    assert pool.choose(ONE, lambda: pytest.fail("opened again")) is engine


def test_the_same_model_read_otherwise_is_opened_again(pool: EnginePool, runner: LocalRunner) -> None:
    engine = pool.choose(ONE, lambda: Engine(lambda: runner))
    assert pool.choose(Choice(ONE.id, ONE.given, False, "auto"), lambda: Engine(lambda: runner)) is not engine


def test_a_model_with_a_job_stays_and_the_job_is_named(pool: EnginePool, runner: LocalRunner, doing: list[str]) -> None:
    engine = pool.choose(ONE, lambda: Engine(lambda: runner))
    doing.append("known or unknown: city")
    with pytest.raises(ModelBusy, match=r"tests/other is not loaded: tests/one is at work \(1 job: known or unknown: city\)"):
        pool.choose(OTHER, lambda: pytest.fail("opened"))
    assert pool.engine(ONE) is engine and engine.describe()
    doing.clear()
    assert pool.choose(OTHER, lambda: Engine(lambda: runner)) is not engine


def test_a_model_that_is_answering_stays(pool: EnginePool, runner: LocalRunner) -> None:
    engine, go = pool.choose(ONE, lambda: Engine(lambda: runner)), threading.Event()

    def steps(runner: LocalRunner) -> Iterator[int]:
        go.wait(30)
        yield 1

    with engine.submit(steps) as ticket:
        with pytest.raises(ModelBusy, match="answering a page"):
            pool.choose(OTHER, lambda: pytest.fail("opened"))
        go.set()
        assert ticket.result() == 1


def test_an_engine_answers_for_the_saes_of_a_new_catalogue_with_the_same_model(engine: Engine, runner: LocalRunner) -> None:
    model, specs = runner.model, runner.catalog.specs
    engine.renew(Catalog(specs[:1]))
    assert runner.catalog.specs == specs[:1] and runner.matcher is not None and runner.model is model
