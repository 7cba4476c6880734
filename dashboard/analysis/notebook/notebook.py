"""What people write down on one installation: labels and notes of latents, and lists of latents.

One SQLite file in write-ahead mode; any number of threads and processes may use it. Every call opens it anew: a call
takes less than a millisecond or two, and nothing is shared that a thread could break.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from dashboard.analysis.errors import BadAsk, CacheUnwritable, NotDone, NotUsable
from dashboard.analysis.names import LatentId
from dashboard.analysis.tokens import whole_characters

MAX_NAME = 80
"""Characters of a list's name."""
MAX_LABEL = 200
"""Characters of a latent's own label."""
MAX_ENTRIES = 1024
"""Latents of one list."""
SCHEMA = 1
_WAIT_S = 20.0
_TABLES = """
CREATE TABLE notes (latent TEXT PRIMARY KEY, label TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE lists (name TEXT PRIMARY KEY, description TEXT NOT NULL, test_text TEXT NOT NULL);
CREATE TABLE entries (list TEXT NOT NULL, place INTEGER NOT NULL, latent TEXT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (list, place));
"""


@dataclass(frozen=True)
class Note:
    """What a user wrote about a latent. Both empty: nothing."""

    label: str = ""
    """One line, shown in place of the automatic label; surrounding space is dropped."""
    text: str = ""

    def __post_init__(self) -> None:
        label = " ".join(whole_characters(self.label).split())
        if len(label) > MAX_LABEL:
            raise BadAsk(f"This label is {len(label):,} characters; the limit is {MAX_LABEL}. Put the rest into the note.")
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "text", whole_characters(self.text).strip())


