"""Which SAEs there are: those that ship, and those in the folders of the settings. Reads records, never weights."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.analysis.chosen import chosen_model
from dashboard.analysis.errors import BadName, BrokenSaeFile, UnknownLatent, UnknownSae
from dashboard.analysis.kinship import Kinship, kinship
from dashboard.analysis.names import LatentId, ModelId, SaeId, Site, site_of_hook
from dashboard.analysis.settings import ASSETS, Settings

FETCHED = "releases"
"""Folder of the cache with what was fetched by name: RELEASE/NAME/ in sae-lens' layout."""


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
        """Those of a model, its base or chat model included, and those of which nobody knows the model."""
        return Catalog(tuple(spec for spec in self.specs if kinship(spec.model, model) is not Kinship.OTHER), self.broken)

    def release_of(self, sae: SaeId) -> tuple[SaeSpec, ...]:
        """Every SAE of the same release, by layer and site."""
        return tuple(spec for spec in self.specs if spec.id.release == sae.release)


def read_catalog(settings: Settings, assets: Path = ASSETS) -> Catalog:
    """Look through `assets/saes/RELEASE/NAME.json` and through every folder of the settings, packed SAEs and folders alike."""
    found: list[SaeSpec] = []
    broken: dict[SaeId, BrokenSaeFile] = {}

    def add(spec: SaeSpec) -> None:
        if spec.id in {other.id for other in found}:
            raise BrokenSaeFile(spec.source, f"another SAE is already called {spec.id}; rename one of the folders")
        found.append(spec)

    shipped = sorted((assets / "saes").glob("*/*.json"))
    own = [record for release in settings.sae_folders for record in sorted(release.glob("*.json"))]
    loaded = chosen_model(settings)
    if settings.model:
        # Folders that somebody named are shown whatever the model; what merely lies here, if it is of this model.
        shipped = [record for record in shipped if _is_of(record, loaded)]
    for record in [*shipped, *(record for record in own if record.with_suffix(".safetensors").is_file())]:
        name = SaeId(record.parent.name, record.stem)
        try:
            add(_packed_spec(name, record))
        except BrokenSaeFile as error:
            broken[name] = error
    for folder in (path.parent for release in settings.sae_folders for path in sorted(release.glob("*/cfg.json"))):
        try:
            add(folder_spec(folder))
        except BrokenSaeFile as error:
            broken[folder_id(folder)] = error
    for folder in sorted((settings.cache / FETCHED).rglob("cfg.json")):
        sae = fetched_id(folder.parent, settings.cache)
        try:
            spec = _folder_spec(sae, folder.parent)
            if kinship(spec.model, loaded) is not Kinship.OTHER:
                add(spec)
        except BrokenSaeFile as error:
            broken[sae] = error
    return Catalog(tuple(sorted(found, key=lambda spec: (spec.id.release, spec.site, spec.id.name))), broken)


def folder_id(folder: Path) -> SaeId:
    """The name of an SAE folder: its release is the folder above, or the run's if that is the `saes` of a run."""
    above = folder.absolute().parent
    return SaeId(above.parent.name if above.name == "saes" and above.parent.name else above.name, folder.absolute().name)


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
    return _spec(sae, folder, config, record)


def _packed_spec(name: SaeId, record_file: Path) -> SaeSpec:
    weights = record_file.with_suffix(".safetensors")
    record = _read_json(record_file, record_file)
    if not weights.is_file() or not isinstance(record.get("config"), dict):
        raise BrokenSaeFile(record_file, "its weights or its config are missing")
    return _spec(name, weights, record["config"], record)


def _spec(sae: SaeId, source: Path, config: dict[str, Any], record: dict[str, Any]) -> SaeSpec:
    try:
        metadata = dict(config.get("metadata") or {})
        site = site_of_hook(str(metadata.get("hook_name")))
        model = ModelId.parse(str(metadata["model_name"])) if metadata.get("model_name") else None
        kind = str(record.get("kind") or config["architecture"])
        if not all(isinstance(value, int | float) for value in dict(record.get("evaluation", {})).values()):
            raise ValueError("its record has a figure that is no number")
        return SaeSpec(sae, model, site, int(config["d_in"]), int(config["d_sae"]), kind, source, config, record)
    except (BadName, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BrokenSaeFile(source, f"cfg.json does not say what is needed ({error})") from error


def _read_json(path: Path, source: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenSaeFile(source, f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise BrokenSaeFile(source, f"{path.name} is not an object")
    return value
