"""Can wrong answers be told from the whole residual? The linear baseline that a single latent is held against.

Steps: (1) on train, with as many right as wrong answers, scale every dimension and fit a logistic regression; (2) its
log-odds of "wrong" are one number an answer; (3) threshold on validation and figures on test as for a latent.

Source: Ferrando et al. 2024, arXiv:2411.14257, section 7 (scikit-learn, at most 10,000 iterations). Differs from it:
dimensions are scaled to variance 1 by the train rows, because a few of them are hundreds of times the others.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.statistics.right_or_wrong import Detector, balanced, detector

MAX_ITERATIONS = 10_000


@dataclass(frozen=True, eq=False)
class Answers:
    """Residuals at one place before some answers."""

    rows: np.ndarray
    """Answers by dimensions."""
    wrong: np.ndarray
    """Whether each answer was wrong."""

    @property
    def n(self) -> int:
        """Answers."""
        return len(self.wrong)


@dataclass(frozen=True, eq=False)
class LinearDetector:
    """A logistic regression and how well it does."""

    n_train: int
    """Answers it was fitted on, half of them wrong."""
    validation: Float64[np.ndarray, " answers"]
    """Log-odds of "wrong"."""
    test: Float64[np.ndarray, " test_answers"]
    figures: Detector


def linear_detector(train: Answers, validation: Answers, test: Answers, seed: int, strength: float = 1.0) -> LinearDetector:
    """Fit on train, set the threshold on validation, judge on test. `strength` is scikit-learn's C: larger bends more to train.

    Raises:
        BadAsk: if train has no right or no wrong answer, validation no wrong one, or test lacks a class.
    """
    chosen = balanced(train.wrong, seed)
    if not len(chosen):
        n_wrong = int(np.sum(train.wrong))
        raise BadAsk(f"Train has {train.n - n_wrong} right and {n_wrong} wrong answers; a detector needs both. Ask more questions.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=MAX_ITERATIONS))
    model.fit(np.asarray(train.rows, dtype=np.float64)[chosen], np.asarray(train.wrong, dtype=bool)[chosen])
    scores = [np.asarray(model.decision_function(np.asarray(part.rows, dtype=np.float64))) for part in (validation, test)]
    figures = detector((scores[0], validation.wrong), (scores[1], test.wrong), seed)
    return LinearDetector(len(chosen), scores[0], scores[1], figures)
