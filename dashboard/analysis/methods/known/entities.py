"""Which entities of some tables a study takes, and what is read of each."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboard.analysis.asks.many_texts import MarkedText
from dashboard.analysis.entities.answer_matching import Verdict, given_away, grade
from dashboard.analysis.entities.kinds import Attribute, EntityKind, Filled, Matcher, read_kind
from dashboard.analysis.entities.tables import Entity, EntityTable, read_entities, write_rows
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.known.results import StudyAsk, StudySettings, type_ask


@dataclass(frozen=True)
class Taken:
    """An entity of a study."""

    table: EntityTable
    entity: Entity
    filled: Filled
    """The text in which its name is read."""

    @property
    def kind(self) -> EntityKind:
        """Its type."""
        return self.table.kind

    @property
    def text(self) -> MarkedText:
        """As a Runner reads it: what stands behind the name changes nothing at it."""
        return MarkedText(self.filled.text, (self.filled.start, self.filled.end))

    def right(self, attribute: Attribute) -> tuple[str, ...]:
        """Its right answers; none if the file gives none."""
        return self.entity.answers.get(attribute.name, ())

    def is_given_away(self, attribute: Attribute) -> bool:
        """True if its name answers the question."""
        return given_away(attribute, self.entity.name, self.right(attribute), self._others(attribute))

    def grade(self, attribute: Attribute, answer: str) -> Verdict:
        """Judge an answer."""
        return grade(attribute, answer, self.right(attribute), self._others(attribute))

    def _others(self, attribute: Attribute) -> tuple[str, ...]:
        """Wrong answers of the column, for the one matcher that looks at them."""
        return self.table.others(attribute.name, self.entity) if attribute.matcher is Matcher.FIRST else ()


def check_tables(ask: StudyAsk, tables: Sequence[EntityTable]) -> None:
    """Raises: BadAsk: if the tables are not those that the ask names."""
    if tuple(type_ask(table) for table in tables) != ask.types:
        wanted, given = ", ".join(one.name for one in ask.types), ", ".join(table.kind.name for table in tables)
        raise BadAsk(f"The study is of {wanted}; the tables given are {given}, or their files have changed. Create the ask again.")


def take(tables: Sequence[EntityTable], settings: StudySettings) -> tuple[Taken, ...]:
    """The entities of every table, in their order."""
    return tuple(
        Taken(table, entity, table.kind.reading_text(entity.name, settings.template))
        for table in tables
        for entity in _drawn(table, settings)
    )


def _drawn(table: EntityTable, settings: StudySettings) -> Sequence[Entity]:
    """All of them, or as many as are asked for, evenly over what the file says of them, by a hash of seed and name."""
    most = settings.most_entities
    if most is None or len(table) <= most:
        return table.entities
    groups: dict[str, list[Entity]] = {}
    for entity in table.entities:
        groups.setdefault(entity.familiarity or "", []).append(entity)
    for group in groups.values():
        group.sort(key=lambda one: hashlib.sha256(f"{settings.seed}\0{one.name}".encode()).digest())
    drawn = {entity.name for entity in list(_in_turn([groups[word] for word in sorted(groups)]))[:most]}
    return [entity for entity in table.entities if entity.name in drawn]


def _in_turn(groups: Sequence[Sequence[Entity]]) -> Iterator[Entity]:
    for place in range(max(map(len, groups), default=0)):
        yield from (group[place] for group in groups if place < len(group))


def keep_tables(folder: Path, tables: Sequence[EntityTable]) -> None:
    """Put the types away, so that a study can be read when their files have changed or were never there."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        kind = table.kind
        attributes = [attribute.name for attribute in kind.attributes]
        rows = [
            [entity.name, entity.familiarity or "", *("; ".join(entity.answers.get(name, ())) for name in attributes)]
            for entity in table.entities
        ]
        for name, content in (
            (f"{kind.name}.toml", kind.file.read_text("utf-8")),
            (f"{kind.name}.csv", write_rows(("name", "familiarity", *attributes), rows)),
        ):
            scratch = folder / f"{name}.writing"
            scratch.write_text(content, "utf-8")
            scratch.replace(folder / name)


def kept_tables(folder: Path, ask: StudyAsk) -> tuple[EntityTable, ...]:
    """The tables that `keep_tables` saved."""
    kinds = [read_kind(folder / f"{one.name}.toml") for one in ask.types]
    return tuple(read_entities(kind, kind.table) for kind in kinds)
