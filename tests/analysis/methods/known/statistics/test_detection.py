"""Laws of the linear baseline: it finds a direction, finds nothing in noise, and is not moved by units."""

import numpy as np
import pytest

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.detection import Answers, linear_detector


def answers(n: int, strength: float, seed: int, scale: float = 1.0) -> Answers:
    generator = np.random.default_rng(seed)
    wrong = generator.random(n) < 0.7
    rows = generator.normal(size=(n, 20))
    rows[:, :3] += strength * wrong[:, None]
    return Answers(rows * np.where(np.arange(20) == 5, scale, 1.0), wrong)


def splits(strength: float, scale: float = 1.0) -> tuple[Answers, Answers, Answers]:
    return answers(400, strength, 1, scale), answers(100, strength, 2, scale), answers(500, strength, 3, scale)


def test_a_direction_is_found_and_noise_is_not() -> None:
    found, noise = linear_detector(*splits(1.5), seed=0), linear_detector(*splits(0.0), seed=0)
    assert found.figures.auroc.value > 0.9 and abs(noise.figures.auroc.value - 0.5) < 0.08
    assert found.figures.test.f1 > found.figures.always.f1


def test_it_is_fitted_on_as_many_right_as_wrong_answers_and_judged_on_all_of_test() -> None:
    train, validation, test = splits(1.0)
    found = linear_detector(train, validation, test, seed=0)
    assert found.n_train == 2 * min(train.wrong.sum(), (~train.wrong).sum())
    assert (found.figures.validation.n, found.figures.test.n, len(found.test)) == (100, 500, 500)
    assert found.figures.auroc.n_right == found.figures.auroc.n_wrong == (~test.wrong).sum()


def test_the_unit_of_a_dimension_does_not_matter() -> None:
    found, large = linear_detector(*splits(1.0), seed=0), linear_detector(*splits(1.0, scale=1e3), seed=0)
    assert large.test == pytest.approx(found.test, abs=1e-3)


def test_the_test_rows_have_no_say_in_the_fit() -> None:
    train, validation, test = splits(1.0)
    found = linear_detector(train, validation, test, seed=0)
    half = linear_detector(train, validation, Answers(test.rows[:250], test.wrong[:250]), seed=0)
    assert half.test == pytest.approx(found.test[:250]) and half.figures.threshold == found.figures.threshold


def test_one_class_alone_is_refused() -> None:
    train, validation, test = splits(1.0)
    with pytest.raises(BadAsk, match="0 right"):
        linear_detector(Answers(train.rows, np.ones(400, dtype=bool)), validation, test, seed=0)
