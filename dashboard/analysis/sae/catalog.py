"""Which SAEs there are: those that ship, and those in the folders of the settings. Reads records and headers, never weights."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import BadName, BrokenSaeFile, UnknownLatent, UnknownSae
from dashboard.analysis.names import LatentId, ModelId, SaeId, Site, site_of_hook
from dashboard.analysis.roster.chosen import chosen_model
from dashboard.analysis.roster.kinship import Kinship, caution, kinship
from dashboard.analysis.roster.models import brought_folders
from dashboard.analysis.settings import ASSETS, Settings
from dashboard.analysis.system.files import read_json_object, safetensors_shapes

FETCHED = "releases"
"""Folder of the cache with what was fetched by name: RELEASE/NAME/ in sae-lens' layout."""
_READABLE = ("standard", "gated", "topk", "jumprelu", "matching_pursuit")
"""sae-lens' architectures that read a token at one site and rebuild it there, with activations of 0 or above."""
_LONGEST_NAME = 1000
"""Characters of a model's name, which may be a folder."""
_MOST = 1 << 31
"""More latents, or a greater width, than any dictionary has."""


@dataclass(frozen=True)
class SaeSpec:
    """What is known of an SAE before its weights are read. What is not known is None."""

    id: SaeId
    model: ModelId | None
    site: Site
    d_in: int
    n_latents: int
    kind: str
    """How it was trained: batchtopk, jumprelu ..."""
    source: Path
    """The packed file, or the folder in sae-lens' layout."""
    config: dict[str, Any]
    """sae-lens' cfg.json."""
    record: dict[str, Any]
    """How it was trained and what was measured; empty when not known."""

    @property
    def is_packed(self) -> bool:
        """True for the shipped 8-bit form."""
        return self.source.suffix == ".safetensors"

    @property
    def hook(self) -> str:
        """TransformerLens' name of what it reads, as its config gives it."""
        return _hook(self.config)

    def caution(self, model: ModelId) -> str | None:
        """What a reader must know before believing it on a model; None if there is nothing."""
        said = [caution(self.model, model)]
        if self.config.get("normalize_activations") == "expected_average_only_in":
            said.append(
                f"trained on activations scaled to a mean norm of {self.d_in**0.5:.1f}, the square root of its width, and its files do not "
                "say by which factor: read without it, it is another dictionary, unless its FVU says otherwise. Fold the factor into its "
                "weights with sae-lens' fold_activation_norm_scaling_factor."
            )
        return " It was ".join(filter(None, said)) or None

    @property
    def wants_bos(self) -> bool | None:
        """Whether it was trained on texts that begin with a BOS token; None if its config does not say."""
        inner = self.config.get("metadata")
        said = inner.get("prepend_bos") if isinstance(inner, dict) else None
        said = self.config.get("prepend_bos") if said is None else said
        return said if isinstance(said, bool) else None

    def measured(self, name: str) -> float | None:
        """A figure from the record's evaluation: l0, fvu, ce_recovered, dead_share, decoder_cosine."""
        value = self.record.get("evaluation", {}).get(name)
        return None if value is None else float(value)

    def latent(self, index: int) -> LatentId:
        """The name of one of its latents.

        Raises:
            UnknownLatent: if the index is outside the SAE.
        """
        if not 0 <= index < self.n_latents:
            raise UnknownLatent(index, str(self.id), self.n_latents)
        return LatentId(self.id, index)


