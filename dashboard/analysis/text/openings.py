"""How the documents of the corpus begin: templates of many genres, filled with subjects, drawn in an order that a seed fixes."""

import hashlib
import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from dashboard.analysis.asks.generation import MAX_SEED
from dashboard.analysis.errors import BrokenText
from dashboard.analysis.settings import ASSETS
from dashboard.analysis.tokens import Prompt

OPENINGS = ASSETS / "prompts" / "openings.toml"
_SLOT = re.compile(r"\{(?:(\d+)-(\d+)|(\^?)([a-z_]+(?:\|[a-z_]+)*))\}")
_TRIES = 100
"""Fillings of a genre's templates that may all be known already before its turn is passed over."""


@dataclass(frozen=True)
class Genre:
    """Templates of one sort of text."""

    name: str
    templates: tuple[str, ...]
    weight: int
    """Turns a round."""
    chat: bool
    """True: an opening is a user's message, and the document is the whole chat."""


@dataclass(frozen=True)
class OpeningBook:
    """Genres, and the subjects that their templates take."""

    genres: tuple[Genre, ...]
    subjects: dict[str, tuple[str, ...]]
    """By kind."""
    sha256: str
    """Of the file."""


@dataclass(frozen=True)
class Opening:
    """The beginning of one document."""

    genre: str
    prompt: Prompt
    seed: int
    """Of the generator that draws what follows."""


def read_openings(file: Path = OPENINGS) -> OpeningBook:
    """Read the templates and subjects of a file.

    Raises:
        BrokenText: if it cannot be read, or a template asks for a kind of subject that is not there.
    """
    try:
        raw = file.read_bytes()
        book = tomllib.loads(raw.decode())
        subjects = {kind: tuple(" ".join(one.split()) for one in listed.split(",")) for kind, listed in book["subjects"].items()}
        genres = tuple(
            Genre(name, tuple(entry["openings"]), int(entry.get("weight", 1)), bool(entry.get("chat", False)))
            for name, entry in book["genre"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenText(f"The openings {file} cannot be read: {error!r}. Restore the file from the repository.") from error
    asked = {kind for genre in genres for template in genre.templates for slot in _SLOT.finditer(template) for kind in _kinds(slot)}
    if unknown := sorted(asked - subjects.keys()):
        raise BrokenText(f"{file.name}: 0 subjects of the kinds {', '.join(unknown)}. There are {', '.join(subjects)}.")
    return OpeningBook(genres, subjects, hashlib.sha256(raw).hexdigest())


def draw_openings(book: OpeningBook, seed: int) -> Iterator[Opening]:
    """Openings, no two alike, until no genre has a new one; round after round a genre has `weight` turns."""
    random = Random(seed)
    turns = [genre for genre in book.genres for _ in range(genre.weight)]
    fillings = {genre.name: _fillings(genre, book.subjects, random) for genre in book.genres}
    seen: set[tuple[str, bool]] = set()
    while True:
        n_before = len(seen)
        for genre in turns:
            tries = ((text, genre.chat) for text in itertools.islice(fillings[genre.name], _TRIES))
            new = next((one for one in tries if one not in seen), None)
            if new is not None:
                seen.add(new)
                yield Opening(genre.name, Prompt(*new), random.randrange(MAX_SEED + 1))
        if len(seen) == n_before:
            return


def _fillings(genre: Genre, subjects: dict[str, tuple[str, ...]], random: Random) -> Iterator[str]:
    """The templates of a genre in turn, each time in a new order and with new subjects."""

    def fill(slot: re.Match[str]) -> str:
        if slot[1]:
            return str(random.randint(int(slot[1]), int(slot[2])))
        subject = random.choice([one for kind in _kinds(slot) for one in subjects[kind]])
        return subject[0].upper() + subject[1:] if slot[3] else subject

    while True:
        for template in random.sample(genre.templates, len(genre.templates)):
            yield _SLOT.sub(fill, template)


def _kinds(slot: re.Match[str]) -> list[str]:
    return slot[4].split("|") if slot[4] else []
