"""Laws of the contrast direction as a recipe."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis.asks.edits import Intervention, NamedVector
from dashboard.analysis.asks.generation import Sampling
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast.recipe import RECIPE, DirectionAsk, middle
from dashboard.analysis.methods.steering.comparison import SteeringAsk, compare
from dashboard.analysis.notebook.vectors import VectorFolder
from dashboard.analysis.studies.recipe import edit_rows
from dashboard.analysis.studies.study import result_of
from dashboard.analysis.tokens import Prompt
from tests.analysis.methods.contrast.test_contrast import FRIENDLY, HOSTILE
from tests.recording import bench_of

ASKS = (DirectionAsk(FRIENDLY, HOSTILE), DirectionAsk(FRIENDLY, HOSTILE, top=3, strength=-0.2, vector=True))
"""For the laws of every recipe."""


def test_the_contrast_direction_does_the_same_as_latents_and_as_one_vector(runner: LocalRunner, tmp_path: Path) -> None:
    bench, ask = bench_of(runner, tmp_path), DirectionAsk(FRIENDLY, HOSTILE, top=3)
    alone = result_of(RECIPE.study(), bench, ask)
    whole = result_of(RECIPE.study(), bench, replace(ask, vector=True))
    assert len(alone.edits) == 3 and [type(edit.direction) for edit in whole.edits] == [NamedVector]
    assert alone.evidence == whole.evidence
    amounts = [one.numbers["amount"] for one in alone.evidence]
    assert [edit.amount for edit in alone.edits] == amounts
    steered = [
        compare(runner, SteeringAsk(Prompt("The quick brown fox"), found.edits, Sampling(8))).steered_score for found in (alone, whole)
    ]
    np.testing.assert_allclose([t.kl for t in steered[0].tokens], [t.kl for t in steered[1].tokens], rtol=1e-2, atol=1e-4)
    assert any(token.kl > 1e-3 for token in steered[0].tokens)


def test_the_contrast_direction_turned_round_is_its_opposite(runner: LocalRunner, tmp_path: Path) -> None:
    there, back = (
        result_of(RECIPE.study(), bench_of(runner, tmp_path), DirectionAsk(first, second, top=3))
        for first, second in ((FRIENDLY, HOSTILE), (HOSTILE, FRIENDLY))
    )
    opposite = {edit.direction: edit.amount for edit in back.edits}
    assert {edit.direction: -edit.amount for edit in there.edits} == pytest.approx(opposite)
    assert {edit.direction.sae for edit in there.edits} == {middle(runner.catalog)}


def test_texts_that_do_not_differ_are_refused(runner: LocalRunner, tmp_path: Path) -> None:
    with pytest.raises(BadAsk, match="differ in their mean"):
        result_of(RECIPE.study(), bench_of(runner, tmp_path), DirectionAsk(FRIENDLY, FRIENDLY))


def test_vectors_of_edits_are_kept_and_are_named_in_them(runner: LocalRunner, tmp_path: Path) -> None:
    found = result_of(RECIPE.study(), bench_of(runner, tmp_path), DirectionAsk(FRIENDLY, HOSTILE, vector=True))
    folder = VectorFolder(tmp_path / "vectors")
    (kept,) = found.kept(folder, "tests/tiny")
    assert Intervention.parse(edit_rows(found)[0]["edit"], vectors=folder.all()) == kept == found.edits[0]
    (name,) = found.vectors
    folder.keep(replace(found.vectors[name], values=tuple(-value for value in found.vectors[name].values)), "tests/tiny")
    (renamed,) = found.kept(folder, "tests/tiny")
    assert str(renamed.direction) != str(kept.direction) and len(folder.all()) == 2
