"""Two sets of texts, and the latents that tell them apart.

Steps: (1) read every text by itself and give each latent one number for it, its mean (or largest) activation over the
text's ordinary tokens; (2) leave out the latents that fire on no text; (3) for each of the others take the AUROC, the
two-sided Mann-Whitney p and, over all latents of all SAEs together, the Benjamini-Hochberg q; (4) sort by distance of
the AUROC from 0.5.

Sources: Mann and Whitney 1947, where AUROC = U / (n_first n_second); Benjamini and Hochberg 1995 for q. p is the normal
approximation with the correction for ties, because most numbers are the same 0; under about 8 texts a set it is rough.

It does not say that a latent stands for what a reader sees between the sets: anything else that differs (length, topic,
punctuation) separates them as well. Nor does it say that the model uses the latent; steering with it does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import false_discovery_control, mannwhitneyu

from dashboard.analysis.asks.capture import Capture, CaptureAsk, LatentActivations
from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.asks.weights import PromotedAsk
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.studies.bench import UNKEPT, Blocks
from dashboard.analysis.tokens import Prompt

MIN_TEXTS = 3
"""Fewest texts in a set. One perfect latent among 4,000 needs 14 for a q below 0.05."""


class Pool(StrEnum):
    """How the activations of a latent on the ordinary tokens of a text become one number."""

    MEAN = "mean"
    """Their mean, zeros included."""
    MAX = "max"
    """The largest."""


@dataclass(frozen=True)
class SeparatingLatent:
    """How one latent's numbers differ between the two sets."""

    latent: LatentId
    auroc: float
    """0 to 1: share of pairs (a text of the first set, one of the second) in which the first has the larger number.
    A tie counts half; 0.5 says nothing, below 0.5 the latent stands for the second set."""
    p: float
    """Two-sided Mann-Whitney."""
    q: float
    """Benjamini-Hochberg: p corrected for all latents that were tested."""
    mean_first: float
    """Mean of the texts' numbers, in the activation of its SAE."""
    mean_second: float
    firing_first: float
    """Share of texts, 0 to 1, with an ordinary token on which it fires."""
    firing_second: float

    @property
    def difference(self) -> float:
        """Mean of the first set less that of the second."""
        return self.mean_first - self.mean_second


@dataclass(frozen=True)
class Contrast:
    """What separates two sets of texts."""

    n_first: int
    """Texts in the first set."""
    n_second: int
    pool: Pool
    latents: tuple[SeparatingLatent, ...]
    """Every latent that fires on a text, the farthest AUROC from 0.5 first, then the largest difference of means."""
    n_silent: int
    """Latents that fire on no text and were not tested."""


@dataclass(frozen=True, eq=False)
class TextNumbers:
    """One number for each latent that fires on a text; the latents of all SAEs stand one after another."""

    n_latents: tuple[int, ...]
    """Of each SAE."""
    column: Int64[np.ndarray, " firing"]
    """Place among all latents."""
    value: Float64[np.ndarray, " firing"]
    """Above 0."""

    def dense(self) -> Float64[np.ndarray, " latents"]:
        """One number a latent, 0 where it does not fire."""
        numbers = np.zeros(sum(self.n_latents))
        numbers[self.column] = self.value
        return numbers


def contrast(runner: Runner, first: Sequence[str], second: Sequence[str], saes: Sequence[SaeId], pool: Pool = Pool.MEAN) -> Contrast:
    """Compare two sets of texts latent by latent. One forward pass of the model for each text.

    Raises:
        BadAsk: if a set has fewer than MIN_TEXTS texts, a text has no ordinary token, or there is no SAE.
    """
    read = list(read_texts(runner, first, second, saes, pool))
    return compare(read[: len(first)], read[len(first) :], saes, pool)