@dataclass(frozen=True)
class ListEntry:
    """A latent in a list."""

    latent: LatentId
    note: str = ""
    """What it does in this list; surrounding space is dropped."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", whole_characters(self.note).strip())


@dataclass(frozen=True)
class LatentList:
    """A named list of latents, each once, in an order of its own."""

    name: str
    """1 to MAX_NAME characters on one line; surrounding space is dropped."""
    description: str = ""
    test_text: str = ""
    """A text that is read by all of its latents."""
    entries: tuple[ListEntry, ...] = ()

    def __post_init__(self) -> None:
        name = " ".join(whole_characters(self.name).split())
        if not 1 <= len(name) <= MAX_NAME:
            raise BadAsk(f"The name of a list has 1 to {MAX_NAME} characters; this one has {len(name)}.")
        if len(self.entries) > MAX_ENTRIES:
            raise BadAsk(f"{name} would hold {len(self.entries):,} latents; the limit is {MAX_ENTRIES:,}. Split it into two lists.")
        latents = [entry.latent for entry in self.entries]
        twice = next((latent for place, latent in enumerate(latents) if latent in latents[:place]), None)
        if twice:
            raise BadAsk(f"{twice} is already in {name}; a list holds each latent once.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", whole_characters(self.description).strip())
        object.__setattr__(self, "test_text", whole_characters(self.test_text))

    def with_entries(self, *entries: ListEntry) -> "LatentList":
        """The list with more latents at its end; of those that are in it already, a note that is not empty replaces the old one."""
        merged = {entry.latent: entry for entry in self.entries}
        for entry in entries:
            if entry.latent not in merged or entry.note:
                merged[entry.latent] = entry
        return replace(self, entries=tuple(merged.values()))


class Notebook:
    """The labels, notes and lists in one file. The file is made when something is first written or read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, latent: LatentId) -> Note:
        """The note of one latent; an empty one if nothing was written."""
        with self._open() as base:
            row = base.execute("SELECT label, text FROM notes WHERE latent = ?", (str(latent),)).fetchone()
        return Note(*row) if row else Note()

    def write_note(self, latent: LatentId, note: Note) -> None:
        """Replace the note of a latent; an empty one removes it."""
        with self._writing() as base:
            if note == Note():
                base.execute("DELETE FROM notes WHERE latent = ?", (str(latent),))
            else:
                base.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (str(latent), note.label, note.text))

    def notes(self) -> dict[LatentId, Note]:
        """Every note that there is."""
        with self._open() as base:
            rows = base.execute("SELECT latent, label, text FROM notes ORDER BY latent").fetchall()
        return {LatentId.parse(latent): Note(label, text) for latent, label, text in rows}

    def lists(self) -> tuple[LatentList, ...]:
        """Every list, by name."""
        with self._open() as base:
            base.execute("BEGIN")
            names = [name for (name,) in base.execute("SELECT name FROM lists ORDER BY lower(name), name").fetchall()]
            return tuple(self._read(base, name) for name in names)

    def get_list(self, name: str) -> LatentList:
        """One list.

        Raises:
            BadAsk: if there is none of that name; it names those that are.
        """
        with self._open() as base:
            base.execute("BEGIN")
            return self._read(base, name)

    def save_list(self, latents: LatentList) -> None:
        """Keep a list; one of the same name is replaced."""
        with self._writing() as base:
            self._write(base, latents)

    def change_list(self, name: str, change: Callable[[LatentList], LatentList]) -> LatentList:
        """Read, change and save a list in one transaction, so that no change is lost. Returns what was kept.

        Raises:
            BadAsk: if there is none of that name, or the changed one takes the name of another.
        """
        with self._writing() as base:
            old = self._read(base, name)
            new = change(old)
            if new.name != old.name:
                if base.execute("SELECT 1 FROM lists WHERE name = ?", (new.name,)).fetchone():
                    raise BadAsk(f"A list named {new.name} already exists. Choose another name, or delete that list first.")
                self._delete(base, old.name)
            self._write(base, new)
        return new

    def delete_list(self, name: str) -> None:
        """Remove a list; its latents keep their labels and notes. A list that is not there is no error."""
        with self._writing() as base:
            self._delete(base, name)

    @staticmethod
    def _read(base: sqlite3.Connection, name: str) -> LatentList:
        row = base.execute("SELECT description, test_text FROM lists WHERE name = ?", (whole_characters(name),)).fetchone()
        if row is None:
            names = [other for (other,) in base.execute("SELECT name FROM lists ORDER BY lower(name), name LIMIT 5")]
            raise BadAsk(f"There is no list named {name[:MAX_NAME]!r} here. Available lists: {', '.join(names) or 'none'}.")
        entries = base.execute("SELECT latent, note FROM entries WHERE list = ? ORDER BY place", (name,)).fetchall()
        description, test_text = row
        return LatentList(name, description, test_text, tuple(ListEntry(LatentId.parse(latent), note) for latent, note in entries))

    @staticmethod
    def _write(base: sqlite3.Connection, latents: LatentList) -> None:
        Notebook._delete(base, latents.name)
        base.execute("INSERT INTO lists VALUES (?, ?, ?)", (latents.name, latents.description, latents.test_text))
        rows = [(latents.name, place, str(entry.latent), entry.note) for place, entry in enumerate(latents.entries)]
        base.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)

    @staticmethod
    def _delete(base: sqlite3.Connection, name: str) -> None:
        for table, column in (("lists", "name"), ("entries", "list")):
            base.execute(f"DELETE FROM {table} WHERE {column} = ?", (whole_characters(name),))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is kept whole or not at all."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            yield base
            base.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection with the tables; closing it takes back what was not committed.

        Raises:
            NotUsable: if the file is damaged, or of a later version.
            CacheUnwritable: if the place cannot be written.
            NotDone: if somebody else has been writing for longer than anybody should.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_WAIT_S, isolation_level=None)) as base:
                if self._version(base) == 0:
                    self._set_up(base)
                if self._version(base) != SCHEMA:
                    raise NotUsable(
                        f"The notebook {self._file} is of version {self._version(base)}; this dashboard reads version {SCHEMA}. "
                        "Update the dashboard, or move that file away to start with an empty one."
                    )
                base.execute("PRAGMA synchronous = NORMAL")
                yield base
        except OSError as error:
            raise CacheUnwritable(self._file.parent, error) from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise NotDone(f"The notebook {self._file} was busy for {_WAIT_S:g} s ({error}). Try again in a moment.") from error
            if error.sqlite_errorcode & 0xFF in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
                sqlite3.SQLITE_FULL,
                sqlite3.SQLITE_IOERR,
            ):
                raise CacheUnwritable(self._file.parent, OSError(str(error))) from error
            raise self._damaged(error) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> NotUsable:
        return NotUsable(
            f"The notebook {self._file} is damaged: {error}. "
            "Restore a backup, or move it away to start with an empty one; lists can be imported again from their exports."
        )

    def _set_up(self, base: sqlite3.Connection) -> None:
        # Changing to write-ahead mode does not wait for others, so it is done once, under a lock.
        with FileLock(self._file.with_name(self._file.name + ".lock"), timeout=_WAIT_S):
            if self._version(base) == 0:
                base.execute("PRAGMA journal_mode = WAL")
                base.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")

    @staticmethod
    def _version(base: sqlite3.Connection) -> int:
        return int(base.execute("PRAGMA user_version").fetchone()[0])
