"""Latents that are stronger before wrong answers than before right ones, and how well one tells them apart.

Steps: (1) mean and variance of every latent before right and before wrong answers, text by text; refusals are left out;
(2) Welch t of right against wrong; an uncertainty latent has the largest smallest -t over the types, on train; (3) on
validation the threshold with the best F1 among 100 between the least and the largest activation; (4) on test the AUROC
for "wrong" after the larger class is drawn down to the smaller, and precision, recall and F1 at the threshold.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 7; Welch 1947. Differs from it: none known; above the threshold
means strictly above, so that at the least activation, 0 for most latents, firing at all counts as "wrong".
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.stats.shares import Share

N_THRESHOLDS = 100


@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and squared deviations of every latent over some texts; those of two sets of texts add."""

    n: int
    mean: Float64[np.ndarray, " columns"]
    squares: Float64[np.ndarray, " columns"]
    """Sum of squared distances to the mean."""

    @classmethod
    def none(cls, n_columns: int) -> "Moments":
        """Of no text yet."""
        return cls(0, np.zeros(n_columns), np.zeros(n_columns))

    @classmethod
    def of_sparse(cls, n_rows: int, column: np.ndarray, value: np.ndarray, n_columns: int) -> "Moments":
        """Of rows in which a few latents fire, each (row, column) once; all others are 0."""
        if not n_rows:
            return cls.none(n_columns)
        value = value.astype(np.float64)
        mean = np.bincount(column, weights=value, minlength=n_columns) / n_rows
        n_silent = n_rows - np.bincount(column, minlength=n_columns)
        squares = np.bincount(column, weights=(value - mean[column]) ** 2, minlength=n_columns)
        return cls(n_rows, mean, squares + n_silent * mean**2)

    @classmethod
    def of_dense(cls, rows: np.ndarray) -> "Moments":
        """Of rows of activations, texts by latents."""
        rows = np.asarray(rows, dtype=np.float64)
        if not len(rows):
            return cls.none(rows.shape[1])
        mean = rows.mean(axis=0)
        return cls(len(rows), mean, ((rows - mean) ** 2).sum(axis=0))

    def __add__(self, other: "Moments") -> "Moments":
        """Source: Chan, Golub and LeVeque 1983."""
        n = self.n + other.n
        if not n:
            return self
        distance = other.mean - self.mean
        squares = self.squares + other.squares + distance**2 * (self.n * other.n / n)
        return Moments(n, self.mean + distance * (other.n / n), squares)

    @property
    def variance(self) -> Float64[np.ndarray, " columns"]:
        """With n - 1; NaN below 2 texts."""
        return self.squares / (self.n - 1) if self.n > 1 else np.full_like(self.squares, np.nan)


@dataclass(frozen=True, eq=False)
class Welch:
    """Right against wrong answers, latent by latent."""

    n_right: int
    n_wrong: int
    t: Float64[np.ndarray, " columns"]
    """Above 0: stronger before right answers. 0 where both have one and the same value; infinite where each has its own."""
    df: Float64[np.ndarray, " columns"]
    """Degrees of freedom by Welch and Satterthwaite; NaN where nothing varies."""
    p: Float64[np.ndarray, " columns"]
    """Two-sided."""


def welch(right: Moments, wrong: Moments) -> Welch:
    """Welch's t of every latent.

    Raises:
        BadAsk: if a class has fewer than 2 texts.
    """
    if min(right.n, wrong.n) < 2:
        raise BadAsk(f"There are {right.n} right and {wrong.n} wrong answers; a comparison needs 2 of each. Ask more questions.")
    a, b = right.variance / right.n, wrong.variance / wrong.n
    error, distance = np.sqrt(a + b), right.mean - wrong.mean
    varies = error > 1e-12 * np.maximum(np.abs(right.mean), np.abs(wrong.mean))
    safe = np.where(varies, error, 1)
    fixed = np.where(np.isclose(distance, 0, atol=1e-12), 0.0, np.copysign(np.inf, distance))
    t = np.where(varies, distance / safe, fixed)
    below = np.where(varies, a**2 / (right.n - 1) + b**2 / (wrong.n - 1), 1)
    df = np.where(varies, (a + b) ** 2 / below, np.nan)
    p = np.where(varies, 2 * student.sf(np.abs(t), np.where(varies, df, 1)), np.where(t == 0, 1.0, 0.0))
    return Welch(right.n, wrong.n, t, df, p)


