"""Names of things: parse and print, nothing else. Every name round-trips; nobody else splits the string."""

import re
from dataclasses import dataclass
from enum import StrEnum

from dashboard.analysis.errors import BadName


class Width(StrEnum):
    """How many numbers an activation has, in the model's own terms."""

    MODEL = "d_model"
    HEADS = "n_heads x d_head"
    """The outputs of all heads, side by side."""
    NEURONS = "d_mlp"


class Part(StrEnum):
    """The part of a block that a point belongs to."""

    STREAM = "resid"
    MLP = "mlp"
    ATTENTION = "attn"


@dataclass(frozen=True)
class PointRow:
    """All that is known of a point: one row of the table of points. Everything else reads it."""

    meaning: str
    """In plain words, for people."""
    part: Part
    hook: str
    """The hook point of TransformerLens' bridge. It ends in `hook_in` or `hook_out`: the input or the output of a module, which the
    plain model has too."""
    recorded: str
    """The hook name that the record of an SAE trained there gives."""
    aliases: tuple[str, ...] = ()
    """Further names of the same hook, in the records of others."""
    width: Width = Width.MODEL
    post_norm: str | None = None
    """A norm that some models (Gemma 2 and 3) put between this and the residual stream."""
    matrix: str | None = None
    """The weights through which it reaches the residual stream; None: it is in the stream, or is added to it as it is."""
    added: str | None = None
    """The stream after the output of this point is added to it: an edit changes that output."""
    modules: tuple[str, ...] = ()
    """Modules of a layer whose output it is, in the folder names of sparsify; empty for the layer itself."""
    codes: tuple[str, ...] = ()
    """What Gemma Scope and Llama Scope call it in the names of their releases."""


class Point(StrEnum):
    """Where in a transformer block an activation is read, in the order of a forward pass. Terms as in TransformerLens.

    A new kind of site is a new row here. `{layer}` stands for the number of the block; a point without it is at layer 0 only.
    """

    row: PointRow
    _value_: str

    def __new__(cls, name: str, row: PointRow) -> str:
        """A member: a plain string that knows its row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.row = row
        return member

    EMBED = (
        "embed",
        PointRow(
            "residual stream before block 0: the token embedding as the block gets it, with positions where the model adds them there",
            Part.STREAM,
            hook="blocks.0.hook_in",
            recorded="blocks.0.hook_resid_pre",
            aliases=("hook_embed", "embed.hook_out"),
        ),
    )
    ATTN_Z = (
        "attn_z",
        PointRow(
            "outputs of all heads side by side, before the output matrix of the attention layer",
            Part.ATTENTION,
            hook="blocks.{layer}.attn.o.hook_in",
            recorded="blocks.{layer}.attn.hook_z",
            aliases=("blocks.{layer}.hook_z", "blocks.{layer}.attn.o.hook_in"),
            width=Width.HEADS,
            post_norm="ln1_post",
            matrix="attn.W_O",
            codes=("att",),
        ),
    )
    ATTN_OUT = (
        "attn_out",
        PointRow(
            "what the attention layer adds to the residual stream",
            Part.ATTENTION,
            hook="blocks.{layer}.attn.hook_out",
            recorded="blocks.{layer}.hook_attn_out",
            aliases=("blocks.{layer}.attn.hook_out",),
            post_norm="ln1_post",
            modules=("self_attn", "attn", "attention"),
            codes=("a",),
        ),
    )
    RESID_MID = (
        "resid_mid",
        PointRow(
            "residual stream between attention and MLP",
            Part.STREAM,
            hook="blocks.{layer}.ln2.hook_in",
            recorded="blocks.{layer}.hook_resid_mid",
            added="attn_out",
        ),
    )
    MLP_POST = (
        "mlp_post",
        PointRow(
            "neurons of the MLP after the non-linearity (of a gated MLP: times the linear branch), before its output matrix",
            Part.MLP,
            hook="blocks.{layer}.mlp.out.hook_in",
            recorded="blocks.{layer}.mlp.hook_post",
            aliases=("blocks.{layer}.mlp.out.hook_in",),
            width=Width.NEURONS,
            post_norm="ln2_post",
            matrix="mlp.W_out",
        ),
    )
    MLP_OUT = (
        "mlp_out",
        PointRow(
            "what the MLP adds to the residual stream",
            Part.MLP,
            hook="blocks.{layer}.mlp.hook_out",
            recorded="blocks.{layer}.hook_mlp_out",
            aliases=("blocks.{layer}.mlp.hook_out",),
            post_norm="ln2_post",
            modules=("mlp",),
            codes=("mlp", "m"),
        ),
    )
    RESID_POST = (
        "resid_post",
        PointRow(
            "residual stream after a layer",
            Part.STREAM,
            hook="blocks.{layer}.hook_out",
            recorded="blocks.{layer}.hook_resid_post",
            aliases=("blocks.{layer}.hook_out",),
            modules=("",),
            codes=("res", "r"),
        ),
    )

    @property
    def order(self) -> int:
        """Its place in the forward pass of a block, from 0."""
        return list(Point).index(self)

    @property
    def added(self) -> "Point | None":
        """The point whose output makes the stream what it is here; None for every other point."""
        return Point(self.row.added) if self.row.added else None


def point_of_module(module: str) -> Point | None:
    """The point that is the output of a module of a layer, as sparsify names it, empty for the layer itself; None if there is none."""
    return next((point for point in Point if module in point.row.modules), None)


def point_of_code(code: str) -> Point:
    """The point that the suites of Gemma Scope and Llama Scope call `res`, `mlp`, `att`, `r`, `m` or `a`.

    Raises:
        BadName: for another code.
    """
    for point in Point:
        if code in point.row.codes:
            return point
    raise BadName("the code of a site", code, f"one of {', '.join(code for point in Point for code in point.row.codes)}")


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model, printed `15.resid_post`. `resid_pre` of a layer is read as `resid_post` of the one before."""

    layer: int
    """Block number from 0; 0 for `embed`."""
    point: Point

    def __str__(self) -> str:
        return f"{self.layer}.{self.point.value}"

    @property
    def forward_order(self) -> tuple[int, int]:
        """Where it comes in a forward pass: by layer, then by the order of the points."""
        return self.layer, self.point.order

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read `15.resid_post`; `16.resid_pre` gives the same site, `0.resid_pre` gives `0.embed`.

        Raises:
            BadName: if it is of another form.
        """
        match = re.fullmatch(r"([0-9]{1,4})\.([a-z_]+)", text)
        if match is None or match[2] not in {*Point, "resid_pre"}:
            raise BadName("a site", text, f"LAYER.POINT, POINT one of {', '.join(Point)}")
        layer, point = int(match[1]), match[2]
        if point == Point.EMBED and layer:
            raise BadName("a site", text, "0.embed: there is one embedding, before layer 0")
        if point == "resid_pre":
            return cls(layer - 1, Point.RESID_POST) if layer else cls(0, Point.EMBED)
        return cls(layer, Point(point))


_RESID_PRE = ("hook_resid_pre", "hook_in")
"""Names of the residual stream before a block, which is that after the block before."""


def hook_of_site(site: Site) -> str:
    """The hook name that an SAE's record gives for a site: `15.resid_post` -> `blocks.15.hook_resid_post`."""
    return site.point.row.recorded.format(layer=site.layer)


