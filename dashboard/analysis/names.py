"""Names of things: parse and print, nothing else. Every name round-trips; nobody else splits the string."""

import re
from dataclasses import dataclass
from enum import StrEnum

from dashboard.analysis.errors import BadName


class Point(StrEnum):
    """Where in a transformer block an activation is read. Terms as in TransformerLens."""

    EMBED = "embed"
    """Residual stream before block 0: the token embedding as the block gets it, with positions where the model adds them there."""
    RESID_POST = "resid_post"
    """Residual stream after the block."""
    RESID_MID = "resid_mid"
    """Residual stream between attention and MLP."""
    ATTN_OUT = "attn_out"
    """What the attention layer adds to the residual stream."""
    ATTN_Z = "attn_z"
    """Outputs of all heads side by side, before the attention layer's output matrix."""
    MLP_OUT = "mlp_out"
    """What the MLP adds to the residual stream."""


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model, printed `15.resid_post`. `resid_pre` of a layer is read as `resid_post` of the one before."""

    layer: int
    """Block number from 0; 0 for `embed`."""
    point: Point

    def __str__(self) -> str:
        return f"{self.layer}.{self.point.value}"

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


_HOOK_POINTS = {
    "hook_resid_post": "resid_post",
    "hook_out": "resid_post",
    "hook_resid_pre": "resid_pre",
    "hook_in": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_attn_out": "attn_out",
    "attn.hook_z": "attn_z",
    "hook_z": "attn_z",
    "attn.o.hook_in": "attn_z",
    "attn.hook_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "mlp.hook_out": "mlp_out",
}


def hook_of_site(site: Site) -> str:
    """The hook name that an SAE's record gives for a site: `15.resid_post` -> `blocks.15.hook_resid_post`."""
    if site.point is Point.EMBED:
        return "blocks.0.hook_resid_pre"
    return f"blocks.{site.layer}.attn.hook_z" if site.point is Point.ATTN_Z else f"blocks.{site.layer}.hook_{site.point.value}"


def site_of_hook(hook_name: str) -> Site:
    """The site that a TransformerLens hook name means: `blocks.15.hook_resid_post` -> `15.resid_post`.

    Raises:
        BadName: for a hook that is not one of our points.
    """
    if hook_name in ("hook_embed", "embed.hook_out"):
        return Site(0, Point.EMBED)
    match = re.fullmatch(r"blocks\.([0-9]{1,4})\.([a-z_.]+)", hook_name)
    if match is None or match[2] not in _HOOK_POINTS:
        raise BadName("the hook of a site we read", hook_name, "blocks.LAYER.hook_resid_post or the like")
    return Site.parse(f"{match[1]}.{_HOOK_POINTS[match[2]]}")


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
