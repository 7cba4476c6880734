"""Types of entities added by users: a CSV file, and a TOML file that says how its columns are asked; without one, plainly."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from dashboard.analysis.entities.bare import bare_kind, stem_of
from dashboard.analysis.entities.kinds import read_kind
from dashboard.analysis.entities.tables import EntityTable, read_table
from dashboard.analysis.errors import BadAsk


class Uploaded(Protocol):
    """A file as Streamlit gives it."""

    @property
    def name(self) -> str:
        """As it was called."""
        ...

    def getvalue(self) -> bytes:
        """What is in it."""
        ...


def keep_type(toml: Uploaded | None, table: Uploaded, folder: Path, taken: frozenset[str]) -> EntityTable:
    """Check both files and save them in the folder, under the name of the TOML file; the table as it was read.

    Without a TOML file each column is asked in plain words, and the CSV file gives the name.

    Raises:
        BadAsk: if the name is taken by a type that did not come this way.
        BrokenEntityFile: naming every row and field that is wrong.
    """
    stem = stem_of(table.name) if toml is None else Path(toml.name).stem
    with TemporaryDirectory() as scratch:
        kind_file, table_file = Path(scratch) / f"{stem}.toml", Path(scratch) / f"{stem}.csv"
        kind_file.write_bytes(bare_kind(stem, table.getvalue()).encode() if toml is None else toml.getvalue())
        table_file.write_bytes(table.getvalue())
        found = read_table(read_kind(kind_file))
        if found.kind.name in taken and not (folder / kind_file.name).is_file():
            raise BadAsk(f"A type {found.kind.name} already exists. Rename both files, for example to my_{stem}.toml.")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (kind_file, table_file):
            writing = folder / f"{file.name}.writing"
            writing.write_bytes(file.read_bytes())
            writing.replace(folder / file.name)
    return found


def remove_type(name: str, folder: Path) -> None:
    """Take both files of a type out of the folder. Studies of it stay."""
    for end in ("toml", "csv"):
        (folder / f"{name}.{end}").unlink(missing_ok=True)
