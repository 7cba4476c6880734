"""Behaviour and coherence of a text without a judge, each 0 to 1. Proxies: they see words, firings and losses, not sense.

Behaviour: (B1) lexicon, the rate of theme words per word over the 95th percentile of that rate on reference theme texts, at
most 1; (B2) classifier, the probability that TF-IDF with logistic regression gives the theme after training on theme texts
and others; (B3) read-back, the mean activation of held-out theme latents on the text in the unsteered model, over what
they do on the reference theme texts (95th percentile), at most 1. Coherence: C = exp(-max(0, NLL - NLL_ref) / tau) (1 - rep4)
with the loss per token under the unsteered model, the median and inter-quartile range of unsteered texts, and the share
of repeated 4-grams, which loops need because their loss is low.

Sources: classifier as in scikit-learn, the rest is this project's own stand-in for the judge of Laptev et al. 2025,
arXiv:2502.03032, section 6 (gpt-4o-mini, coherence and behaviour 0 to 5).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import regex
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dashboard.analysis.errors import BadAsk

MIN_TEXTS = 3
"""Fewest texts of a theme, and fewest others, that a classifier is trained on."""
MIN_TAU = 0.05
"""Nats: the inter-quartile range is taken as at least this, or a handful of like texts would make every other one incoherent."""
_PERCENTILE = 95


@dataclass(frozen=True)
class Lexicon:
    """Words of a theme."""

    words: tuple[str, ...]
    reference: tuple[str, ...] = ()
    """Texts on the theme. Without any, one theme word in ten is the full score."""

    def __post_init__(self) -> None:
        if not any(word.strip() for word in self.words):
            raise BadAsk("The lexicon has 0 words. Give at least one.")

    def rate(self, text: str) -> float:
        """Theme words per word, whole and in any case; 0 for a text without words."""
        n = len(regex.findall(r"\w+", text))
        words = "|".join(regex.escape(word.strip(), special_only=True) for word in self.words if word.strip())
        return len(regex.findall(rf"(?i)(?<!\w)(?:{words})(?!\w)", text)) / n if n else 0.0

    @property
    def full_rate(self) -> float:
        """The rate that scores 1."""
        rates = [self.rate(text) for text in self.reference]
        found = float(np.percentile(rates, _PERCENTILE)) if rates else 0.1
        if found <= 0:
            raise BadAsk(f"The words of the lexicon occur in 0 % of the {len(rates)} reference texts. Choose words that these use.")
        return found

    def score(self, text: str) -> float:
        """B1."""
        return min(1.0, self.rate(text) / self.full_rate)


@dataclass(frozen=True)
class Classifier:
    """Texts on a theme, and others to tell them from."""

    theme: tuple[str, ...]
    other: tuple[str, ...]

    def __post_init__(self) -> None:
        if min(len(self.theme), len(self.other)) < MIN_TEXTS:
            raise BadAsk(
                f"There are {len(self.theme)} texts of the theme and {len(self.other)} others; a classifier needs {MIN_TEXTS} each."
            )

    def score(self, text: str) -> float:
        """B2."""
        return float(_trained(self).predict_proba([text])[0, 1])


@lru_cache(maxsize=8)
def _trained(texts: Classifier) -> Any:
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=1), LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, random_state=0)
    )
    return model.fit([*texts.theme, *texts.other], [1] * len(texts.theme) + [0] * len(texts.other))


def read_back(activity: float, full: float) -> float:
    """B3 from the mean activation of the held-out latents on a text, and what scores 1."""
    return min(1.0, max(0.0, activity / full)) if full > 0 else 0.0


@dataclass(frozen=True)
class Fluency:
    """What unsteered texts cost."""

    nll: float
    """Median loss per token, nats."""
    tau: float
    """Inter-quartile range, at least MIN_TAU."""

    @classmethod
    def of(cls, losses: Sequence[float]) -> "Fluency":
        """From the losses per token of unsteered texts.

        Raises:
            BadAsk: if there is none.
        """
        if not losses:
            raise BadAsk("Coherence is measured against unsteered texts; there are 0.")
        low, middle, high = np.percentile(np.asarray(losses, dtype=np.float64), [25, 50, 75])
        return cls(float(middle), max(MIN_TAU, float(high - low)))

    def coherence(self, nll: float, repeated: float | None) -> float:
        """C of a text with this loss per token and share of repeated 4-grams (None, too short for one, counts as 0)."""
        return math.exp(-max(0.0, nll - self.nll) / self.tau) * (1 - (repeated or 0.0))
