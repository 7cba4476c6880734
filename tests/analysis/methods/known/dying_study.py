"""A small study that says how far it is, made to be killed.

Run as `python -m tests.analysis.methods.known.dying_study MODEL RELEASE CACHE TYPES STORE`.
"""

import sys
import time
from pathlib import Path

from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.methods.known import asking as knowledge
from dashboard.analysis.methods.known import entity_reading as reading
from dashboard.analysis.methods.known.study_entities import STUDY, ask_of
from dashboard.analysis.model.bridge import load_model
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import read_catalog
from dashboard.analysis.settings import Settings
from dashboard.analysis.studies.store import ResultStore
from dashboard.analysis.studies.study import run
from tests.analysis.methods.known.studying import ANSWERED, SMALL_BLOCKS, bench_of
from tests.conftest import SITES, TINY


def _main(model: Path, release: Path, cache: Path, types: Path, results: Path) -> None:
    reading.BLOCK, reading.NOISE_BLOCK, knowledge.BLOCK = SMALL_BLOCKS
    settings = Settings(cache=cache, device="cpu", dtype="float32", max_tokens=256, sae_folders=(release,))
    runner = LocalRunner(load_model(model, TINY, settings), read_catalog(settings, assets=types), cache)
    ask = ask_of([file.stem for file in sorted(types.glob("*.toml"))], [SaeId("tiny", site) for site in SITES], ANSWERED)
    for progress in run(STUDY, bench_of(runner, ResultStore(results), types), ask):
        sys.stdout.write(f"{progress.done}\n")
        sys.stdout.flush()
        time.sleep(0.01)


if __name__ == "__main__":
    _main(*map(Path, sys.argv[1:]))
