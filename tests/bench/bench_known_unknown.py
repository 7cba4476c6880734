"""`python -m tests.bench.bench_known_unknown [N]`: the reading and scoring of a study of N entities (2,000 unless told) at
12 residual SAEs, with everything that it keeps on disk, against bare passes.

The bare passes are plain transformers on the same batches, with as many layers as the deepest SAE needs and nothing else.
Both take turns, batch after batch, so that a busy machine slows both; scoring with 1,000 shuffles of the labels is ours.
"""

import copy
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import torch

from dashboard.analysis.asks.many_texts import ReadingAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known import entity_scores as scoring
from dashboard.analysis.methods.known.results import StudySettings
from dashboard.analysis.methods.known.statistics.entity_counts import roster
from dashboard.analysis.methods.known.statistics.labels import Knowledge
from dashboard.analysis.methods.known.statistics.latent_choice import NoiseRates
from dashboard.analysis.model.marking import batches, mark_texts, padded_right, tokens_per_pass
from dashboard.analysis.model.reading import read_at
from dashboard.analysis.settings import get_settings
from dashboard.analysis.studies.blocks import Step
from tests.bench.__main__ import show
from tests.bench.bench_entity_reading import SAES, names


def bench_known_unknown(runner: LocalRunner, n: int, folder: Path) -> None:
    """Time both and print the ratio, and the memory that the second half of the reading needed."""
    model, texts, settings = runner.model, names(n), StudySettings()
    columns = reading.columns_of(runner.catalog, SAES)
    depth = 1 + max(site.layer for site in columns.sites)
    plain = copy.deepcopy(model.bare, {id(tensor): tensor for tensor in (*model.bare.parameters(), *model.bare.buffers())})
    plain.model.layers = plain.model.layers[:depth]
    plan, step = reading.plan_reading(texts, columns, settings), Step(folder)
    parts = []
    for block in plan.blocks:
        marked = mark_texts(model, [plan.texts[place] for place in block])
        rows = [text.ids[: read_at(text, plan.at) + 1] for text in marked]
        parts += [
            padded_right(model, [rows[place] for place in batch]) for batch in batches([*map(len, rows)], tokens_per_pass(model), 1024)
        ]
    list(runner.stream(ReadingAsk(texts[:64], SAES)))  # loads the dictionaries
    with torch.inference_mode():
        plain.model(parts[0], use_cache=False)
    ours = bare = 0.0
    memory: list[int] = []
    step.folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    stream = reading.read(runner, plan, step)
    for part in parts:
        next(stream)
        now = time.perf_counter()
        ours += now - began
        with torch.inference_mode():
            plain.model(part, use_cache=False)
        began = time.perf_counter()
        bare += began - now
        memory.append(psutil.Process().memory_info().rss)
    assert next(stream, None) is None, "the batches are not those of the reading"
    read = ours + time.perf_counter() - began
    kinds, sides = ("city", "movie", "player", "song"), (Knowledge.KNOWN, Knowledge.UNKNOWN)
    members = roster(((kinds[place % 4], f"{place}", sides[place // 4 % 2]) for place in range(n)), 0)
    began = time.perf_counter()
    scores = scoring.score(members, plan, step, NoiseRates(np.zeros(columns.n, dtype=np.int64), 0), settings)
    scored = time.perf_counter() - began
    assert scores.known and scores.counts.n.sum() == n
    what = (
        f"reading, keeping and scoring {n:,} entities at {len(SAES)} residual SAEs / bare passes of the same batches to layer {depth - 1}"
    )
    show(what, (read + scored) / bare, "<= 1.3", [read, scored, bare], unit="s")
    halves = [(memory[-1] - memory[half]) / 2**20 for half in (0, len(memory) // 2)]
    show(f"MiB added since the middle / since the first of {len(parts)} batches", halves[1] / max(halves[0], 1.0), "0", halves, unit="MiB")


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        bench_known_unknown(open_runner(get_settings(), print), int(sys.argv[1]) if len(sys.argv) > 1 else 2000, Path(scratch))
