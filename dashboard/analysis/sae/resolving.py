"""What a name of an SAE means, wherever one is given: on the command line, on a page, to a job.

A name is, in this order: a folder in sae-lens' layout; RELEASE/NAME of the catalogue; RELEASE/ID of sae-lens' directory of public
SAEs; another folder of an SAE; OWNER/REPO/ID of a repository on the hub. Nothing is fetched and no weight is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboard.analysis.errors import BadAsk, UnknownSae
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec, folder_id, folder_spec
from dashboard.analysis.sae.public.directory import DirectoryEntry, entries, entry, find
from dashboard.analysis.sae.selecting import LONGEST_PATH, is_folder

NATIVE, SPARSIFY = "sae_weights.safetensors", "sae.safetensors"
"""Files of weights as sae-lens and sparsify call them."""


@dataclass(frozen=True)
class SaeFolder:
    """A folder of this machine."""

    path: Path
    is_native: bool
    """In sae-lens' layout: pages read it where it lies."""

    @property
    def id(self) -> SaeId:
        """The name that pages know it by."""
        return folder_id(self.path)


@dataclass(frozen=True)
class SaeRepository:
    """A folder of a repository on the hub."""

    repo: str
    inner: str
    """Path in the repository; empty for its top."""

    @property
    def id(self) -> SaeId:
        """The name that pages know it by."""
        return SaeId(self.repo.replace("/", "--"), self.inner or "sae")


def resolve(name: str, catalog: Catalog | None = None) -> SaeSpec | SaeFolder | DirectoryEntry | SaeRepository:
    """The SAE that a name stands for. Without a catalogue, nothing is looked for among those that are installed.

    Raises:
        UnknownSae: if the directory has the release but no such SAE, or the name cannot be one, with the nearest names.
    """
    folder = Path(name).expanduser().absolute() if len(name) < LONGEST_PATH else None
    if folder is not None and (folder / "cfg.json").is_file() and (folder / NATIVE).exists():
        return SaeFolder(folder, is_native=True)
    if catalog is not None and (here := next((spec for spec in catalog.specs if str(spec.id) == name), None)):
        return here
    release, _, inner = name.partition("/")
    if (known := entry(release, inner)) is not None:
        return known
    if any(one.release == release for one in entries()):
        raise UnknownSae(name, [one.name for one in find(f"{release}/ {inner}")[:4]] or [one.name for one in find(f"{release}/")[:4]])
    if folder is not None and folder.is_dir():
        return SaeFolder(folder, is_native=False)
    parts = name.strip("/").split("/")
    if len(parts) < 2:
        raise UnknownSae(name[:80], [one.name for one in find(name)[:3]])
    return SaeRepository("/".join(parts[:2]), "/".join(parts[2:]))


def with_folders(catalog: Catalog, names: Sequence[str]) -> Catalog:
    """The catalogue with the folder of an SAE that is among the names, which takes the place of one of the same name.

    Raises:
        BadAsk: if there are several.
        BrokenSaeFile: if it cannot be read.
    """
    folders = [Path(name) for name in names if is_folder(name)]
    if len(folders) > 1:
        raise BadAsk(f"{len(folders)} folders of SAEs were given; 1 can be. Name the folder that holds them in LATENTS_SAE_FOLDERS.")
    own = tuple(map(folder_spec, folders))
    return Catalog((*own, *(spec for spec in catalog.specs if spec.id not in {one.id for one in own})), catalog.broken)
