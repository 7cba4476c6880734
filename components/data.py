"""Plain data that components draw: strings, whole numbers and finite floats only."""

from dataclasses import dataclass
from enum import StrEnum


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
    detail: str = ""
    """A second, quiet line."""
    href: str = ""
    """Address of the latent's own page; empty for no link."""
    digits: int = 2
    """Decimals of the value."""


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


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width."""

    title: str
    """What lies along its axis, with the unit."""
    low: float
    high: float
    counts: tuple[int, ...]
    counted: str
    """What a bar counts, in the plural: tokens."""
    signed: bool
    """Coloured by the sign of the value; otherwise by its size, on the activation ramp from 0 to `high`."""


@dataclass(frozen=True)
class TokenWeight:
    """A token of the vocabulary and what a direction does to it."""

    text: str
    weight: float
    """Above 0 it is made likelier."""


@dataclass(frozen=True)
class ExampleRow:
    """A piece of text around the token that it was chosen for."""

    key: str
    """Comes back when the row's button is clicked."""
    note: str
    """Where it is from; shown when the row is hovered."""
    anchor: int
    """The token that it was chosen for, counted through `tokens`."""
    value: float
    """The value at the anchor, printed beside the text."""
    value_note: str
    """What is to be said of this value; empty if it is what the shade means."""
    tokens: tuple[TokenCell, ...]
    before: bool
    """More text stood before it."""
    after: bool
    more: str
    """What was folded into this row; empty for nothing."""


@dataclass(frozen=True)
class Column:
    """A column of figures."""

    title: str
    help: str


@dataclass(frozen=True)
class FoundRow:
    """A latent that fires on a text."""

    key: str
    """Comes back when it is opened or put into a list."""
    href: str
    """Address of its own page."""
    name: str
    label: str
    """What it seems to be about; empty if unknown."""
    own: bool
    """The label is a person's."""
    figures: tuple[str, ...]
    """One a column."""
    peak: int
    """The token where it is strongest."""
    positions: tuple[int, ...]
    """Tokens on which it fires, counted or not, in order."""
    values: tuple[float, ...]
    """Its activation on each of them."""
    maximum: float
    """The value of the full shade in this row."""
    maximum_of: str
    """Whose maximum that is, in words."""
    first: int
    """The part of the text that is drawn: from this token ..."""
    last: int
    """... to this one."""
    listed: bool
    """It is in the list that is being filled."""


@dataclass(frozen=True)
class LayerCount:
    """How many latents of a layer are found."""

    layer: int
    n: int
    chosen: bool


@dataclass(frozen=True)
class ListedRow:
    """A latent as one of several."""

    key: str
    """Comes back when it is opened, moved, noted or taken out."""
    href: str
    """Address of its own page; empty for a latent that is not installed."""
    name: str
    label: str
    """What it seems to be about, or why it is not here."""
    own: bool
    """The label is a person's."""
    note: str
    figures: tuple[str, ...]
    """One a column."""
    peak: int
    """The token where it is strongest; -1 where it fires on none."""
    positions: tuple[int, ...]
    """Tokens on which it fires, in order."""
    values: tuple[float, ...]
    """Its activation on each of them."""
    maximum: float
    """The value of the full shade in this row."""
    maximum_of: str
    """Whose maximum that is, in words."""
    place: int
    """In the list, from 0."""
    is_last: bool
    """It is the last of the list."""
    listed: bool = False
    """It is in the list that is being filled."""


class GraphRow(StrEnum):
    """The row of a node, from the top of the canvas down; in a layer, data flows from the last row to the first."""

    LOGIT = "logit"
    RESID = "resid"
    MLP = "mlp"
    MID = "mid"
    ATTN = "attn"
    EMBED = "embed"


class GraphKind(StrEnum):
    """What a node is; its shape, together with its row."""

    LATENT = "latent"
    ERROR = "error"
    TOKEN = "token"
    LOGIT = "logit"


class GraphRole(StrEnum):
    """What a node comes from, or what it is; its colour."""

    NOT_KNOWN = "not_known"
    NOWHERE = "nowhere"
    RES = "res"
    MLP = "mlp"
    ATT = "att"
    RES_MLP = "res_mlp"
    RES_ATT = "res_att"
    MLP_ATT = "mlp_att"
    RES_MLP_ATT = "res_mlp_att"
    ERROR = "error"
    TOKEN = "token"
    LOGIT = "logit"


@dataclass(frozen=True)
class GraphNode:
    """A latent, or what else stands in a graph over a model."""

    key: str
    """Its full name; comes back when it is clicked."""
    layer: int
    row: GraphRow
    index: int
    """In its dictionary, or of a token in the vocabulary; the short name that is drawn, unless `name` is."""
    label: str
    """What it seems to be about; empty if unknown."""
    role: GraphRole
    note: str
    """Shown under name and label when it is hovered."""
    is_seed: bool = False
    kind: GraphKind = GraphKind.LATENT
    name: str = ""
    """Drawn instead of the index."""
    position: int | None = None
    """Token of a text, from 0; where any node of a graph has one, columns are positions, and not layers."""


@dataclass(frozen=True)
class GraphEdge:
    """A link of an earlier node to a later one."""

    source: str
    target: str
    weight: float
    """Cosine, -1 to 1, or an effect with its sign; its width."""
    note: str
    """Shown when it is hovered."""
    is_mutual: bool = True
    """Each end is the other's best, or nothing else speaks against the link; drawn dashed if not."""

    @property
    def key(self) -> str:
        """What comes back when it is clicked. A node's name has no space."""
        return f"{self.source} {self.target}"


@dataclass(frozen=True)
class GraphGroup:
    """Nodes that belong together: drawn as one band through them."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class GraphHeat:
    """How a node is lit."""

    share: float
    """Of full light, 0 to 1."""
    said: str
    """What it stands for; shown when the node is hovered."""


class ClickKind(StrEnum):
    """What was done to a node, an edge or the empty canvas."""

    CLICK = "click"
    SHIFT = "shift"
    """With the Shift key held."""
    DOUBLE = "double"


@dataclass(frozen=True)
class GraphClick:
    """A click on a graph."""

    kind: ClickKind
    graph: str
    """Token of the graph that was on the screen."""
    node: str = ""
    """Key of the node; empty if on none."""
    edge: str = ""
    """Key of the edge; empty if on none."""


@dataclass(frozen=True)
class GridRow:
    """One line of a grid of words. All tuples have one entry a column."""

    label: str
    words: tuple[str, ...]
    shares: tuple[float, ...]
    """Of the full shade, 0 to 1; on a signed grid -1 to 1."""
    notes: tuple[str, ...]
    """Shown when a cell is hovered, under its row and column."""
    marked: tuple[bool, ...]
    """Set in bold."""


@dataclass(frozen=True)
class GridColumn:
    """A column of a grid of words."""

    text: str
    """Its head; empty for a token that continues the character of the one before."""
    note: str
    """Shown when its head is hovered."""
    special: bool = False
    """A special token: its cells are outside the scale."""
    key: int | None = None
    """Comes back when one of its cells is clicked; None where there is nothing to choose."""


@dataclass(frozen=True)
class LensCurve:
    """A mean over texts at each layer, with its interval."""

    label: str
    layers: tuple[int, ...]
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    colour: int
    """Place in the palette's CURVES."""
    is_null: bool = False
    """What chance gives."""
