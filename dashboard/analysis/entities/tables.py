"""Entities of one type as a CSV file holds them: one row an entity, first line the names of the columns.

Column `name` is needed; `familiarity` (famous, known, obscure, invented) may be left out or empty; a column that is called
like an attribute of the type holds its right answers, separated by ";". An empty cell is not known and not asked. Other
columns are passed over. A name that stands in more than one row is left out with all its rows: which of them a model
means cannot be told.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from random import Random

from dashboard.analysis.entities.answer_matching import fits
from dashboard.analysis.entities.kinds import NUMERIC, RESERVED, EntityKind, Matcher
from dashboard.analysis.entities.quantities import parse_coordinates, whole_numbers
from dashboard.analysis.errors import BrokenEntityFile

MAX_BYTES = 64 * 2**20
"""Longest file that is read."""
MAX_NAME = 500
"""Longest name, in characters."""
_UNNAMED = re.compile(r"Q\d+")


class Familiarity(StrEnum):
    """How well known an entity is in the world, as the file says; what the model knows is another matter."""

    FAMOUS = "famous"
    KNOWN = "known"
    OBSCURE = "obscure"
    INVENTED = "invented"


@dataclass(frozen=True)
class Entity:
    """One row."""

    name: str
    familiarity: Familiarity | None
    """None if the file does not say."""
    answers: Mapping[str, tuple[str, ...]]
    """Right answers by attribute; an attribute without one is not in it."""
    row: int
    """Line of the table in a spreadsheet: the header is row 1."""


@dataclass(frozen=True)
class LeftOut:
    """A row that was not taken."""

    row: int
    name: str
    reason: str


@dataclass(frozen=True)
class EntityTable:
    """The entities of a file."""

    kind: EntityKind
    entities: tuple[Entity, ...]
    """In the order of the file; no two of one name."""
    left_out: tuple[LeftOut, ...]
    passed_over: tuple[str, ...]
    """Columns that are not attributes of the type."""
    sha256: str
    """Of the file."""

    def __len__(self) -> int:
        return len(self.entities)

    def column(self, attribute: str) -> tuple[str, ...]:
        """Every right answer of a column once, in the order of the file.

        Raises:
            UnknownKind: if the type has no such attribute.
        """
        self.kind.attribute(attribute)
        return self._columns[attribute]

    @cached_property
    def _columns(self) -> Mapping[str, tuple[str, ...]]:
        names = [attribute.name for attribute in self.kind.attributes]
        return {name: tuple(dict.fromkeys(one for entity in self.entities for one in entity.answers.get(name, ()))) for name in names}

    def others(self, attribute: str, entity: Entity) -> tuple[str, ...]:
        """The answers of a column that are not right for this entity; grading by `first` needs them, and no other matcher."""
        own = set(entity.answers.get(attribute, ()))
        return tuple(one for one in self.column(attribute) if one not in own)

    def distractors(self, attribute: str, entity: Entity, n: int) -> tuple[str, ...]:
        """Up to `n` wrong answers of the column, drawn the same way each time; none would be graded correct, and no two
        are graded alike. Fewer if the column has no more."""
        asked, right, column = self.kind.attribute(attribute), entity.answers.get(attribute, ()), self.column(attribute)
        drawn: list[str] = []
        for one in _in_random_order(column, f"{attribute}\0{entity.name}"):
            if len(drawn) == n:
                break
            known = (*right, *drawn)
            if not fits(asked, one, known) and not any(fits(asked, other, (one,)) for other in known):
                drawn.append(one)
        return tuple(drawn)


def read_table(kind: EntityKind) -> EntityTable:
    """The entities that belong to a type: its CSV file.

    Raises:
        BrokenEntityFile: if it is not there, or as `read_entities` says.
    """
    return read_entities(kind, kind.table)


def read_entities(kind: EntityKind, source: Path | bytes, label: str = "the upload") -> EntityTable:
    """Read a CSV file, or the bytes of one that is called `label`.

    Raises:
        BrokenEntityFile: naming every row that is wrong.
    """
    path = source if isinstance(source, Path) else Path(label)
    try:
        raw = source.read_bytes() if isinstance(source, Path) else source
        if len(raw) > MAX_BYTES:
            raise BrokenEntityFile(path, [f"it has {len(raw):,} bytes; the limit is {MAX_BYTES:,}: cut it in parts"])
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenEntityFile(path, [f"byte {error.start:,} is not UTF-8: save it as UTF-8 CSV"]) from error
    except OSError as error:
        raise BrokenEntityFile(path, [str(error)]) from error
    rows = _rows(text, path)
    header = [cell.strip() for cell in next(rows, (1, []))[1]]
    problems = _header_problems(header, kind)
    if problems:
        raise BrokenEntityFile(path, problems)
    found = [_entity(row, dict(zip(header, cells, strict=False)), len(cells) - len(header), kind, problems) for row, cells in rows]
    if not found and not problems:
        problems.append("0 rows below the header: add at least one")
    if problems:
        raise BrokenEntityFile(path, problems)
    kept, left_out = _unique(found)
    columns = {*RESERVED, *(attribute.name for attribute in kind.attributes)}
    passed_over = tuple(column for column in header if column not in columns)
    return EntityTable(kind, kept, left_out, passed_over, hashlib.sha256(raw).hexdigest())


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def split_cell(cell: str) -> tuple[str, ...]:
    """The right answers of a cell, each once."""
    return tuple(dict.fromkeys(one for part in cell.split(";") if (one := " ".join(part.split()))))


def _in_random_order(values: Sequence[str], seed: str) -> Iterator[str]:
    """Each value once, in an order that the seed fixes; the first few of very many cost little."""
    random, moved = Random(seed), dict[int, int]()
    for i in range(len(values)):
        j = random.randrange(i, len(values))
        yield values[moved.get(j, j)]
        moved[j] = moved.get(i, i)


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with their numbers, empty ones left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        cure = "put a cell that holds a quotation mark or a comma in quotation marks, and double those in it"
        raise BrokenEntityFile(path, [f"row {number + 1:,} is not valid CSV ({error}): {cure}"]) from error


def _header_problems(header: Sequence[str], kind: EntityKind) -> list[str]:
    attributes = ", ".join(one.name for one in kind.attributes)
    problems = [f"column {name!r} stands {n} times in the header" for name, n in Counter(header).items() if n > 1 and name]
    if "name" not in header:
        shown = ", ".join(header)[:120] or "nothing"
        mark = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), "")
        cure = f"; its cells seem to be separated by {mark!r}: separate them by commas" if mark else ""
        columns = f"The columns of {kind.name} are name, familiarity, {attributes}"
        problems.append(f"the first row has no column name: it is {shown}{cure}. {columns}")
    return problems


def _entity(row: int, cells: Mapping[str, str], n_more: int, kind: EntityKind, problems: list[str]) -> Entity:
    name = unicodedata.normalize("NFC", " ".join(cells.get("name", "").split()))
    if n_more > 0:
        problems.append(f"row {row:,} has {n_more} cells more than the header: quote cells that hold a comma")
    if not name:
        problems.append(f"row {row:,} has no name: give it one, or delete the row")
    if len(name) > MAX_NAME:
        problems.append(f"row {row:,}: the name has {len(name):,} characters; the limit is {MAX_NAME}: shorten it, or delete the row")
    given = cells.get("familiarity", "").strip().lower()
    familiarity = next((one for one in Familiarity if one == given), None)
    if given and familiarity is None:
        problems.append(f"row {row:,}: familiarity is {given[:40]!r}: one of {', '.join(Familiarity)}, or empty")
    answers: dict[str, tuple[str, ...]] = {}
    for attribute in kind.attributes:
        if right := split_cell(cells.get(attribute.name, "")):
            answers[attribute.name] = right
            if attribute.matcher in NUMERIC:
                wrong = [(one, wanted) for one in right if (wanted := _wrong(attribute.matcher, one))]
                problems.extend(f"row {row:,}: {attribute.name} is {one[:40]!r}: {wanted}" for one, wanted in wrong)
    return Entity(name, familiarity, answers, row)


def _wrong(matcher: Matcher, cell: str) -> str:
    """What a numeric cell should hold; "" if it does."""
    if matcher is Matcher.COORDINATES:
        return "" if parse_coordinates(cell) else "latitude and longitude in degrees, as in 48.86 2.35"
    return "" if whole_numbers(cell) else "a number"


def _unique(entities: Sequence[Entity]) -> tuple[tuple[Entity, ...], tuple[LeftOut, ...]]:
    rows: dict[str, list[int]] = {}
    for entity in entities:
        rows.setdefault(entity.name, []).append(entity.row)
    kept, left_out = [], []
    for entity in entities:
        if len(rows[entity.name]) > 1:
            places = ", ".join(f"{row:,}" for row in rows[entity.name][:5])
            left_out.append(LeftOut(entity.row, entity.name, f"the name stands in {len(rows[entity.name])} rows: {places}"))
        elif _UNNAMED.fullmatch(entity.name):
            left_out.append(LeftOut(entity.row, entity.name, "a number of Wikidata, not a name"))
        else:
            kept.append(entity)
    return tuple(kept), tuple(left_out)
