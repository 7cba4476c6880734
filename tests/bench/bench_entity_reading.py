"""`python -m tests.bench.bench_entity_reading [N]`: reading N entities (2,000 unless told) at 12 residual SAEs, against bare passes.

The bare passes are plain transformers on the same batches, with as many layers as the deepest site needs and nothing
else; tokenising, hooks, encoding with 12 dictionaries, sparse codes and counting which latents fire are ours alone. Both
take turns, batch after batch, so that a busy machine slows both.
"""

import copy
import sys
import time

import numpy as np
import psutil
import torch

from dashboard.analysis.asks.many_texts import MarkedText, ReadingAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.model.marking import batches, mark_texts, padded_right, tokens_per_pass
from dashboard.analysis.model.reading import read_at
from dashboard.analysis.names import SaeId
from dashboard.analysis.settings import get_settings
from tests.bench.__main__ import show

SAES = tuple(SaeId("smollm2-135m", f"{layer}.resid_post") for layer in range(8, 20))
_BEGIN = ("Al", "Bar", "Cor", "Den", "El", "Fran", "Gor", "Hal", "Is", "Jor", "Kal", "Lor", "Mar", "Nor", "Os", "Pel", "Quin", "Ros", "Tor")
_END = ["aby", "ington", "ova", "ster", "mere", "field", "sson", "etti", "anza", "wick", "burg", "dorf", "ville", "ham", "ona"]
_TYPES = ("city", "movie", "player", "song")


def names(n: int) -> tuple[MarkedText, ...]:
    """Different made-up names of one to three words, in the template of the study."""
    words = [begin + end for begin in _BEGIN for end in _END]
    random = np.random.default_rng(0)
    made: dict[str, None] = {}
    while len(made) < n:
        made[" ".join(random.choice(words, int(random.integers(1, 4))))] = None
    texts = []
    for place, name in enumerate(made):
        before = f"The {_TYPES[place % len(_TYPES)]} '"
        texts.append(MarkedText(f"{before}{name}'", (len(before), len(before) + len(name))))
    return tuple(texts)


def bench_entity_reading(runner: LocalRunner, n: int) -> None:
    """Time both and print the ratio, the memory that the second half needed on top of the first, and the rate."""
    model, texts = runner.model, names(n)
    ask = ReadingAsk(texts, SAES)
    depth = 1 + max(runner.catalog.get(sae).site.layer for sae in SAES)
    plain = copy.deepcopy(model.bare, {id(tensor): tensor for tensor in (*model.bare.parameters(), *model.bare.buffers())})
    plain.model.layers = plain.model.layers[:depth]
    rows = [text.ids[: read_at(text, ask.at) + 1] for text in mark_texts(model, texts)]
    parts = [padded_right(model, [rows[place] for place in batch]) for batch in batches([*map(len, rows)], tokens_per_pass(model), 1024)]
    list(runner.stream(ReadingAsk(texts[:64], SAES)))  # loads the dictionaries
    with torch.inference_mode():
        plain.model(parts[0], use_cache=False)
    counts = {sae: np.zeros(runner.sae(sae).W_dec.shape[0], dtype=np.int64) for sae in SAES}
    ours = bare = 0.0
    memory: list[int] = []
    began = time.perf_counter()
    stream = runner.stream(ask)
    for part in parts:
        for chunk in [next(stream)]:
            for sae, codes in chunk.codes.items():
                counts[sae] += np.bincount(codes.latent, minlength=codes.n_latents)
        now = time.perf_counter()
        ours += now - began
        with torch.inference_mode():
            plain.model(part, use_cache=False)
        began = time.perf_counter()
        bare += began - now
        memory.append(psutil.Process().memory_info().rss)
    assert next(stream, None) is None, "the batches are not those of the reading"
    assert all(count.sum() for count in counts.values())
    what = f"reading and counting {n:,} entities at {len(SAES)} residual SAEs / bare passes of the same batches to layer {depth - 1}"
    show(what, ours / bare, "<= 1.3", [ours, bare], unit="s")
    halves = [(memory[-1] - memory[half]) / 2**20 for half in (0, len(memory) // 2)]
    show(f"MiB added since the middle / since the first of {len(parts)} batches", halves[1] / max(halves[0], 1.0), "0", halves, unit="MiB")


if __name__ == "__main__":
    bench_entity_reading(open_runner(get_settings(), print), int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
