"""Types of entities that people bring: a TOML file, and a CSV file of the same name."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

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


def keep_type(toml: Uploaded, table: Uploaded, folder: Path, taken: frozenset[str]) -> EntityTable:
    """Check both files and put them in the folder, under the name of the first; the table as it was read.

    Raises:
        BadAsk: if the name is taken by a type that did not come this way.
        BrokenEntityFile: naming every row and field that is wrong.
    """
    stem = Path(toml.name).stem
    with TemporaryDirectory() as scratch:
        kind_file, table_file = Path(scratch) / f"{stem}.toml", Path(scratch) / f"{stem}.csv"
        kind_file.write_bytes(toml.getvalue())
        table_file.write_bytes(table.getvalue())
        found = read_table(read_kind(kind_file))
        if found.kind.name in taken and not (folder / kind_file.name).is_file():
            raise BadAsk(f"There is a type {found.kind.name} already. Call both of your files otherwise, for example my_{stem}.toml.")
        folder.mkdir(parents=True, exist_ok=True)
        for file in (kind_file, table_file):
            writing = folder / f"{file.name}.writing"
            writing.write_bytes(file.read_bytes())
            writing.replace(folder / file.name)
    return found
