"""`python -m tests.bench.bench_matching [ROWS]`: matching two random dictionaries against the bare matrix products.

The two take turns, a block of rows each: once a block has been matched, the same block is multiplied into a buffer of its own,
so whatever else the machine does weighs on both. The products are left out of our time; everything else is in it, the making of
unit rows too. Extra memory is the largest resident size during the matching, less the size before it. Lines say how it stands
after each block; the last is the result.
"""

import sys
import threading
import time
from collections.abc import Callable

import psutil
import torch

from dashboard.analysis.sae.matching import nearest_rows
from tests.bench.__main__ import show

WIDTH, ROWS = 2304, 16384
CLOCKS = (("", time.perf_counter), (", processor time", time.process_time))


def bench_matching(n: int = ROWS, top: int = 1) -> None:
    """Print the ratio of times, by the clock and in processor time, and the extra memory."""
    generator = torch.Generator().manual_seed(0)
    rows, among = (torch.randn(n, WIDTH, generator=generator) for _ in range(2))
    out = torch.ones(max(1, min(n, 128 * 2**20 // (4 * n))), n)
    # Libraries and threads are ready before anything is timed.
    nearest_rows(rows[:64], among[: max(top, n // 4)], top)
    torch.mm(rows[: len(out)], among.T, out=out)
    what = f"top-{top} matches of {n:,} x {n:,} rows of {WIDTH:,} / the bare products, {torch.get_num_threads()} threads"
    theirs, done = [0.0] * len(CLOCKS), 0
    peak = Peak()
    started = [read() for _, read in CLOCKS]

    def product(share: float) -> None:
        nonlocal done
        before, first, done = [read() for _, read in CLOCKS], done, round(share * n)
        for part in rows[first:done].split(len(out)):
            torch.mm(part, among.T, out=out[: len(part)])
        for i, (name, read) in enumerate(CLOCKS):
            ours = before[i] - started[i] - theirs[i]
            theirs[i] += read() - before[i]
            show(f"{what}{name}, after {done:,} rows", ours / theirs[i], "<= 1.2", [ours, theirs[i]], unit="s")
        show("extra memory of the same, GB", peak.extra() / 1e9, "<= 1", [peak.extra() / 2**20], unit="MiB")

    with peak:
        nearest_rows(rows, among, top, product)


class Peak:
    """How far the process grows while something is done, looked at a hundred times a second."""

    def __init__(self) -> None:
        self._size: Callable[[], int] = lambda: psutil.Process().memory_info().rss
        self._before = self._largest = self._size()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def extra(self) -> int:
        """Bytes so far."""
        self._largest = max(self._largest, self._size())
        return self._largest - self._before

    def __enter__(self) -> "Peak":
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.extra()


if __name__ == "__main__":
    bench_matching(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