def site_of_hook(hook_name: str) -> Site:
    """The site that a TransformerLens hook name means: `blocks.15.hook_resid_post` -> `15.resid_post`.

    Raises:
        BadName: for a hook that is not one of our points.
    """
    match = re.fullmatch(r"blocks\.([0-9]{1,4})\.([a-z_.]+)", hook_name)
    if match and match[2] in _RESID_PRE:
        return Site.parse(f"{match[1]}.resid_pre")
    general = f"blocks.{{layer}}.{match[2]}" if match else hook_name
    for point in Point:
        if general in (point.row.recorded, *point.row.aliases):
            return Site(int(match[1]) if match else 0, point)
    raise BadName("the hook of a site we read", hook_name, "blocks.LAYER.hook_resid_post or the like")


@dataclass(frozen=True, order=True)
class ModelId:
    """A model, printed `owner/name` or `owner/name@revision`."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @classmethod
    def parse(cls, text: str) -> "ModelId":
        """Read `owner/name[@revision]`.

        Raises:
            BadName: if the name or the revision is empty.
        """
        repo, at, revision = text.partition("@")
        if not repo or (at and not revision):
            raise BadName("a model", text, "OWNER/NAME or OWNER/NAME@REVISION")
        return cls(repo, revision or None)


@dataclass(frozen=True, order=True)
class SaeId:
    """An SAE, printed `release/name`; the name may itself contain slashes, the release may not."""

    release: str
    name: str

    def __post_init__(self) -> None:
        if not self.release or not self.name or "/" in self.release:
            raise BadName("an SAE", f"{self.release}/{self.name}", "RELEASE/NAME, for example smollm2-135m/15.resid_post")

    def __str__(self) -> str:
        return f"{self.release}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "SaeId":
        """Read `release/name`.

        Raises:
            BadName: if either half is empty.
        """
        release, _, name = text.partition("/")
        return cls(release, name)


@dataclass(frozen=True, order=True)
class LatentId:
    """One latent of an SAE, printed `release/name/index`: the form used in URLs, files and on the command line."""

    sae: SaeId
    index: int
    """0 to n_latents - 1."""

    def __str__(self) -> str:
        return f"{self.sae}/{self.index}"

    @classmethod
    def parse(cls, text: str) -> "LatentId":
        """Read `release/name/index`.

        Raises:
            BadName: if the last part is not a whole number or the rest is not an SAE.
        """
        sae, _, index = text.rpartition("/")
        if not (index.isascii() and index.isdigit() and len(index) <= 9) or "/" not in sae:
            raise BadName("a latent", text, "RELEASE/NAME/INDEX, for example smollm2-135m/15.resid_post/812")
        return cls(SaeId.parse(sae), int(index))
