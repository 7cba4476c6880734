"""What a study works with: who answers, which dictionaries and text there are, and blocks of its own on disk."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from dashboard.analysis.asks.runner import Runner
from dashboard.analysis.errors import BadAsk
from dashboard.analysis.plain import from_plain, to_plain
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.settings import Settings, get_settings
from dashboard.analysis.studies.blocks import Step
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.text.corpus import Corpus

P = TypeVar("P")
T = TypeVar("T")


@runtime_checkable
class Blocks(Protocol):
    """Where the parts of a work are kept, so that it resumes where it was stopped."""

    def each(self, name: str, kind: Any, parts: Sequence[P], make: Callable[[P], T]) -> Iterator[T]:
        """What is made of each part, in their order, each an instance of `kind`; what was made before is read."""
        ...


class Unkept:
    """Nothing is kept: every part is made."""

    def each(self, name: str, kind: Any, parts: Sequence[P], make: Callable[[P], T]) -> Iterator[T]:
        """See `Blocks.each`."""
        del name, kind
        yield from map(make, parts)


UNKEPT = Unkept()


def _read(step: Step, place: int, kind: Any) -> Any:
    """A block that is done; None if it is not, or another version wrote it."""
    if step.has(place):
        with suppress(TypeError, ValueError, KeyError):
            return from_plain(kind, step.rows(place))
    return None


def _no_corpus(file: Path | None) -> Corpus:
    raise BadAsk(f"There is no text here ({file or 'none is named'}), so nothing that reads a corpus can run.")


@dataclass(frozen=True)
class Bench:
    """Given to every study. Equal asks of equal models and dictionaries give equal results on any bench."""

    runner: Runner
    catalog: Catalog
    store: ResultStore
    open_corpus: Callable[[Path | None], Corpus] = _no_corpus
    """A corpus by its file, in the tokens of the runner's model; None: the one that ships."""
    settings: Settings = field(default_factory=get_settings)
    """Of this installation: its folders, its cache."""
    renew: Callable[[], Catalog] | None = None
    """Looks through the folders of SAEs again: whoever answers, answers for the catalogue that it gives from then on."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """By the name of its environment variable, what a study needs and nobody may keep: the key of a judge."""
    folder: Path | None = None
    """Where the blocks of the study are; `run` sets it. None: nothing is kept."""

    def corpus(self, file: Path | None = None) -> Corpus:
        """The text that is read.

        Raises:
            BrokenText, ModelUnavailable: if it cannot be read or is in another model's tokens.
        """
        return self.open_corpus(file)

    def at(self, folder: Path) -> "Bench":
        """The same with blocks in a folder."""
        return replace(self, folder=folder)

    def each(self, name: str, kind: Any, parts: Sequence[P], make: Callable[[P], T]) -> Iterator[T]:
        """What `make` gives for each part, in their order, kept as it comes; parts that were made before are read instead.

        A study that is killed and started again so goes on with the very numbers of one that was not: cut the parts the same
        way every time, and let `make` depend on its part alone. `kind` is what `make` gives, for the encoder; never None.

        Raises:
            RunMismatch: if another process works at the same study.
        """
        if self.folder is None:
            yield from map(make, parts)
            return
        step = Step(self.folder / name)
        with step.held():
            for place, part in enumerate(parts):
                made = _read(step, place, kind)
                if made is None:
                    made = make(part)
                    step.save_rows(place, to_plain(made, kind))
                yield made

    def forget_blocks(self) -> None:
        """Remove the blocks."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