@dataclass(frozen=True)
class Catalog:
    """All SAEs of this installation, by release, layer and site."""

    specs: tuple[SaeSpec, ...]
    broken: Mapping[SaeId, BrokenSaeFile] = field(default_factory=dict)
    """Entries that were found but could not be read; the rest is unharmed."""

    def get(self, sae: SaeId) -> SaeSpec:
        """The spec of one SAE.

        Raises:
            UnknownSae: naming the nearest.
            BrokenSaeFile: if it is there but unreadable.
        """
        for spec in self.specs:
            if spec.id == sae:
                return spec
        if sae in self.broken:
            raise self.broken[sae]
        names = [str(spec.id) for spec in self.specs]
        raise UnknownSae(str(sae), difflib.get_close_matches(str(sae), names, 3, 0.3) or names[:3])

    def latent(self, latent: LatentId) -> LatentId:
        """The same name, once it is certain that it exists.

        Raises:
            UnknownSae, UnknownLatent: if it does not.
        """
        return self.get(latent.sae).latent(latent.index)

    def made_for(self, model: ModelId) -> "Catalog":
        """Those of a model, its base or chat model included, and those whose model is unknown."""
        return Catalog(tuple(spec for spec in self.specs if kinship(spec.model, model) is not Kinship.OTHER), self.broken)

    def release_of(self, sae: SaeId) -> tuple[SaeSpec, ...]:
        """Every SAE of the same release, by layer and site."""
        return tuple(spec for spec in self.specs if spec.id.release == sae.release)


def read_catalog(settings: Settings, assets: Path = ASSETS) -> Catalog:
    """Look through `assets/saes/RELEASE/`, the folders of the settings, those that were brought, and what was fetched.

    The default model's dictionaries ship, and folders of the settings were named by somebody: these are shown whatever the model.
    The rest are shown if they may be of the model that is chosen.
    """
    found: list[SaeSpec] = []
    broken: dict[SaeId, BrokenSaeFile] = {}
    loaded = chosen_model(settings)

    def add(id: SaeId, read: Callable[[], SaeSpec], is_named: bool) -> None:
        try:
            spec = read()
            if not is_named and kinship(spec.model, loaded) is Kinship.OTHER:
                return
            if spec.id in {other.id for other in found}:
                raise BrokenSaeFile(spec.source, f"another SAE is already called {spec.id}; rename one of the folders")
            found.append(spec)
        except BrokenSaeFile as error:
            broken[id] = error

    for record in sorted((assets / "saes").glob("*/*.json")):
        if not settings.model or _is_of(record, loaded):
            name = SaeId(record.parent.name, record.stem)
            add(name, partial(_packed_spec, name, record), is_named=True)
    brought = [folder for folder in brought_folders(settings) if folder not in settings.sae_folders]
    for release in (*settings.sae_folders, *brought):
        is_named = release in settings.sae_folders
        for record in sorted(release.glob("*.json")):
            if record.with_suffix(".safetensors").is_file():
                name = SaeId(record.parent.name, record.stem)
                add(name, partial(_packed_spec, name, record), is_named)
        for config in sorted(release.glob("*/cfg.json")):
            name = folder_id(config.parent)
            add(name, partial(_folder_spec, name, config.parent), is_named)
    for config in sorted((settings.cache / FETCHED).rglob("cfg.json")):
        name = fetched_id(config.parent, settings.cache)
        add(name, partial(_folder_spec, name, config.parent), is_named=False)
    return Catalog(tuple(sorted(found, key=lambda spec: (spec.id.release, spec.site, spec.id.name))), broken)


def folder_id(folder: Path) -> SaeId:
    """The name of an SAE folder: its release is the folder above, or the run's if that is the `saes` of a run."""
    above = folder.absolute().parent
    release = above.parent.name if above.name == "saes" and above.parent.name else above.name
    return SaeId(release or "folder", folder.absolute().name or "sae")


def folder_spec(folder: Path) -> SaeSpec:
    """The spec of an SAE folder in sae-lens' layout.

    Raises:
        BrokenSaeFile: if cfg.json is missing or says nothing of the site.
    """
    return _folder_spec(folder_id(folder), folder)


def fetched_folder(sae: SaeId, cache: Path) -> Path:
    """Where an SAE that was fetched by name lies.

    Raises:
        BadName: if its name would lead out of the cache.
    """
    parts = [sae.release, *sae.name.split("/")]
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise BadName("an SAE", str(sae), "RELEASE/NAME, for example gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical")
    return cache.joinpath(FETCHED, *parts)


def fetched_id(folder: Path, cache: Path) -> SaeId:
    """The name of an SAE by where it lies among those that were fetched."""
    release, *name = folder.relative_to(cache / FETCHED).parts
    return SaeId(release, "/".join(name) or "sae")


