"""`python -m tests.bench.bench_matching [ROWS]`: matching two random dictionaries against the bare matrix products, in turns in one run.

Both multiply the same blocks of rows into one buffer. Extra memory is the largest resident size during the matching, less the
size before it.
"""

import sys
import threading
import time

import psutil
import torch

from dashboard.analysis.sae.matching import nearest_rows
from tests.bench.__main__ import ratio, show

WIDTH, ROWS = 2304, 16384


def bench_matching(n: int = ROWS, top: int = 1, rounds: int = 2) -> None:
    """Print the ratio of times and the extra memory."""
    generator = torch.Generator().manual_seed(0)
    rows, among = (torch.randn(n, WIDTH, generator=generator) for _ in range(2))
    block = max(1, 128 * 2**20 // (4 * n))
    out = torch.empty(block, n)

    def bare() -> None:
        for part in rows.split(block):
            torch.mm(part, among.T, out=out[: len(part)])

    peak = extra_memory(lambda: nearest_rows(rows, among, top))
    value, ours, theirs = ratio(lambda: nearest_rows(rows, among, top), bare, rounds)
    show(f"top-{top} matches of {n:,} x {n:,} rows of {WIDTH:,} / the bare products", value, "<= 1.2", [ours, theirs], unit="s")
    show("extra memory of the same, GB", peak / 1e9, "<= 1", [peak / 2**20], unit="MiB")


def extra_memory(action: object) -> int:
    """Bytes that the process grows by while something is done, looked at a hundred times a second."""
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    peak = [before]

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    action()  # pyright: ignore[reportCallIssue]
    done.set()
    watcher.join()
    assert time.perf_counter() - started > 0.05, "too short to be watched"
    return peak[0] - before


if __name__ == "__main__":
    bench_matching(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
