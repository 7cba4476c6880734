"""What an index holds of one latent, how many of each thing, and which bin of a histogram an activation falls in.

Facts are counted over the ordinary tokens of the corpus: special tokens and outlier-norm tokens are left out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from dashboard.analysis.asks.weights import Neighbour
from dashboard.analysis.names import LatentId

N_BINS = 40
"""Bins of a histogram, of equal width."""
N_TOP = 20
"""Strongest examples of a latent."""
N_INTERVALS = 5
"""Equal parts of 0 to the latent's maximum; each holds N_BINS / N_INTERVALS bins."""
PER_INTERVAL = 4
"""Examples of each interval, drawn at random."""
N_NEAR = 5
"""Near misses: tokens where the latent came closest to firing, in documents where it never does."""
N_TOKENS = 10
"""Promoted and suppressed tokens."""
N_NEIGHBOURS = 10
"""Nearest latents within the SAE, and as many across the others of its release."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Of the activations above 0."""


@dataclass(frozen=True)
class IndexHead:
    """What the rows of an index rest on; kept as JSON in the file's metadata under `latents`."""

    n_tokens: int
    """Tokens that were counted."""
    n_outliers: int
    """Ordinary tokens left out because of their norm."""
    corpus: str
    """`Corpus.name`. `find_corpus` reads it."""
    corpus_sha256: str
    """`Corpus.sha256`: what positions mean."""
    sae_sha256: str
    """Of the weights that were read."""
    dtype: str
    """Number format of the model."""
    saes: tuple[str, ...]
    """Printed names that `neighbour_sae` counts through."""
    code: str
    """Version of this project."""


@dataclass(frozen=True)
class TokenLogit:
    """A token and what one unit of the latent's direction adds to its logit."""

    token_id: int
    logit: float
    """Through the final norm's weights and the unembedding; the norm's division by the residual's size is left out."""


@dataclass(frozen=True)
class ExampleAt:
    """Where in the corpus something was seen, and how strongly."""

    position: int
    value: float
    """Activation; for a near miss, what stood before the SAE's activation function, which made 0 of it."""


@dataclass(frozen=True)
class Interval:
    """A part of 0 to the latent's maximum."""

    low: float
    high: float
    n: int
    """Tokens whose activation lies in it: above `low`, up to `high`."""
    examples: tuple[ExampleAt, ...]


@dataclass(frozen=True)
class CoFiring:
    """Another latent of the same SAE that fires on the same tokens."""

    latent: LatentId
    share: float
    """Tokens where both fire / tokens where either does, 0 to 1 (Jaccard)."""


@dataclass(frozen=True)
class LatentFacts:
    """Everything that the index holds of one latent."""

    latent: LatentId
    head: IndexHead
    label: str
    n_fired: int
    mean: float
    maximum: float
    quantiles: tuple[float, ...]
    """At QUANTILES; empty for a latent that never fired, as are histogram and examples."""
    histogram: tuple[int, ...]
    """Tokens in each of N_BINS equal bins over 0 to maximum, each with its upper edge."""
    top: tuple[ExampleAt, ...]
    """The strongest tokens of the corpus, strongest first; ties by position."""
    intervals: tuple[Interval, ...]
    """From the strongest to the weakest."""
    near_misses: tuple[ExampleAt, ...]
    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]
    logit_low: float
    logit_high: float
    logit_histogram: tuple[int, ...]
    """Tokens of the vocabulary in each of N_BINS equal bins over logit_low to logit_high."""
    neighbours: tuple[Neighbour, ...]
    """Nearest decoder rows: N_NEIGHBOURS of the same SAE, then N_NEIGHBOURS across the others of the release, nearest first."""
    cofiring: tuple[CoFiring, ...]
    """Strongest first."""

    @property
    def is_dead(self) -> bool:
        """True if it fired on no token of the corpus."""
        return self.n_fired == 0


def bins_of(values: Float32[np.ndarray, " values"], maximum: float, n_bins: int = N_BINS) -> Int64[np.ndarray, " values"]:
    """The bin of 0 to `maximum` that each activation falls in: above its lower edge, up to its upper.

    Exact for float32 numbers: the product is whole in float64, and a quotient that is not a whole number is further from one
    than float64 rounds.
    """
    scaled = np.asarray(values, dtype=np.float64) * n_bins
    return np.clip(np.ceil(scaled / maximum).astype(np.int64) - 1, 0, n_bins - 1)


def bin_of(value: float, maximum: float, n_bins: int = N_BINS) -> int:
    """`bins_of` for one activation."""
    return int(bins_of(np.array([value], dtype=np.float32), maximum, n_bins)[0])


def interval_of(value: float, maximum: float) -> int:
    """The interval that an activation falls in, 0 for the weakest."""
    return bin_of(value, maximum) // (N_BINS // N_INTERVALS)
