"""The study of contrast: two sets of texts from a file, the latents that tell them apart, and what its command prints."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dashboard.analysis.errors import BadAsk
from dashboard.analysis.methods.contrast import method
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.selecting import select
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.study import Made, Progress, Rows, Study

_FORM = "Write {NAME: [TEXT, ...], OTHER: [TEXT, ...]}."


@dataclass(frozen=True)
class TwoSets:
    """Two sets of texts and what they are called."""

    first_name: str = "first"
    first: tuple[str, ...] = ()
    second_name: str = "second"
    second: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What `read_sets` reads."""
        return json.dumps({self.first_name: self.first, self.second_name: self.second}, ensure_ascii=False, indent=1)


def read_sets(file: str) -> TwoSets:
    """Two sets of texts from a file of JSON.

    Raises:
        BadAsk: if it does not hold two lists of texts.
    """
    try:
        (one, first), (other, second) = json.loads(Path(file).read_text(encoding="utf-8")).items()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadAsk(f"{file} cannot be read as two lists of texts: {error}. {_FORM}") from error
    if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in (first, second)):
        raise BadAsk(f"{file} does not hold two lists of texts. {_FORM}")
    return TwoSets(one, tuple(first), other, tuple(second))


@dataclass(frozen=True)
class ContrastAsk:
    """Which latents separate two sets of texts?"""

    sets: TwoSets = option(
        TwoSets(), "JSON file with two lists of texts, {NAME: [...], OTHER: [...]}.", argument="FILE", reads=read_sets, file="sets.json"
    )
    sae: tuple[str, ...] = option((), "RELEASE/NAME; may be given more than once. Default: all.", many=Many.REPEATED)
    top: int = option(10, "Number of latents to keep.", low=1)


@dataclass(frozen=True)
class Separation:
    """The latents that separate two sets best."""

    n_first: int
    n_second: int
    n_silent: int
    """Latents that fire on no text."""
    n_tested: int
    """Latents that fire on a text."""
    latents: tuple[method.SeparatingLatent, ...] = ()
    """The best first."""
    promotes: tuple[tuple[str, ...], ...] = field(default=())
    """The tokens that each promotes."""


def saes_of(bench: Bench, ask: ContrastAsk) -> tuple[SaeId, ...]:
    """Whose latents are tested."""
    return tuple(spec.id for spec in (select(bench.catalog, ask.sae) if ask.sae else bench.catalog.specs))


def _asked(bench: Bench, ask: ContrastAsk) -> dict[str, Any]:
    return {
        "first": list(ask.sets.first),
        "second": list(ask.sets.second),
        "names": [ask.sets.first_name, ask.sets.second_name],
        "saes": [str(sae) for sae in saes_of(bench, ask)],
        "top": ask.top,
    }


def _steps(bench: Bench, ask: ContrastAsk) -> Iterator[Progress[Separation]]:
    first, second, saes = ask.sets.first, ask.sets.second, saes_of(bench, ask)
    total, read = len(first) + len(second), list[method.TextNumbers]()
    for numbers in method.read_texts(bench.runner, first, second, saes, keep=bench):
        read.append(numbers)
        if len(read) < total:
            yield Progress(len(read), total)
    found = method.compare(read[: len(first)], read[len(first) :], saes)
    best = found.latents[: ask.top]
    promotes = method.promoted_tokens(bench.runner, best)
    result = Separation(found.n_first, found.n_second, found.n_silent, len(found.latents), best, promotes)
    yield Progress(total, total, result=result)


def _title(ask: ContrastAsk) -> str:
    sets = ask.sets
    return f"{len(sets.first)} texts {sets.first_name!r} against {len(sets.second)} {sets.second_name!r}"


def rows(found: Separation) -> list[dict[str, Any]]:
    """One row a latent."""
    return [
        {**asdict(one), "latent": str(one.latent), "promotes": list(tokens)}
        for one, tokens in zip(found.latents, found.promotes, strict=True)
    ]


def _answer(made: Made[ContrastAsk, Separation]) -> dict[str, Any]:
    sets, found = made.ask.sets, made.result
    names = {"first": sets.first_name, "second": sets.second_name}
    return names | {"n_first": found.n_first, "n_second": found.n_second, "latents": rows(found)}


def _tables(made: Made[ContrastAsk, Separation]) -> dict[str, Rows]:
    return {"latents": rows(made.result)}


def _notes(made: Made[ContrastAsk, Separation]) -> tuple[str, ...]:
    return (f"{made.result.n_tested:,} latents fire on a text and were tested; {made.result.n_silent:,} fire on none.",)


def _printed(made: Made[ContrastAsk, Separation]) -> Sequence[Rows | str]:
    return (rows(made.result),)


STUDY = Study(
    kind="contrast",
    about="Which latents separate two sets of texts? The first set of the file counts as positive.",
    ask=ContrastAsk,
    result=Separation,
    unit="texts",
    steps=_steps,
    title=_title,
    command=("contrast",),
    asked=_asked,
    saes=saes_of,
    tables=_tables,
    notes=_notes,
    answer=_answer,
    printed=_printed,
)
