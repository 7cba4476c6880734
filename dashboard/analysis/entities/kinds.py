"""Types of entities: which attributes they have, how each is asked, and how an answer is matched.

A type is two files of one name in one folder: `TYPE.toml`, read here, and `TYPE.csv`, read in `tables`. In a template
`{type}` stands for the word of the type and `{name}` for the entity; nothing else is replaced.

Source of the templates of the four types player, movie, city and song: Ferrando et al. 2024, arXiv:2411.14257, section 2
and its published code. Differs from it: two relations of the player that are swapped there are the right way round.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import BrokenEntityFile, UnknownKind
from dashboard.analysis.settings import ASSETS, Settings

FOLDER = ASSETS / "entities"
"""The types that ship."""
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}")
COLUMN = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What an attribute can be called."""
RESERVED = ("name", "familiarity")
"""Columns that no attribute can be called."""


class Matcher(StrEnum):
    """How an answer is compared with the right ones; `matching` says what each does."""

    NAMES = "names"
    CONTAINS = "contains"
    FIRST = "first"
    NUMBER = "number"
    QUANTITY = "quantity"
    COORDINATES = "coordinates"


NUMERIC = frozenset({Matcher.NUMBER, Matcher.QUANTITY, Matcher.COORDINATES})
"""Matchers whose right answers are numbers."""


@dataclass(frozen=True)
class Filled:
    """A template with a name put in."""

    text: str
    start: int
    end: int
    """Half-open range of characters in `text` where the name stands; if it stands there more than once, the first."""


@dataclass(frozen=True)
class Attribute:
    """One thing that can be asked about an entity: a column of the table."""

    name: str
    question: str
    """Template of the question, which ends with a question mark."""
    stem: str
    """Template of the beginning of a sentence that the answer ends."""
    matcher: Matcher
    tolerance: float = 0.0
    """Of numbers: how far off still counts, in `unit`, or as a share of the right number if `relative`."""
    relative: bool = False
    unit: str = ""
    recall: str = ""
    """What follows `The {type} {name}` in a prompt that ends just before the answer ("is directed by"); "" if there is none."""
    plain: str = ""
    """Template of the question in its plain wording, for refusals; the question if there is none."""
    prefill: str = ""
    """How a chat model's answer begins when it is given the beginning ("Director="); "" for none."""
    drop: str = ""
    """Text taken out of the right answers before `contains` looks for them (" film")."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further right answers for a right answer, in lower case."""


@dataclass(frozen=True)
class EntityKind:
    """A type of entity."""

    name: str
    """Of its two files."""
    title: str
    """In the plural, for headings."""
    word: str
    """What `{type}` stands for."""
    attributes: tuple[Attribute, ...]
    reading: str
    """Template of the text at whose name activations are read."""
    self_report: str
    """Template of the question whether the model is sure to know the entity."""
    file: Path
    query: str = ""
    """SPARQL for `wikidata`; "" if the type cannot be built from it."""

    @property
    def table(self) -> Path:
        """Where its entities are."""
        return self.file.with_suffix(".csv")

    def attribute(self, name: str) -> Attribute:
        """The attribute of that name.

        Raises:
            UnknownKind: if there is none.
        """
        for one in self.attributes:
            if one.name == name:
                return one
        raise UnknownKind(f"attribute of {self.name}", name, [one.name for one in self.attributes])

    def fill(self, template: str, entity: str) -> Filled:
        """A template with the name of an entity, and where the name stands."""
        before, _, after = template.replace("{type}", self.word).partition("{name}")
        return Filled(before + entity + after.replace("{name}", entity), len(before), len(before) + len(entity))

    def reading_text(self, entity: str, template: str = "") -> Filled:
        """The text to read activations in; another template than the type's own may be given."""
        return self.fill(template or self.reading, entity)

    def question_text(self, attribute: Attribute, entity: str) -> Filled:
        """The question alone, as a chat model is asked."""
        return self.fill(attribute.question, entity)

    def cloze_text(self, attribute: Attribute, entity: str) -> Filled:
        """The question and the beginning of the answer, as a base model is asked."""
        return self.fill(f"{attribute.question} {attribute.stem}", entity)

    def plain_text(self, attribute: Attribute, entity: str) -> Filled:
        """The question in plain wording, which a chat model may answer or decline."""
        return self.fill(attribute.plain or attribute.question, entity)

    def recall_text(self, attribute: Attribute, entity: str) -> Filled | None:
        """A prompt that ends just before the answer, name unquoted; None if the attribute has none."""
        return self.fill(f"The {{type}} {{name}} {attribute.recall}", entity) if attribute.recall else None

    def self_report_text(self, entity: str) -> Filled:
        """The question whether the model is sure to know the entity."""
        return self.fill(self.self_report, entity)


@dataclass(frozen=True)
class EntityKinds:
    """All types of an installation."""

    kinds: Mapping[str, EntityKind]
    broken: tuple[BrokenEntityFile, ...]
    """Files that cannot be read as a type; the rest is usable."""

    def get(self, name: str) -> EntityKind:
        """The type of that name.

        Raises:
            UnknownKind: if there is none.
        """
        if name in self.kinds:
            return self.kinds[name]
        nearest = difflib.get_close_matches(name, self.kinds, n=3, cutoff=0.4)
        raise UnknownKind("type of entity", name, nearest or list(self.kinds))


def added_folder(settings: Settings) -> Path:
    """The folder of the types that were added on the page, which commands see too. It need not be there."""
    return settings.cache / "entities"


