"""Plain data of the figures of a study of known and unknown entities. Frozen; only str, int, float, bool."""

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """What a mark stands for: each has its colour in the palette, the same in every figure."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    ASIDE = "aside"
    PLAIN = "plain"
    """The model as it is."""
    RANDOM = "random"
    """A comparison that says nothing."""
    WITHOUT = "without"
    """The model without a direction."""
    RIGHT = "right"
    WRONG = "wrong"


@dataclass(frozen=True)
class ShareBar:
    """k of n with its 95 % interval."""

    k: int
    n: int
    low: float
    """0 to 1."""
    high: float

    @property
    def value(self) -> float | None:
        """0 to 1; None for 0 of 0."""
        return self.k / self.n if self.n else None


@dataclass(frozen=True)
class FrequencyPoint:
    """A latent by the known and the unknown entities that it fires on."""

    key: str
    """What comes back when it is clicked."""
    known: int
    n_known: int
    unknown: int
    n_unknown: int
    note: str = ""
    """A further line when it is hovered."""
    ring: Tone | None = None
    """KNOWN or UNKNOWN where it is one of the best on that side."""


@dataclass(frozen=True)
class LayerPoint:
    """The best latents of one layer."""

    layer: int
    key: str
    """The best of them; comes back when it is clicked."""
    mean: float
    low: float
    high: float
    n_known: int
    n_unknown: int
    n_latents: int
    """How many are averaged."""


@dataclass(frozen=True)
class LayerCurve:
    """Layers of one type of entity, or of all together."""

    label: str
    points: tuple[LayerPoint, ...]
    is_summary: bool = False
    """Drawn thick and dashed: over all types."""


@dataclass(frozen=True)
class KindShares:
    """How often one latent fires on the entities of one type."""

    kind: str
    known: ShareBar
    unknown: ShareBar


@dataclass(frozen=True)
class EntityBar:
    """How strongly one latent fires on one entity."""

    key: str
    """What comes back when it is clicked."""
    name: str
    kind: str
    tone: Tone
    """KNOWN, UNKNOWN or ASIDE."""
    value: float
    """Activation; 0 where it is silent."""


@dataclass(frozen=True)
class NormPoint:
    """How long the residual is at one layer, over the entities of one label."""

    layer: int
    tone: Tone
    mean: float
    sd: float | None
    """None below 2 entities."""
    n: int
    key: str = ""
    """What comes back when it is clicked; empty for nothing."""


@dataclass(frozen=True)
class RateBar:
    """One bar of grouped bars: a type of entity under one condition."""

    group: str
    condition: str
    tone: Tone
    value: float | None
    """None is drawn as "not known"."""
    low: float | None
    high: float | None
    said: str
    """What it is made of: "12 of 40", "mean of 10"."""


@dataclass(frozen=True)
class OutcomeValues:
    """Activations of one latent before the right or before the wrong answers of one type."""

    group: str
    tone: Tone
    """RIGHT or WRONG."""
    values: tuple[float, ...]


@dataclass(frozen=True)
class DetectorScore:
    """How well one number tells wrong answers from right ones."""

    label: str
    key: str
    """A latent that can be opened; empty for none."""
    auroc: float
    n_right: int
    n_wrong: int
    note: str = ""
