"""Names of things: parse and print, nothing else. Every name round-trips; no other code splits the string."""

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
    """The part of a block that a point belongs to, in the order of a forward pass."""

    EMBEDDING = "embed"
    ATTENTION = "attn"
    MIDDLE = "mid"
    """The residual stream between attention and MLP."""
    MLP = "mlp"
    STREAM = "resid"
    """The residual stream after the block."""


@dataclass(frozen=True)
class PointRow:
    """All that is known of a point: one row of the table of points. Everything else reads it."""

    meaning: str
    """In plain words, shown to users."""
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
            Part.EMBEDDING,
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
            Part.MIDDLE,
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


class NodeKind(StrEnum):
    """What a node of a graph over a model is."""

    LATENT = "latent"
    ERROR = "error"
    """What the dictionary of a site leaves out: the activation less its reconstruction."""
    TOKEN = "token"
    """A token that is read."""
    LOGIT = "logit"
    """A token that may come next."""


_MOST_POSITIONS = 10**7


@dataclass(frozen=True)
class NodeId:
    """A node of a graph over a model, at a position of a text or at none.

    Printed `release/name/index` for a latent, `error:15.resid_post`, `token:464` and `logit:464` for the others, each with `@7` behind it
    at position 7. Made by `of_latent`, `of_error`, `of_token`, `of_logit`.
    """

    kind: NodeKind
    position: int | None = None
    """Token of the text, from 0; None where the node belongs to no text or to all of it."""
    latent: LatentId | None = None
    site: Site | None = None
    """Of an error."""
    token: int | None = None
    """Of a token or a logit: its number in the vocabulary."""

    def __post_init__(self) -> None:
        has = {NodeKind.LATENT: self.latent, NodeKind.ERROR: self.site, NodeKind.TOKEN: self.token, NodeKind.LOGIT: self.token}
        given = [one for one in (self.latent, self.site, self.token) if one is not None]
        small = all(number is None or 0 <= number < _MOST_POSITIONS for number in (self.position, self.token))
        if given != [has[self.kind]] or not small:
            raise BadName("a node", f"{self.kind} {given} at {self.position}", "a latent, the site of an error, or a token, and a position")

    @classmethod
    def of_latent(cls, latent: LatentId, position: int | None = None) -> "NodeId":
        """A latent."""
        return cls(NodeKind.LATENT, position, latent=latent)

    @classmethod
    def of_error(cls, site: Site, position: int | None = None) -> "NodeId":
        """What the dictionary of a site leaves out."""
        return cls(NodeKind.ERROR, position, site=site)

    @classmethod
    def of_token(cls, token: int, position: int | None = None) -> "NodeId":
        """A token that is read."""
        return cls(NodeKind.TOKEN, position, token=token)

    @classmethod
    def of_logit(cls, token: int, position: int | None = None) -> "NodeId":
        """A token that may come after a position."""
        return cls(NodeKind.LOGIT, position, token=token)

    def __str__(self) -> str:
        what = self.latent or self.site
        name = str(self.latent) if self.latent else f"{self.kind.value}:{self.token if what is None else what}"
        return name if self.position is None else f"{name}@{self.position}"

    @classmethod
    def parse(cls, text: str) -> "NodeId":
        """Read what is printed.

        Raises:
            BadName: if it is of another form.
        """
        form = "RELEASE/NAME/INDEX, error:SITE, token:NUMBER or logit:NUMBER, with @POSITION behind it or without"
        match = re.fullmatch(r"(.*?)(?:@([0-9]{1,7}))?", text, re.DOTALL)
        assert match is not None
        name, position = match[1], None if match[2] is None else int(match[2])
        if "/" in name:
            return cls.of_latent(LatentId.parse(name), position)
        kind, _, what = name.partition(":")
        if kind == NodeKind.ERROR:
            return cls.of_error(Site.parse(what), position)
        if kind not in (NodeKind.TOKEN, NodeKind.LOGIT) or not re.fullmatch(r"[0-9]{1,7}", what):
            raise BadName("a node", text, form)
        return cls(NodeKind(kind), position, token=int(what))