def find_kinds(settings: Settings) -> EntityKinds:
    """The types that ship, those of LATENTS_ENTITY_FOLDERS and those that were added, in that order, by name within a folder.

    A name that is taken, a folder that is not there and a file that cannot be read stand in `broken`.
    """
    kinds: dict[str, EntityKind] = {}
    broken: list[BrokenEntityFile] = []
    added = added_folder(settings)
    for folder in (FOLDER, *settings.entity_folders, *((added,) if added.is_dir() else ())):
        if not folder.is_dir():
            broken.append(BrokenEntityFile(folder, ["no folder is there: correct LATENTS_ENTITY_FOLDERS"]))
            continue
        for file in sorted(folder.glob("*.toml")):
            try:
                kind = read_kind(file)
            except BrokenEntityFile as error:
                broken.append(error)
                continue
            if kind.name in kinds:
                broken.append(BrokenEntityFile(file, [f"the type {kind.name} is taken by {kinds[kind.name].file}: rename both files"]))
            else:
                kinds[kind.name] = kind
    return EntityKinds(kinds, tuple(broken))


def read_kind(file: Path) -> EntityKind:
    """Read the TOML file of a type.

    Raises:
        BrokenEntityFile: naming every field that is wrong.
    """
    try:
        book = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BrokenEntityFile(file, [str(error)]) from error
    except UnicodeDecodeError as error:
        raise BrokenEntityFile(file, [f"it is not UTF-8 (byte {error.start:,}): save it as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise BrokenEntityFile(file, [f"it is not TOML: {error}. Compare it with one of assets/entities, say city.toml"]) from error
    problems: list[str] = []
    if not _KIND.fullmatch(file.stem):
        problems.append("its name: lower-case letters, digits, - and _ only, a letter first")
    _unknown_keys(book, ("title", "type", "reading", "self_report", "aliases", "attributes", "wikidata"), "", problems)
    word = _text(book, "type", file.stem, "", problems)
    aliases = _aliases(book.get("aliases", {}), problems)
    entries = book.get("attributes", {})
    if not isinstance(entries, dict) or not entries:
        problems.append("[attributes.NAME] is missing: give at least one")
        entries = {}
    attributes = tuple(_attribute(str(name), entry, aliases, problems) for name, entry in entries.items())
    reading = _template(book, "reading", "The {type} '{name}'", "", problems)
    self_report = _template(book, "self_report", "Are you sure you know the {type} {name}? Answer yes or no.", "", problems)
    wikidata = book.get("wikidata", {})
    query = _text(wikidata, "query", "", "wikidata.", problems) if isinstance(wikidata, dict) else ""
    title = _text(book, "title", word.capitalize(), "", problems)
    if problems:
        raise BrokenEntityFile(file, problems)
    return EntityKind(file.stem, title, word, attributes, reading, self_report, file, query)


_ATTRIBUTE_KEYS = ("question", "stem", "matcher", "tolerance", "relative", "unit", "recall", "plain", "prefill", "drop")


def _attribute(name: str, entry: Any, aliases: Mapping[str, tuple[str, ...]], problems: list[str]) -> Attribute:
    where = f"attributes.{name}."
    if not COLUMN.fullmatch(name) or name in RESERVED:
        problems.append(f"attribute {name!r}: lower-case letters, digits and _ only, a letter first, and not {' or '.join(RESERVED)}")
    if not isinstance(entry, dict):
        problems.append(f"{where[:-1]} is not a table")
        entry = {}
    _unknown_keys(entry, _ATTRIBUTE_KEYS, where, problems)
    question = _template(entry, "question", None, where, problems)
    stem = _template(entry, "stem", None, where, problems)
    plain = _template(entry, "plain", "", where, problems)
    given = _text(entry, "matcher", Matcher.NAMES, where, problems)
    matcher = next((one for one in Matcher if one == given), None)
    if matcher is None:
        problems.append(f"{where}matcher is {given!r}: one of {', '.join(Matcher)}")
    tolerance = entry.get("tolerance", 0)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < float("inf"):
        problems.append(f"{where}tolerance is {tolerance!r}: a number, 0 or above")
        tolerance = 0
    relative = entry.get("relative", False)
    if not isinstance(relative, bool):
        problems.append(f"{where}relative is {relative!r}: true or false")
    texts = {key: _text(entry, key, "", where, problems) for key in ("unit", "recall", "prefill", "drop")}
    return Attribute(
        name, question, stem, matcher or Matcher.NAMES, float(tolerance), relative is True, plain=plain, aliases=aliases, **texts
    )


def _aliases(given: Any, problems: list[str]) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(given, dict):
        problems.append("[aliases] is not a table")
        return {}
    found = {}
    for name, others in given.items():
        if isinstance(others, list) and all(isinstance(one, str) and one.strip() for one in others):
            found[str(name).lower()] = tuple(others)
        else:
            problems.append(f"aliases.{name}: a list of texts")
    return found


def _unknown_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str, problems: list[str]) -> None:
    problems.extend(f"{where}{key} is not known: the keys are {', '.join(known)}" for key in table if key not in known)


def _text(table: Mapping[str, Any], key: str, default: str, where: str, problems: list[str]) -> str:
    value = table.get(key, default)
    if isinstance(value, str):
        return value
    problems.append(f"{where}{key} is {value!r}: a text")
    return default


def _template(table: Mapping[str, Any], key: str, default: str | None, where: str, problems: list[str]) -> str:
    if default is None and key not in table:
        problems.append(f"{where}{key} is missing")
        return ""
    text = _text(table, key, default or "", where, problems).strip()
    if key in table and "{name}" not in text:
        problems.append(f"{where}{key} is {text!r}: it must hold {{name}}")
    if other := sorted(set(re.findall(r"\{[^{}]*\}", text)) - {"{name}", "{type}"}):
        problems.append(f"{where}{key} holds {', '.join(other)}: only {{name}} and {{type}} are replaced")
    return text