def uncertainty_scores(by_type: Mapping[str, Welch]) -> Float64[np.ndarray, " columns"]:
    """The smallest -t over the types: large where a latent is stronger before wrong answers in every type."""
    if not by_type:
        raise BadAsk("0 types have right and wrong answers, so no latent can be scored. Ask more questions.")
    return np.min([-one.t for one in by_type.values()], axis=0)


@dataclass(frozen=True)
class Auroc:
    """How often a wrong answer has the larger number than a right one."""

    value: float
    """0 to 1, ties count half."""
    n_right: int
    """Answers compared, after drawing."""
    n_wrong: int


@dataclass(frozen=True)
class Confusion:
    """Answers by what was said of them at a threshold. Said positive means: it will be wrong."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def n(self) -> int:
        """All answers."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def precision(self) -> Share:
        """Of those said to be wrong, the ones that are."""
        return Share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Share:
        """Of those that are wrong, the ones said to be."""
        return Share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 0 to 1; 0 where none is found."""
        twice = 2 * self.true_positive
        return twice / (twice + self.false_positive + self.false_negative) if twice else 0.0


@dataclass(frozen=True)
class Detector:
    """How well one number tells wrong answers from right ones."""

    threshold: float
    """Above it an answer is said to be wrong; set on validation."""
    validation: Confusion
    test: Confusion
    always: Confusion
    """On test, if every answer were said to be wrong: what the figures must beat."""
    auroc: Auroc
    """On test, as many right as wrong ones."""


def balanced(wrong: np.ndarray, seed: int) -> Int64[np.ndarray, " rows"]:
    """Rows, rising, with as many right as wrong answers: the larger class is drawn down."""
    wrong = np.asarray(wrong, dtype=bool)
    n = int(min(wrong.sum(), (~wrong).sum()))
    generator = np.random.default_rng(seed)
    parts = [generator.choice(np.flatnonzero(of_class), n, replace=False) for of_class in (wrong, ~wrong)]
    return np.sort(np.concatenate(parts)).astype(np.int64)


def auroc(values: np.ndarray, wrong: np.ndarray, seed: int | None = None) -> Auroc:
    """AUROC for "wrong"; with a seed after balancing the classes.

    Raises:
        BadAsk: if a class is empty.
    """
    values, wrong = np.asarray(values, dtype=np.float64), np.asarray(wrong, dtype=bool)
    if wrong.all() or not wrong.any():
        raise BadAsk(f"{int((~wrong).sum())} right and {int(wrong.sum())} wrong answers; an AUROC needs both. Ask more questions.")
    rows = np.arange(len(wrong)) if seed is None else balanced(wrong, seed)
    n_wrong = int(wrong[rows].sum())
    return Auroc(float(roc_auc_score(wrong[rows], values[rows])), len(rows) - n_wrong, n_wrong)


def paired_auroc(wrong: np.ndarray, right: np.ndarray) -> float:
    """Share of pairs, 0 to 1, in which the first is larger; ties count half."""
    return float(((wrong > right) + 0.5 * (wrong == right)).mean())


def confusion(values: np.ndarray, wrong: np.ndarray, threshold: float) -> Confusion:
    """Count answers by whether they are wrong and above the threshold."""
    said, wrong = np.asarray(values) > threshold, np.asarray(wrong, dtype=bool)
    return Confusion(int((said & wrong).sum()), int((said & ~wrong).sum()), int((~said & wrong).sum()), int((~said & ~wrong).sum()))


def best_threshold(values: np.ndarray, wrong: np.ndarray, n: int = N_THRESHOLDS) -> float:
    """Of n thresholds, equally far apart from the least to the largest value, the first with the best F1.

    Raises:
        BadAsk: if there is no wrong answer.
    """
    if not np.any(wrong):
        raise BadAsk("The validation split has 0 wrong answers, so no threshold can be set on it. Ask more questions.")
    thresholds = np.linspace(float(np.min(values)), float(np.max(values)), n)
    return float(thresholds[int(np.argmax([confusion(values, wrong, one).f1 for one in thresholds]))])


def detector(validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], seed: int) -> Detector:
    """Set the threshold on validation and judge on test; each is (numbers, which answers are wrong).

    Raises:
        BadAsk: if validation has no wrong answer, or test lacks a class.
    """
    threshold = best_threshold(*validation)
    always = confusion(*test, -np.inf)
    return Detector(threshold, confusion(*validation, threshold), confusion(*test, threshold), always, auroc(*test, seed))
