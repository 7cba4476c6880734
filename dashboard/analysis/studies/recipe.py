"""A recipe makes edits of the model from an ask, and says of each latent why it was chosen. It is declared once.

From the declaration it gets what a study has (kept, joined, its command, "how this was made"), a place in the box of recipes
on the steer page, and `--recipe` of the commands that steer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from dashboard.analysis.asks.edits import Intervention, NamedVector, print_where
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Lane
from dashboard.analysis.studies.study import Made, Progress, Rows, Study

A = TypeVar("A")


@dataclass(frozen=True)
class Evidence:
    """Why a latent was chosen."""

    latent: LatentId
    numbers: dict[str, float | int | None]
    """By the name of its column; None is not known."""
    about: str = ""
    """In words: what it promotes, its label."""


@runtime_checkable
class Vectors(Protocol):
    """Keeps vectors by name."""

    def restore(self, vector: NamedVector, model: str) -> NamedVector:
        """The vector as it can be used now: kept if it was not there, and renamed if another one has its name."""
        ...


@dataclass(frozen=True)
class FoundEdits:
    """What a recipe makes."""

    edits: tuple[Intervention, ...]
    evidence: tuple[Evidence, ...]
    """A row for every latent in the edits, and for every latent that a vector in them is put together from."""
    notes: tuple[str, ...] = ()
    """What a reader must know, one sentence each."""

    @property
    def vectors(self) -> dict[str, NamedVector]:
        """Directions that are not latents, by name."""
        return {edit.direction.name: edit.direction for edit in self.edits if isinstance(edit.direction, NamedVector)}

    def kept(self, vectors: Vectors, model: str) -> tuple[Intervention, ...]:
        """The edits as they can be named later: their vectors are kept, under another name where theirs is another vector's."""
        return tuple(
            replace(edit, direction=vectors.restore(edit.direction, model)) if isinstance(edit.direction, NamedVector) else edit
            for edit in self.edits
        )


def _says_all(ask: Any) -> str:
    del ask
    return ""


@dataclass(frozen=True)
class Recipe(Generic[A]):
    """One way to find edits."""

    name: str
    """In small letters: `flow path`. Its command is `latents recipe flow-path`."""
    title: str
    """Of its entry on the steer page."""
    about: str
    """One sentence: what it does. The help of its command."""
    source: str
    """Where it comes from, and how it differs from there."""
    ask: type[A]
    """A frozen dataclass whose fields are options (`option.py`)."""
    make: Callable[[Bench, A], FoundEdits]
    """Finds the edits. Raises AnalysisError if it cannot."""
    saes: Callable[[Bench, A], tuple[SaeId, ...]]
    """Dictionaries that it reads."""
    subject: Callable[[A], str] = _says_all
    """What an ask is about, in a few words for people."""
    asked: Callable[[Bench, A], dict[str, Any]] | None = None
    """See `Study.asked`; None: all fields of the ask."""
    example: A | None = None
    """What its form begins with; None: the defaults."""
    schema: int = field(default=1)
    """See `Study.schema`."""

    @property
    def word(self) -> str:
        """Of its command."""
        return self.name.replace(" ", "-")

    def study(self) -> Study[A, FoundEdits]:
        """The recipe as a study, whose result is the edits."""
        own: dict[str, Any] = {} if self.asked is None else {"asked": self.asked}
        return Study(
            kind=f"recipe {self.name}",
            about=self.about,
            ask=self.ask,
            result=FoundEdits,
            unit="steps",
            steps=self._steps,
            title=lambda ask: self.subject(ask) or self.title,
            command=("recipe", self.word),
            saes=self.saes,
            schema=self.schema,
            lane=Lane.QUICK,
            tables=_tables,
            notes=lambda made: (*made.result.notes, f"Source: {self.source}"),
            answer=self._answer,
            printed=self._printed,
            example=self.example,
            **own,
        )

    def _steps(self, bench: Bench, ask: A) -> Iterator[Progress[FoundEdits]]:
        yield Progress(0, 1, "finding latents")
        yield Progress(1, 1, result=self.make(bench, ask))

    def _answer(self, made: Made[A, FoundEdits]) -> dict[str, Any]:
        found = made.result
        return {
            "edits": edit_rows(found),
            "vectors": {name: {"site": str(one.site), "values": list(one.values)} for name, one in found.vectors.items()},
            "evidence": evidence_rows(found),
            "notes": list(found.notes),
            "source": self.source,
            "record": made.record.__dict__,
        }

    def _printed(self, made: Made[A, FoundEdits]) -> Sequence[Rows | str]:
        found = made.result
        return (*(str(edit) for edit in found.edits), "", evidence_rows(found), *found.notes, f"Source: {self.source}")


def edit_rows(found: FoundEdits) -> list[dict[str, Any]]:
    """The edits as `--set` and `--where` take them."""
    return [{"edit": str(edit), "where": print_where(edit.where)} for edit in found.edits]


def evidence_rows(found: FoundEdits) -> list[dict[str, Any]]:
    """One row a latent, all with the same columns."""
    columns = dict.fromkeys(name for one in found.evidence for name in one.numbers)
    about = any(one.about for one in found.evidence)
    return [
        {"latent": str(one.latent)} | {name: one.numbers.get(name) for name in columns} | ({"about": one.about} if about else {})
        for one in found.evidence
    ]


def _tables(made: Made[Any, FoundEdits]) -> Mapping[str, Rows]:
    return {"edits": edit_rows(made.result), "evidence": evidence_rows(made.result)}