def _is_of(record: Path, model: ModelId) -> bool:
    try:
        named = _read_json(record, record)["config"]["metadata"]["model_name"]
        return kinship(ModelId.parse(str(named)), model) in (Kinship.SAME, Kinship.TWIN)
    except (BadName, BrokenSaeFile, KeyError, TypeError):
        return False


def _folder_spec(sae: SaeId, folder: Path) -> SaeSpec:
    config = _read_json(folder / "cfg.json", folder)
    record_file = folder / "record.json"
    record = _read_json(record_file, folder) if record_file.is_file() else {}
    spec = _spec(sae, folder, config, record)
    wanted = {"W_enc": (spec.d_in, spec.n_latents), "W_dec": (spec.n_latents, spec.d_in)}
    if config.get("architecture") == "matching_pursuit":  # it has a decoder only
        del wanted["W_enc"]
    _check_shapes(spec, folder / "sae_weights.safetensors", wanted)
    return spec


def _packed_spec(name: SaeId, record_file: Path) -> SaeSpec:
    weights = record_file.with_suffix(".safetensors")
    record = _read_json(record_file, record_file)
    if not weights.is_file() or not isinstance(record.get("config"), dict):
        raise BrokenSaeFile(record_file, "its weights or its config are missing")
    spec = _spec(name, weights, record["config"], record)
    rows = (spec.n_latents, spec.d_in)
    _check_shapes(spec, weights, {"encoder_rows": rows, "decoder_rows": rows})
    return spec


def _check_shapes(spec: SaeSpec, weights: Path, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Look at the header of the weights: a damaged file is recognised before it is chosen."""
    try:
        shapes = safetensors_shapes(weights)
    except (OSError, ValueError) as error:
        raise BrokenSaeFile(spec.source, f"its weights are damaged: {error}") from error
    for name, shape in wanted.items():
        if shapes.get(name) != shape:
            have = "is missing" if name not in shapes else f"is {shapes[name]}"
            raise BrokenSaeFile(spec.source, f"{name} {have} in {weights.name}, its config says {shape}")


def _hook(config: dict[str, Any]) -> str:
    # Before version 6, sae-lens wrote everything at one level.
    metadata = dict(config.get("metadata", config))
    return str(metadata.get("hook_name") or metadata.get("hook_point"))


def _spec(sae: SaeId, source: Path, config: dict[str, Any], record: dict[str, Any]) -> SaeSpec:
    try:
        # Before version 6, sae-lens wrote everything at one level, and no architecture but the standard one.
        metadata = dict(config.get("metadata", config))
        site = site_of_hook(_hook(config))
        model = ModelId.parse(str(metadata["model_name"])) if metadata.get("model_name") else None
        if model is not None and (len(str(model)) > _LONGEST_NAME or not str(model).isprintable()):
            raise ValueError(f"its model's name {str(model)[:40]!r} is none")
        architecture = str(config["architecture"] if "metadata" in config else config.get("architecture", "standard"))
        if architecture not in _READABLE:
            raise ValueError(f"{architecture[:40]!r} dictionaries are not read here, only {', '.join(_READABLE)}")
        if metadata.get("hook_head_index") is not None:
            raise ValueError(f"it reads head {metadata['hook_head_index']} of a layer alone; sites have all heads")
        for name, value in dict(record.get("evaluation", {})).items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} of its record is not a number")
        widths = config["d_in"], config["d_sae"]
        if not all(isinstance(width, int) and 0 < width <= _MOST for width in widths):
            raise ValueError(f"a width of {str(widths[0])[:20]} and {str(widths[1])[:20]} latents cannot be")
        kind = str(record.get("kind") or ("topk" if config.get("activation_fn") == "topk" else architecture))
        return SaeSpec(sae, model, site, *widths, kind, source, config, record)
    except (BadName, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BrokenSaeFile(source, f"cfg.json does not say what is needed ({error})") from error


def _read_json(path: Path, source: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except ValueError as error:
        raise BrokenSaeFile(source, str(error)) from error
