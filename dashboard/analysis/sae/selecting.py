"""Which installed SAEs are meant by names of releases, of SAEs and of folders."""

from collections.abc import Sequence
from pathlib import Path

from dashboard.analysis.errors import UnknownSae
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec, folder_id

LONGEST_PATH = 1000


def select(catalog: Catalog, wanted: Sequence[str]) -> list[SaeSpec]:
    """The specs of installed SAEs (`smollm2-135m/15.resid_post`), of all of a release (`smollm2-135m`), and of folders that the
    catalogue knows, in the order given.

    Raises:
        UnknownSae: if a name is none of these.
    """
    specs: list[SaeSpec] = []
    for name in wanted:
        of_release = [spec for spec in catalog.specs if spec.id.release == name]
        if not of_release and "/" not in name and not is_folder(name):
            raise UnknownSae(name, sorted({spec.id.release for spec in catalog.specs}))
        specs += of_release or [select_one(catalog, name)]
    return specs


def select_one(catalog: Catalog, name: str) -> SaeSpec:
    """The spec of one installed SAE, or of a folder that the catalogue knows.

    Raises:
        BadName: if it is neither a folder nor of the form RELEASE/NAME.
        UnknownSae, BrokenSaeFile: if it is not installed, or cannot be read.
    """
    return catalog.get(folder_id(Path(name)) if is_folder(name) else SaeId.parse(name))


def is_folder(name: str) -> bool:
    """True if it is the folder of an SAE in sae-lens' layout, or looks like it."""
    return len(name) < LONGEST_PATH and (Path(name) / "cfg.json").is_file()
