"""What a table of entities is good for, before a model is asked: counts, and what a study would stumble over."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.analysis.entities.answer_matching import given_away
from dashboard.analysis.entities.kinds import Matcher
from dashboard.analysis.entities.tables import EntityTable, Familiarity
from dashboard.analysis.text.spelling import same_name

KNOWN_AT = 2
"""Attributes that a model must answer for an entity to count as known."""
FEW = 20
"""Fewer entities than this are too few to split and compare."""


@dataclass(frozen=True)
class AttributeCheck:
    """One column."""

    name: str
    matcher: Matcher
    n_answers: int
    """Entities with a right answer."""
    n_values: int
    """Right answers that differ."""
    given_away: tuple[str, ...]
    """Entities whose name answers the question; that pair is left out of the knowledge test."""


@dataclass(frozen=True)
class TableCheck:
    """What was found in a table."""

    n_entities: int
    by_familiarity: Mapping[str, int]
    """Entities by what the file says of them; "not said" for an empty cell."""
    attributes: tuple[AttributeCheck, ...]
    n_testable: int
    """Entities with right answers for two attributes or more that their name does not give away."""
    notes: tuple[str, ...]
    """What a study would stumble over, a sentence each."""


def check_table(table: EntityTable) -> TableCheck:
    """Count a table and say what is doubtful in it."""
    columns = {attribute.name: set(table.column(attribute.name)) for attribute in table.kind.attributes}
    attributes, n_asked = [], Counter[str]()
    for attribute in table.kind.attributes:
        having = [entity for entity in table.entities if attribute.name in entity.answers]
        given = []
        for entity in having:
            right = entity.answers[attribute.name]
            others = tuple(columns[attribute.name].difference(right)) if attribute.matcher is Matcher.FIRST else ()
            if given_away(attribute, entity.name, right, others):
                given.append(entity.name)
        n_asked.update({entity.name for entity in having}.difference(given))
        attributes.append(AttributeCheck(attribute.name, attribute.matcher, len(having), len(columns[attribute.name]), tuple(given)))
    n_testable = sum(n >= KNOWN_AT for n in n_asked.values())
    counts = Counter(entity.familiarity.value if entity.familiarity else "not said" for entity in table.entities)
    order = [*(one.value for one in Familiarity), "not said"]
    by_familiarity = {name: counts[name] for name in order if counts[name]}
    return TableCheck(len(table), by_familiarity, tuple(attributes), n_testable, _notes(table, attributes, n_testable))


def left_out_note(table: EntityTable) -> str:
    """Which rows of a table are left out and why; "" if none is."""
    shown = "; ".join(f"row {one.row:,} {_short(one.name)}: {one.reason}" for one in table.left_out[:3])
    more = "; ..." if len(table.left_out) > 3 else ""
    return f"{len(table.left_out):,} rows are left out ({shown}{more})." if shown else ""


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _alike(table: EntityTable) -> list[list[str]]:
    """Names that are the same by `spelling.same_name`, together."""
    groups: dict[str, list[str]] = {}
    for entity in table.entities:
        groups.setdefault(same_name(entity.name), []).append(entity.name)
    return [names for names in groups.values() if len(names) > 1]


def _notes(table: EntityTable, attributes: list[AttributeCheck], n_testable: int) -> tuple[str, ...]:
    notes = [note] if (note := left_out_note(table)) else []
    if alike := _alike(table):
        shown = "; ".join(", ".join(map(_short, names[:3])) for names in alike[:3])
        n = sum(map(len, alike))
        notes.append(f"{n:,} names are the same but for capitals, accents, punctuation or word order ({shown}): they stand in one split.")
    if table.passed_over:
        known = ", ".join(one.name for one in attributes)
        notes.append(f"Columns passed over: {', '.join(table.passed_over)}. The attributes of {table.kind.name} are {known}.")
    if answered := [one.name for one in table.entities if one.familiarity is Familiarity.INVENTED and one.answers]:
        notes.append(f"{len(answered):,} invented entities have right answers ({', '.join(map(_short, answered[:3]))}): empty their cells.")
    notes += [f"No entity has a right answer for {one.name}: it is not asked." for one in attributes if not one.n_answers]
    notes += [f"{one.name} has 1 value only: a model is right without knowing any entity." for one in attributes if one.n_values == 1]
    if n_testable < FEW:
        notes.append(
            f"{n_testable:,} entities have {KNOWN_AT} attributes that can be asked; under {FEW} no model can be shown to know them."
        )
    if not any(one.familiarity for one in table.entities):
        notes.append("No familiarity is given: labels by file cannot be used, answers and choices can.")
    return tuple(notes)