def read_texts(
    runner: Runner, first: Sequence[str], second: Sequence[str], saes: Sequence[SaeId], pool: Pool = Pool.MEAN, keep: Blocks = UNKEPT
) -> Iterator[TextNumbers]:
    """The numbers of every text, the first set before the second; each text is a block.

    Raises:
        BadAsk: as `contrast` says.
    """
    if min(len(first), len(second)) < MIN_TEXTS:
        raise BadAsk(f"The sets have {len(first)} and {len(second)} texts; each needs {MIN_TEXTS} or more. Add texts to the smaller one.")
    if not saes:
        raise BadAsk("0 SAEs were chosen to tell the texts apart. Choose at least one.")
    chosen = tuple(dict.fromkeys(saes))

    def read(text: str) -> TextNumbers:
        capture = runner.ask(CaptureAsk(Prompt(text), chosen))
        numbers = [pooled(capture, sae, pool) for sae in chosen]
        whole = np.concatenate(numbers)
        column = np.flatnonzero(whole)
        return TextNumbers(tuple(map(len, numbers)), column.astype(np.int64), whole[column])

    return keep.each("texts", TextNumbers, (*first, *second), read)


def compare(first: Sequence[TextNumbers], second: Sequence[TextNumbers], saes: Sequence[SaeId], pool: Pool = Pool.MEAN) -> Contrast:
    """Two sets of texts that were read with some SAEs, latent by latent."""
    numbers = np.array([text.dense() for text in (*first, *second)])
    sizes = zip(dict.fromkeys(saes), first[0].n_latents, strict=True)
    names = [LatentId(sae, index) for sae, n_latents in sizes for index in range(n_latents)]
    fires = np.flatnonzero(numbers.max(axis=0) > 0)
    found = _compare([names[column] for column in fires], numbers[: len(first), fires], numbers[len(first) :, fires])
    return Contrast(len(first), len(second), pool, found, len(names) - len(fires))


def pooled(capture: Capture, sae: SaeId, pool: Pool) -> Float64[np.ndarray, " latents"]:
    """One number a latent, 0 or more: its activations on the ordinary tokens of a text, as `pool` says.

    Raises:
        BadAsk: if the text has no ordinary token.
    """
    activations: LatentActivations = capture.activations[sae]
    ordinary = ~np.array(capture.tokens.special, dtype=bool)
    if not ordinary.any():
        raise BadAsk(f"{capture.tokens.prompt.text[:40]!r} has 0 ordinary tokens, so there is nothing to compare. Remove it.")
    kept = ordinary[activations.position]
    latent, value = activations.latent[kept], activations.value[kept].astype(np.float64)
    numbers = np.zeros(activations.n_latents)
    if pool is Pool.MAX:
        np.maximum.at(numbers, latent, value)
    else:
        np.add.at(numbers, latent, value)
        numbers /= ordinary.sum()
    return numbers


def promoted_tokens(runner: Runner, latents: Sequence[SeparatingLatent], top: int = 5) -> tuple[tuple[str, ...], ...]:
    """For each latent the tokens that its decoder row promotes, strongest first."""
    return tuple(runner.ask(PromotedAsk(found.latent, top)) for found in latents)


def _compare(
    names: Sequence[LatentId], first: Float64[np.ndarray, "n_first tested"], second: Float64[np.ndarray, "n_second tested"]
) -> tuple[SeparatingLatent, ...]:
    test = mannwhitneyu(first, second, alternative="two-sided", method="asymptotic", axis=0)
    auroc = test.statistic / (len(first) * len(second))
    q = false_discovery_control(test.pvalue, method="bh")
    columns = (auroc, test.pvalue, q, first.mean(0), second.mean(0), (first > 0).mean(0), (second > 0).mean(0))
    found = [SeparatingLatent(name, *map(float, values)) for name, *values in zip(names, *columns, strict=True)]
    return tuple(sorted(found, key=lambda one: (-abs(one.auroc - 0.5), -abs(one.difference), one.latent)))
