"""`python -m tests.bench.bench_index`: the index of one SAE against a plain per-latent pass with sae-lens, on the same tokens.

The plain pass is what SAEDashboard and SAEVis do without a cache of activations on the disk: for each LATENTS_A_PASS latents it
runs the model over all tokens to the site, encodes, keeps those latents' activations dense, and then takes their counts, mean,
quantiles, histogram, 20 strongest tokens, 10 + 10 tokens of the vocabulary and logit histogram. Ours does that for all latents
in one pass, and near misses, interval examples, neighbours, co-firing and labels besides. Both run the model in the same number
format, in batches of documents of like length. (sae-dashboard 0.8 itself needs transformer-lens below 3 and cannot be
installed beside this project.)
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dashboard.analysis.index.building import build_indexes
from dashboard.analysis.index.facts import N_BINS, N_TOKENS, N_TOP, QUANTILES
from dashboard.analysis.install.opening import open_runner
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import SaeSpec, read_catalog
from dashboard.analysis.sae.loading import load_sae
from dashboard.analysis.settings import ASSETS, get_settings
from dashboard.analysis.text.corpus import SHIPPED, Corpus, join, read_corpus
from tests.bench.__main__ import show

SAE = SaeId("smollm2-135m", "15.resid_post")
LATENTS_A_PASS = 256
"""SAEDashboard's own choice (`minibatch_size_features`)."""
N_DOCUMENTS = 120
"""About 16,000 tokens. More would favour us: what we do once a latent, however long the text, weighs less."""


def bench_index(model: LoadedModel, corpus: Corpus) -> None:
    """Time both on the first documents of a corpus and print the ratio."""
    documents = range(min(N_DOCUMENTS, corpus.n_documents))
    some = join(corpus.name, corpus.model, [(corpus.kinds[i], corpus.document(i)) for i in documents])
    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that the index that ships is left alone.
        release = Path(folder) / SAE.release
        release.mkdir()
        for suffix in ("json", "safetensors"):
            shutil.copy(ASSETS / "saes" / SAE.release / f"{SAE.name}.{suffix}", release)
        settings = get_settings().model_copy(update={"sae_folders": (release,), "cache": Path(folder) / "cache"})
        catalog = read_catalog(settings, assets=Path(folder) / "none")
        spec = catalog.get(SAE)
        started = time.perf_counter()
        build_indexes([spec], some, model, catalog, settings.cache)
        ours = time.perf_counter() - started
        started = time.perf_counter()
        plain(spec, some, model, settings.cache)
        theirs = time.perf_counter() - started
    show(f"plain per-latent pass / index of one SAE, {len(some):,} tokens", theirs / ours, ">= 5", [theirs, ours], unit="s")


def plain(spec: SaeSpec, corpus: Corpus, model: LoadedModel, cache: Path) -> list[tuple[object, ...]]:
    """The per-latent pass; returns what it found, so that nothing is left out as unused."""
    sae = load_sae(spec, cache, model.device)
    order = np.argsort(np.diff(corpus.starts), kind="stable").tolist()
    batches = [order[first : first + 16] for first in range(0, len(order), 16)]
    norm, unembedding = model.bare.model.norm.weight.float(), model.bare.lm_head.weight.float()
    found: list[tuple[object, ...]] = []
    with torch.inference_mode():
        for first in range(0, spec.n_latents, LATENTS_A_PASS):
            chosen = slice(first, first + LATENTS_A_PASS)
            kept: list[torch.Tensor] = []
            for batch in batches:
                rows = [model.with_bos(tuple(corpus.document(document).tolist())) for document in batch]
                longest = max(map(len, rows))
                ids = model.batch(*(row + (0,) * (longest - len(row)) for row in rows))
                lengths = torch.tensor([len(row) for row in rows], device=model.device)
                real = (torch.arange(longest, device=model.device) < lengths[:, None]) & model.ordinary(ids)
                kept.append(sae.encode(read_sites(model.bridge, ids, [spec.site])[spec.site][real].float())[:, chosen])
            dense = torch.cat(kept).T.contiguous()
            logits = (sae.W_dec[chosen] * norm) @ unembedding.T
            for acts, effect in zip(dense, logits, strict=True):
                fired = acts[acts > 0]
                if len(fired):
                    quantiles = fired.quantile(torch.tensor(QUANTILES, device=fired.device))
                    found.append((len(fired), fired.mean(), quantiles, fired.histc(N_BINS), acts.topk(N_TOP)))
                found.append((effect.topk(N_TOKENS), effect.topk(N_TOKENS, largest=False), effect.histc(N_BINS)))
    return found


if __name__ == "__main__":
    bench_index(open_runner(get_settings(), print).model, read_corpus(SHIPPED))
