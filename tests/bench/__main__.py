"""`make bench`: ratios of two things measured in one run, on the default model. Prints; never fails on a time."""

import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks import CaptureAsk
from dashboard.analysis.installation import open_runner
from dashboard.analysis.model.hooks import hook_name
from dashboard.analysis.names import SaeId
from dashboard.analysis.settings import get_settings
from dashboard.analysis.tokens import Prompt

SAE = SaeId("smollm2-135m", "15.resid_post")
TEXT = "The Nile flows through Egypt and Sudan, and the Danube through ten countries of Europe. "


def ratio(first: Callable[[], object], second: Callable[[], object], rounds: int = 15) -> tuple[float, float, float]:
    """Median of first / second over interleaved rounds, and the median seconds of each."""
    pairs = []
    for action in (first, second):
        action()
    for _ in range(rounds):
        times = []
        for action in (first, second):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        pairs.append(times)
    ratios = statistics.median(a / b for a, b in pairs)
    return ratios, statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def main() -> None:
    """Measure and print, a line a ratio."""
    runner = open_runner(get_settings(), print)
    model, site, sae = runner.model, runner.catalog.get(SAE).site, runner.sae(SAE)
    plain = AutoModelForCausalLM.from_pretrained(model.path, dtype=model.dtype).to(model.device)
    plain.model.layers = plain.model.layers[: site.layer + 1]
    for repeats in (1, 4, 16):
        prompt = Prompt(TEXT * repeats)
        ids = model.batch(runner.tokens(prompt).ids)

        def bare(ids: torch.Tensor = ids) -> object:
            with torch.inference_mode():
                return model.bridge(ids, stop_at_layer=site.layer + 1, return_type=None)

        def truncated(ids: torch.Tensor = ids) -> object:
            with torch.inference_mode():
                return plain.model(ids, use_cache=False)

        def cached(ids: torch.Tensor = ids) -> object:
            with torch.inference_mode():
                _, cache = model.bridge.run_with_cache(ids)
                return sae.encode(cache[hook_name(site)].float())

        def ours(prompt: Prompt = prompt) -> object:
            return runner.capture(CaptureAsk(prompt, (SAE,)))

        for name, (first, second), goal in (
            ("capture of one site / bare bridge forward truncated at the same layer", (ours, bare), "<= 1.15"),
            ("capture of one site / plain transformers forward truncated at the same layer", (ours, truncated), "for information"),
            ("full run_with_cache + encode / capture", (cached, ours), ">= 2"),
        ):
            value, a, b = ratio(first, second)
            line = {
                "ratio": round(value, 3),
                "goal": goal,
                "ms": [round(1000 * a, 1), round(1000 * b, 1)],
                "tokens": ids.shape[1],
                "what": name,
            }
            print(json.dumps(line))  # noqa: T201 - what a benchmark is for


if __name__ == "__main__":
    main()
