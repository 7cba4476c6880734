"""The file of a fitted lens: it reads as it was written, a lens of one's own goes before the one that ships, damage is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.errors import BrokenLens
from dashboard.analysis.lenses.file import (
    Check,
    FittedLens,
    LayerCheck,
    LensRecord,
    Measured,
    find_lens,
    kept_lens,
    load_lens,
    load_record,
    pack,
    write_lens,
)
from dashboard.analysis.names import ModelId

MODEL = ModelId("tests/tiny")
HALF = Measured(0.5, 0.25, 0.75)
CHECK = Check(3, 100, HALF, (LayerCheck(0, HALF, HALF, HALF, HALF),), ())
RECORD = LensRecord(str(MODEL), "a text", "ab", (4, 2), 63, 16, "float32", {"torch": "2"}, "2026-01-01T00:00:00Z", CHECK)


@pytest.fixture
def lens() -> FittedLens:
    matrices = np.eye(6) + np.random.default_rng(0).standard_normal((3, 6, 6))
    matrices[1, 2] = np.eye(6)[2]  # a row of which nothing is to be scaled
    return pack(RECORD, matrices.astype(np.float32))


def test_a_lens_reads_as_it_was_written(lens: FittedLens, tmp_path: Path) -> None:
    stem = kept_lens(MODEL, tmp_path)
    write_lens(stem, lens)
    read = load_lens(stem)
    assert read.record == load_record(stem) == RECORD
    for layer in range(3):
        np.testing.assert_array_equal(read.matrix(layer), lens.matrix(layer))
    np.testing.assert_array_equal(read.matrix(1)[2], np.eye(6)[2])
    assert not list(stem.parent.glob("*.writing"))


def test_a_number_is_off_by_half_a_step_of_its_row_at_most() -> None:
    exact = np.random.default_rng(1).standard_normal((2, 8, 8)).astype(np.float32)
    lens = pack(RECORD, exact)
    step = np.abs(exact - np.eye(8)).max(axis=2) / 127
    for layer in range(2):
        assert (np.abs(lens.matrix(layer) - exact[layer]) <= 0.501 * step[layer][:, None]).all()


def test_a_lens_fitted_here_goes_before_the_one_that_ships_and_each_model_has_its_own(lens: FittedLens, tmp_path: Path) -> None:
    cache, shipped = tmp_path / "cache", tmp_path / "shipped"
    assert find_lens(MODEL, cache, shipped) is None
    write_lens(shipped / kept_lens(MODEL, cache).name, lens)
    assert find_lens(MODEL, cache, shipped) == shipped / kept_lens(MODEL, cache).name
    write_lens(kept_lens(MODEL, cache), replace(lens))
    assert find_lens(MODEL, cache, shipped) == kept_lens(MODEL, cache)
    assert find_lens(ModelId("tests/other"), cache, shipped) is None
    assert find_lens(replace(MODEL, revision="1"), cache, shipped) is None


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_damaged_file_is_named_with_the_cure(lens: FittedLens, tmp_path: Path, ending: str) -> None:
    stem = kept_lens(MODEL, tmp_path)
    write_lens(stem, lens)
    file = stem.with_name(stem.name + ending)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BrokenLens, match="lens"):
        load_lens(stem)
