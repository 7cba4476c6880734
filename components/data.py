"""Plain data that components draw: strings, whole numbers and finite floats only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenCell:
    """One token of a strip."""

    text: str
    """What it shows; empty for a token that continues the character of the one before."""
    value: float
    """Shaded on the strip's scale; ignored for special tokens."""
    lanes: tuple[float, ...]
    """One value for each pinned lane."""
    special: bool


@dataclass(frozen=True)
class Scale:
    """What a shade means."""

    label: str
    """Whose values are shaded."""
    maximum: float
    """The value of the full shade; 0 if nothing fires."""
    maximum_of: str
    """Whose maximum that is, in words."""


@dataclass(frozen=True)
class Lane:
    """A pinned latent, drawn as a coloured line under the tokens."""

    key: str
    label: str
    maximum: float


@dataclass(frozen=True)
class LatentRow:
    """One line of a list of latents."""

    key: str
    """Comes back when the line is clicked."""
    label: str
    value: float
    share: float
    """Length of its bar, 0 to 1."""
    note: str
    pinned: bool
    shown: bool


@dataclass(frozen=True)
class MapRow:
    """One line of a layer x token map."""

    key: str
    label: str
    note: str
    values: tuple[float, ...]
    maximum: float
    """The value of the full shade in this line."""
    digits: int
    """Decimals of the maximum."""
    chosen: bool


@dataclass(frozen=True)
class WrittenToken:
    """One token that a model wrote."""

    text: str
    """What it adds; empty if it continues a character. May hold newlines."""
    shade: float
    """Activation of the shading latent, 0 if there is none; not drawn for special tokens."""
    kl: float | None
    """KL divergence of the two models' next-token distributions here, nats; None where not measured."""
    difference: float | None
    """Log-probability of this token under the steered model minus under the plain model, nats; None where not measured."""
    special: bool
    """Drawn as an outlined chip: the end token, say."""


@dataclass(frozen=True)
class WrittenText:
    """One side of a pair of written texts."""

    title: str
    note: str
    """One quiet line under the title."""
    tokens: tuple[WrittenToken, ...]
    ended: str
    """Why writing ended, drawn behind the last token; empty while it goes on."""


@dataclass(frozen=True)
class DosePoint:
    """A mean at one strength."""

    factor: float
    mean: float
    low: float
    """Lower end of its 95 % interval; the mean where there is none."""
    high: float
    n: int
    """Texts behind it."""
