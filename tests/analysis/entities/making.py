"""Types and tables made by hand."""

from pathlib import Path

from dashboard.analysis.entities.kinds import EntityKind, read_kind
from dashboard.analysis.entities.tables import EntityTable, read_entities

TOWN = """
title = "Towns"
type = "town"
aliases = { "united states of america" = ["United States", "US", "USA"] }

[attributes.country]
question = "What country contains the {type} '{name}'?"
stem = "The country of the {type} '{name}' is"
recall = "is located in"
plain = "In which country is the {type} {name}?"

[attributes.population]
question = "How many live in the {type} '{name}'?"
stem = "In the {type} '{name}' live"
matcher = "number"
tolerance = 0.1
relative = true

[attributes.place]
question = "Where is the {type} '{name}'?"
stem = "The {type} '{name}' lies at"
matcher = "coordinates"
tolerance = 1

[attributes.side]
question = "Is the {type} '{name}' in the north or the south?"
stem = "The {type} '{name}' is in the"
matcher = "first"
"""


def kind_in(folder: Path, text: str = TOWN, name: str = "town") -> EntityKind:
    """The type that a text describes."""
    file = folder / f"{name}.toml"
    file.write_text(text, "utf-8")
    return read_kind(file)


def table_of(kind: EntityKind, text: str) -> EntityTable:
    """The table that a text holds."""
    return read_entities(kind, text.encode())
