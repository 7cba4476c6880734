"""How often a search by word finds what is meant: recall at 10 and mean reciprocal rank on 30 queries.

`python -m tests.bench.bench_word_search`. A latent is relevant to a query if it fires on at least half of the words that are marked
in its texts, and on at most 1 % of all other ordinary tokens, those of the other queries' texts included. Nothing of the index is
used for that. A query without a relevant latent is counted out, and how many those are is printed.

The weights of the blend were chosen on the queries "tuned on". Those "tried on" chose no weight, but their figures were looked at
while the ways of searching were made: they are optimistic too. Only queries that nobody has seen the figures of would tell.
"""

import json
import re
import statistics
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dashboard.analysis.asks.capture import CaptureAsk
from dashboard.analysis.engine.local import LocalRunner
from dashboard.analysis.index.texts import find_corpus
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.methods.search.by_word import WordSearch, find
from dashboard.analysis.methods.search.word_scores import Documents, Meant
from dashboard.analysis.methods.search.words import compared
from dashboard.analysis.names import SaeId
from dashboard.analysis.settings import get_settings
from dashboard.analysis.tokens import Prompt

QUERIES = Path(__file__).with_name("word_queries.toml")
MIN_RECALL, MAX_ELSEWHERE = 0.5, 0.01
AT = 10


@dataclass(frozen=True)
class Query:
    """What is typed, and texts in which what is meant is marked."""

    words: str
    texts: tuple[str, ...]
    """Without the brackets."""
    marked: tuple[tuple[tuple[int, int], ...], ...]
    """Character ranges of each text."""
    tune: bool


def read_queries() -> list[Query]:
    """The queries of the file."""
    queries = []
    for entry in tomllib.loads(QUERIES.read_text())["query"]:
        texts, marked = [], []
        for text in entry["texts"]:
            parts = re.split(r"\[([^\[\]]+)\]", text)
            ends = np.cumsum([0, *map(len, parts)])
            texts.append("".join(parts))
            marked.append(tuple((int(ends[i]), int(ends[i + 1])) for i in range(1, len(parts), 2)))
        queries.append(Query(entry["words"], tuple(texts), tuple(marked), entry.get("tune", False)))
    return queries


def relevant(runner: LocalRunner, saes: Sequence[SaeId], queries: Sequence[Query]) -> list[np.ndarray]:
    """For each query, whether each latent of the SAEs is relevant."""
    widths = [runner.catalog.get(sae).n_latents for sae in saes]
    starts = np.cumsum([0, *widths])
    fired = np.zeros(starts[-1])
    on_words, on_tokens, n_words, n_marked, n_tokens = [], [], [], [], 0
    for query in queries:
        words, tokens, total, marked = np.zeros(starts[-1]), np.zeros(starts[-1]), 0, 0
        for text, ranges in zip(query.texts, query.marked, strict=True):
            capture = runner.ask(CaptureAsk(Prompt(text), tuple(saes)))
            chars, ordinary = capture.tokens.char_ranges, set(capture.tokens.ordinary)
            spans = [[i for i, (a, b) in enumerate(chars) if i in ordinary and a < end and b > start] for start, end in ranges]
            of_spans = sorted({i for span in spans for i in span})
            total, marked, n_tokens = total + len(spans), marked + len(of_spans), n_tokens + len(ordinary)
            for place, sae in enumerate(saes):
                acts = capture.activations[sae]
                fires = np.zeros((widths[place], len(chars)), dtype=bool)
                fires[acts.latent, acts.position] = True
                fires[:, [i for i in range(len(chars)) if i not in ordinary]] = False
                part = slice(starts[place], starts[place + 1])
                fired[part] += fires.sum(1)
                tokens[part] += fires[:, of_spans].sum(1)
                words[part] += sum(fires[:, span].any(1) for span in spans)
        on_words.append(words)
        on_tokens.append(tokens)
        n_words.append(total)
        n_marked.append(marked)
    return [
        (words >= MIN_RECALL * n) & (fired - tokens <= MAX_ELSEWHERE * (n_tokens - marked))
        for words, tokens, n, marked in zip(on_words, on_tokens, n_words, n_marked, strict=True)
    ]


def figures(scores: Callable[[str], np.ndarray], queries: Sequence[Query], wanted: Sequence[np.ndarray]) -> dict[str, float]:
    """Recall at AT and mean reciprocal rank over the queries that have a relevant latent. What has no score is not found."""
    ranks = []
    for query, right in zip(queries, wanted, strict=True):
        score = scores(compared(query.words))
        order = np.argsort(-score, kind="stable")
        places = np.flatnonzero(right[order] & (score[order] > 0))
        ranks.append(int(places[0]) + 1 if len(places) else None)
    found = [rank for rank in ranks if rank is not None]
    return {
        f"recall@{AT}": round(sum(rank <= AT for rank in found) / max(1, len(ranks)), 3),
        "mrr": round(sum(1 / rank for rank in found) / max(1, len(ranks)), 3),
    }


def arms(documents: Documents, meant: Mapping[str, Meant]) -> dict[str, Callable[[str], np.ndarray]]:
    """Every way of ranking."""
    return {
        "exact": lambda term: documents.exact(term, {}).scores,
        "tf-idf": documents.by_words,
        "embeddings": lambda term: documents.by_vector(meant[term].vector),
        "tf-idf + embeddings": lambda term: documents.by_words(term) + documents.by_vector(meant[term].vector),
        "blend": lambda term: documents.blended(term, documents.exact(term, {}), meant[term]),
    }


def main() -> None:
    """Measure and print, a line a way of searching."""
    settings = get_settings()
    runner = open_runner(settings, print)
    search = WordSearch(runner, runner.catalog, lambda head: find_corpus(head, settings))
    started = time.perf_counter()
    documents = search.documents()
    read_s = time.perf_counter() - started
    find(documents, "warm", {}, documents.meant(runner, "warm"))
    built_s = time.perf_counter() - started
    queries = read_queries()
    wanted = relevant(runner, documents.words.saes, queries)
    meant = {compared(query.words): documents.meant(runner, query.words) for query in queries}
    for tune in (True, False):
        chosen = [i for i, query in enumerate(queries) if query.tune == tune and wanted[i].any()]
        for name, scores in arms(documents, meant).items():
            show(
                {
                    "queries": "tuned on" if tune else "tried on",
                    "n": len(chosen),
                    "without a relevant latent": sum(query.tune == tune for query in queries) - len(chosen),
                    "by": name,
                    **figures(scores, [queries[i] for i in chosen], [wanted[i] for i in chosen]),
                }
            )
    show({"relevant latents a query (median)": statistics.median(int(each.sum()) for each in wanted), "of": len(documents.words)})
    show({"reading the words, s": round(read_s, 2), "and making documents, s": round(built_s, 2)})
    ways: dict[str, Callable[[Query], object]] = {
        "exact": lambda query: find(documents, query.words, {}),
        "by meaning, asking the model": lambda query: documents.meant(runner, query.words),
        "by meaning, ranking": lambda query: find(documents, query.words, {}, meant[compared(query.words)]),
    }
    for name, way in ways.items():
        times = []
        for query in queries:
            started = time.perf_counter()
            way(query)
            times.append(1000 * (time.perf_counter() - started))
        show({"ms a query": name, "median": round(statistics.median(times), 1), "max": round(max(times), 1)})


def show(line: dict[str, object]) -> None:
    """One line of JSON."""
    print(json.dumps(line))  # noqa: T201 - what a benchmark is for


if __name__ == "__main__":
    main()
