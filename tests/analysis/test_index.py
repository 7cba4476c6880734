"""What is known of every latent: written, read, noticed when it changes, and the unit that rests on it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboard.analysis.asks import Intervention, NamedVector, Op, ScoreAsk, Unit
from dashboard.analysis.errors import NotMeasured
from dashboard.analysis.index import LatentIndex, index_file, read_index, write_index
from dashboard.analysis.local import LocalRunner
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.sae.evaluation import Evaluation, Measured
from dashboard.analysis.sae.release import write_evaluation
from dashboard.analysis.settings import Settings
from dashboard.analysis.tokens import Prompt
from tests.conftest import N_LATENTS

SAE = SaeId("tiny", "2.resid_post")
N_FIRED = np.arange(N_LATENTS, dtype=np.int64)
"""Latent 0 never fired."""
MEAN = (N_FIRED / 8).astype(np.float32)
MAXIMUM = (N_FIRED / 4).astype(np.float32)
INDEX = LatentIndex(4321, N_FIRED, MEAN, MAXIMUM)
FIGURES = Evaluation(31.987654, 0.1, 0.9, 3.0, 3.1, 4.0, 1 / N_LATENTS, 0.2, 4321, 500)


@pytest.fixture
def own(tmp_path: Path, tiny_release: Path, tiny_model: LoadedModel, tiny_settings: Settings) -> LocalRunner:
    """A runner over a copy of the release, whose files may be changed."""
    release = shutil.copytree(tiny_release, tmp_path / "tiny")
    settings = tiny_settings.model_copy(update={"sae_folders": (release,), "cache": tmp_path / "cache"})
    return LocalRunner(tiny_model, read_catalog(settings, assets=tmp_path), settings.cache)


@pytest.fixture
def spec(own: LocalRunner) -> SaeSpec:
    return own.catalog.get(SAE)


def same(one: LatentIndex, other: LatentIndex) -> bool:
    return one.n_tokens == other.n_tokens and all(
        np.array_equal(getattr(one, name), getattr(other, name)) and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("n_fired", "mean", "maximum")
    )


def louder(factor: float) -> LatentIndex:
    return LatentIndex(4321, N_FIRED, MEAN, np.float32(factor) * MAXIMUM)


def test_an_index_is_read_as_it_was_written_and_leaves_nothing_beside_it(spec: SaeSpec) -> None:
    before = {*spec.source.iterdir()}
    write_index(index_file(spec), INDEX)
    assert same(read_index(spec), INDEX)
    assert {*spec.source.iterdir()} - before == {spec.source / "index.parquet"}


def test_no_index_is_said_with_the_command_that_makes_one(spec: SaeSpec) -> None:
    with pytest.raises(NotMeasured, match=r"tiny/2\.resid_post has no index.*`latents sae eval tiny/2\.resid_post --text FILE --write`"):
        read_index(spec)


@pytest.mark.parametrize("width", [0, 1, N_LATENTS - 1, N_LATENTS + 1])
def test_an_index_of_another_width_is_refused_with_both_numbers(spec: SaeSpec, width: int) -> None:
    wide = np.arange(width)
    write_index(index_file(spec), LatentIndex(9, wide.astype(np.int64), wide.astype(np.float32), wide.astype(np.float32)))
    with pytest.raises(NotMeasured, match=f"it has {width} latents, the SAE {N_LATENTS}.*latents sae eval --write"):
        read_index(spec)


def test_an_index_cut_anywhere_is_refused(spec: SaeSpec) -> None:
    file = index_file(spec)
    write_index(file, INDEX)
    whole = file.read_bytes()
    for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(NotMeasured, match=r"cannot be read.*latents sae eval --write"):
            read_index(spec)


@pytest.mark.parametrize("metadata", [None, {}, {"n_tokens": "many"}, {"tokens": "9"}])
def test_an_index_that_does_not_say_over_how_many_tokens_is_refused(spec: SaeSpec, metadata: dict[str, str] | None) -> None:
    table = pa.table({"n_fired": N_FIRED, "mean": MEAN, "maximum": MAXIMUM}).replace_schema_metadata(metadata)
    pq.write_table(table, index_file(spec))
    with pytest.raises(NotMeasured, match="latents sae eval --write"):
        read_index(spec)


def test_an_index_without_a_column_or_with_columns_of_another_kind_is_refused(spec: SaeSpec) -> None:
    table = pa.table({"n_fired": N_FIRED, "mean": MEAN, "maximum": MAXIMUM}).replace_schema_metadata({"n_tokens": "9"})
    words, missing = pa.array(["1"] * N_LATENTS), pa.array([None, *MAXIMUM[1:].tolist()], pa.float32())
    wrong = [table.drop_columns([name]) for name in table.column_names]
    wrong += [table.set_column(2, "maximum", column) for column in (words, missing)]
    for broken in wrong:
        pq.write_table(broken, index_file(spec))
        with pytest.raises(NotMeasured, match="latents sae eval --write"):
            read_index(spec)


def test_a_latent_that_never_fired_has_no_maximum() -> None:
    assert INDEX.maximum_of(LatentId(SAE, 7)) == 1.75
    with pytest.raises(NotMeasured, match=r"tiny/2\.resid_post/0 fired on none of the 4,321 tokens.*Use the unit raw or norm"):
        INDEX.maximum_of(LatentId(SAE, 0))


def test_a_changed_index_is_noticed_even_with_the_same_time(spec: SaeSpec) -> None:
    file = index_file(spec)
    for factor in (1.0, 3.0, 1.0):
        write_index(file, louder(factor))
        os.utime(file, (10**9, 10**9))
        assert same(read_index(spec), louder(factor))
    file.unlink()
    with pytest.raises(NotMeasured):
        read_index(spec)


def test_the_unit_max_is_the_measured_maximum_from_evaluation_to_dose(own: LocalRunner, spec: SaeSpec) -> None:
    ids = own.tokens(Prompt("dog")).ids[-1:]

    def dose(op: Op, amount: float, latent: int = 7) -> float:
        edit = Intervention(LatentId(SAE, latent), op, amount, Unit.MAX)
        return own.score(ScoreAsk(Prompt("The", continuation=ids), (edit,))).doses[0].amount

    with pytest.raises(NotMeasured, match="latents sae eval"):
        dose(Op.ADD, 2.0)
    write_evaluation(spec, Measured(FIGURES, INDEX))
    assert dose(Op.ADD, 2.0) == 2 * 1.75
    assert dose(Op.CLAMP, -0.5) == -0.5 * 1.75 and dose(Op.CAP, 1.0) == 1.75 and dose(Op.SCALE, 2.0) == 0
    with pytest.raises(NotMeasured, match="fired on none"):
        dose(Op.ADD, 2.0, latent=0)
    write_evaluation(spec, Measured(FIGURES, louder(3.0)))
    assert dose(Op.ADD, 2.0) == 2 * 3 * 1.75


def test_the_unit_max_pushes_as_far_as_its_raw_amount(own: LocalRunner, spec: SaeSpec) -> None:
    write_evaluation(spec, Measured(FIGURES, INDEX))
    ids = own.tokens(Prompt("dog and the fox")).ids[-3:]

    def kl(amount: float, unit: Unit) -> list[float]:
        edit = Intervention(LatentId(SAE, 9), Op.ADD, amount, unit)
        return [token.kl for token in own.score(ScoreAsk(Prompt("The", continuation=ids), (edit,))).tokens]

    assert kl(2.0, Unit.MAX) == kl(2 * 2.25, Unit.RAW) != kl(2.0, Unit.RAW)


def test_an_evaluation_is_written_into_the_record_and_found_by_the_next_catalogue(
    own: LocalRunner, spec: SaeSpec, tmp_path: Path, tiny_settings: Settings
) -> None:
    write_evaluation(spec, Measured(FIGURES, INDEX))
    again = read_catalog(tiny_settings.model_copy(update={"sae_folders": (tmp_path / "tiny",)}), assets=tmp_path).get(SAE)
    assert again.measured("l0") == 31.988 and again.record["evaluation"]["n_tokens"] == 4321
    assert again.config == spec.config and same(read_index(again), INDEX)


def test_an_index_of_a_vector_is_never_asked_for(own: LocalRunner, spec: SaeSpec) -> None:
    vector = NamedVector("north", spec.site, (1.0,) * own.model.d_model)
    ids = own.tokens(Prompt("dog")).ids[-1:]
    assert own.score(ScoreAsk(Prompt("The", continuation=ids), (Intervention(vector, Op.CLAMP, 2.0),))).doses[0].amount == 2.0
