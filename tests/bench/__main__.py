"""`make bench`: ratios of two things measured in one run, on the default model. Prints; never fails on a time."""

import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.asks.edits import Intervention, Op, Unit
from dashboard.analysis.asks.generation import GenerationAsk, Sampling, Variant
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.model.hooks import hook_name
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.settings import get_settings
from dashboard.analysis.text.corpus import SHIPPED, read_corpus
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
            return runner.ask(CaptureAsk(prompt, (SAE,)))

        for name, (first, second), goal in (
            ("capture of one site / bare bridge forward truncated at the same layer", (ours, bare), "<= 1.15"),
            ("capture of one site / plain transformers forward truncated at the same layer", (ours, truncated), "for information"),
            ("full run_with_cache + encode / capture", (cached, ours), ">= 2"),
        ):
            value, a, b = ratio(first, second)
            show(f"{name}, {ids.shape[1]} tokens", value, goal, [1000 * a, 1000 * b])
    bench_generation(runner)
    # Not at the top: they import `show` from here.
    from tests.bench.bench_index import bench_index
    from tests.bench.bench_matching import bench_matching

    bench_index(model, read_corpus(SHIPPED))
    bench_matching()


def bench_generation(runner: LocalRunner) -> None:
    """Plain and steered text together, and eight viewers at once."""
    model = runner.model
    prompt = Prompt(TEXT)
    edit = Intervention(LatentId(SAE, 549), Op.ADD, 0.4, Unit.NORM)
    pair = (Variant("plain"), Variant("steered", (edit,)))
    reference = AutoModelForCausalLM.from_pretrained(model.path, dtype=model.dtype).to(model.device)
    reference.generation_config.eos_token_id = None
    ids = model.batch(*[runner.tokens(prompt).ids] * 2)

    def theirs() -> object:
        return reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False)

    def ours() -> int:
        return sum(1 for _ in runner.stream(GenerationAsk(prompt, pair, Sampling(64))))

    assert ours() == 128, "a text ended before its 64 tokens"
    value, a, b = ratio(ours, theirs, rounds=7)
    show("pair (plain + steered, 64 tokens) / transformers generate, batch 2, unsteered", value, "<= 1.0", [1000 * a, 1000 * b])

    def viewers(n: int) -> float:
        """Tokens a second of n viewers who look at pairs of their own."""
        streams = []
        for i in range(n):
            edits = (Intervention(LatentId(SAE, 549 + i), Op.ADD, 0.2, Unit.NORM),)
            streams.append(runner.turns(GenerationAsk(prompt, (Variant("plain"), Variant("steered", edits)), Sampling(48, 1.0, seed=i))))
        started, tokens = time.perf_counter(), 0
        while streams:
            for stream in list(streams):
                step = next(stream, None)
                if step is None:
                    streams.remove(stream)
                else:
                    tokens += len(step)
        return tokens / (time.perf_counter() - started)

    rates = [(viewers(8), viewers(1)) for _ in range(5)]
    value = statistics.median(many / one for many, one in rates)
    middle = [statistics.median(rate[i] for rate in rates) for i in (0, 1)]
    show("tokens/s of 8 viewers / 1 viewer", value, ">= 3", middle, unit="tokens_per_s")


def show(what: str, value: float, goal: str, figures: list[float], unit: str = "ms") -> None:
    """One line of JSON."""
    line = {"ratio": round(value, 3), "goal": goal, unit: [round(one, 1) for one in figures], "what": what}
    print(json.dumps(line), flush=True)  # noqa: T201 - what a benchmark is for


if __name__ == "__main__":
    main()
