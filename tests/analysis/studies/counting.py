"""A study of sums, whose parts are slow enough to be killed: `python -m tests.analysis.studies.counting FOLDER` makes it."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from dashboard.analysis.asks.model_card import ModelCard
from dashboard.analysis.names import LatentId, ModelId, SaeId
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.studies.bench import Bench
from dashboard.analysis.studies.jobs import Lane
from dashboard.analysis.studies.option import Many, option
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import Progress, Study, run

LATENT = LatentId(SaeId("tiny", "2.resid_post"), 7)


class Colour(StrEnum):
    DARK_RED = "a red that is dark"
    BLUE = "blue"


@dataclass(frozen=True)
class SumAsk:
    """Every sort of option that there is."""

    names: tuple[LatentId, ...] = option((LATENT,), "Latents.", argument="NAME...")
    n: int = option(6, "Parts.", flag="--parts -n", low=1, high=50, label="Parts")
    scale: float = option(0.1, "A factor.", label="Scale")
    limit: float | None = option(None, "None or a limit.")
    title: str = option("sum", "A title.", label="Title")
    colour: Colour = option(Colour.BLUE, "A colour.", label="Colour")
    colours: tuple[Colour, ...] = option((), "Colours, with commas.", label="Colours")
    factors: tuple[float, ...] = option((0.0, 1.5), "Factors, with commas.", label="Factors")
    layers: tuple[int, ...] = option((), "Layers, with commas.", label="Layers")
    held_out: tuple[LatentId, ...] = option((), "Latents.", many=Many.REPEATED, label="Held out")
    texts: tuple[str, ...] = option((), "A file.", many=Many.LINES, label="Texts")
    quick: bool = option(False, "Do not wait.", label="Quick")
    loud: bool = option(True, "On unless it is turned off.", label="Loud")
    folder: Path | None = option(None, "A folder.")
    by_part: bool = option(False, "More rows.", shows=True)


@dataclass(frozen=True, eq=False)
class Sums:
    """What the parts add up to."""

    rows: np.ndarray
    seen: tuple[int, ...]


made: list[int] = []
"""Parts that were made in this process."""


def steps(bench: Bench, ask: SumAsk) -> Iterator[Progress[Sums]]:
    def part(i: int) -> Sums:
        made.append(i)
        if not ask.quick:
            time.sleep(0.05)
        return Sums(np.random.default_rng(i).normal(size=5) * ask.scale, (i,))

    total = np.zeros(5)
    seen: tuple[int, ...] = ()
    for one in bench.each("parts", Sums, range(ask.n), part):
        total, seen = total + one.rows / 3, (*seen, *one.seen)
        yield Progress(len(seen), ask.n, result=Sums(total, seen))


STUDY = Study(
    kind="sums", about="Adds.", ask=SumAsk, result=Sums, unit="parts", steps=steps, title=lambda ask: f"{ask.n} parts",
    command=("sums", "run"), tables=lambda made: {"rows": [{"i": i, "value": float(value)} for i, value in enumerate(made.result.rows)]},
)  # fmt: skip
TRAINING = replace(STUDY, kind="long sums", command=("sums", "train"), lane=Lane.TRAINING)


class Silent:
    """A runner that may not be asked anything."""

    def describe(self) -> ModelCard:
        return ModelCard(ModelId("tests/none"), Path("none"), "cpu", "float32", 1, 1, 1)

    def ask(self, ask: object) -> object:
        raise AssertionError(f"the model was asked {ask}")

    def stream(self, ask: object) -> Iterator[object]:
        raise AssertionError(f"the model was asked {ask}")


def bench(folder: Path) -> Bench:
    return Bench(Silent(), Catalog((), {}), ResultStore(folder))  # type: ignore[arg-type]


if __name__ == "__main__":
    for one in run(STUDY, bench(Path(sys.argv[1])), SumAsk(n=40)):
        print(one.done, flush=True)  # noqa: T201
