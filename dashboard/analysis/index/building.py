"""Building the index of some SAEs over a corpus: one pass of the model for all of them, then each SAE's facts.

Steps: (1) read the documents, those of like length together, at every site; encode; keep what fires, each token's norm, and
for each document and latent the token where it came closest to firing; (2) leave out special and outlier-norm tokens, which
needs the norms of the whole corpus; (3) for each SAE the columns of `index.SCHEMA`; write its file.

What (1) keeps goes to the disk in parts (`sae/reading.py`), so that a killed build goes on from the last whole one and ends with
the same files. They are cleared away at the end.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock, Timeout
from jaxtyping import Float, Int32

from dashboard.analysis.errors import AnalysisError, BrokenText, RunMismatch
from dashboard.analysis.index.facts import N_BINS, N_NEIGHBOURS, N_TOKENS, IndexHead
from dashboard.analysis.index.file import SCHEMA, index_file, write_index
from dashboard.analysis.index.measuring import Vocabulary, cofiring, in_steps, interval_examples, labels, near_misses, rounded, statistics
from dashboard.analysis.index.passes import Reading, Source, read_in_parts, read_parts
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.names import SaeId
from dashboard.analysis.sae.catalog import Catalog, SaeSpec
from dashboard.analysis.sae.hashes import weights_sha256
from dashboard.analysis.sae.loading import check_fits, load_sae
from dashboard.analysis.sae.rows import can_map, read_decoder
from dashboard.analysis.system.versions import CODE
from dashboard.analysis.text.corpus import Corpus, check_corpus

_FORM = 1
"""Of the parts; another number makes older ones strangers."""
_STALE_DAYS = 7
"""Parts that have not been continued for this long are deleted."""
_ROWS_PER_PRODUCT = 128
"""Rows that are compared with everything at once."""
_LOGITS_AT_ONCE = 128 * 49_152
"""Most logits of decoder rows in memory: with a large vocabulary fewer rows are taken together."""
_READING = 0.8
"""Share of the work that is step (1), for the progress bar."""

Progress = Callable[[float, str], None]


def build_indexes(
    specs: Sequence[SaeSpec],
    corpus: Corpus,
    model: LoadedModel,
    catalog: Catalog,
    cache: Path,
    progress: Progress = lambda share, words: None,
) -> list[Path]:
    """Build and write the index of each SAE; returns the files, in the order given. `progress` hears the share and a few words.

    Raises: what `index_steps` raises.
    """
    with closing(index_steps(specs, corpus, model, catalog, cache)) as steps:
        for share, words in steps:
            progress(share, words)
    return [index_file(spec) for spec in {spec.id: spec for spec in specs}.values()]


def index_steps(
    specs: Sequence[SaeSpec], corpus: Corpus, model: LoadedModel, catalog: Catalog, cache: Path
) -> Generator[tuple[float, str], None, None]:
    """Build and write the index of each SAE, a batch of documents at a time: the share that is done, and a few words.

    Raises:
        OtherModel, WidthMismatch: if an SAE was made for another model.
        BrokenText: if the corpus is of another model, has a document that this one cannot read whole, or no ordinary token.
        RunMismatch: if another process is building.
    """
    specs = list({spec.id: spec for spec in specs}.values())
    for spec in specs:
        check_fits(spec, model)
    _check_corpus(corpus, model)
    folder = cache / "index-parts"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunMismatch("Another process is building an index with this cache. Wait for it, or set LATENTS_CACHE.") from error
    with lock:
        _clear_stale(folder)
        parts = {spec.id: folder / _key(spec, corpus, model) for spec in specs}
        saes = {spec.id: load_sae(spec, cache, model.device_of(spec.site)) for spec in specs}
        sources = [Source(spec.site, saes[spec.id], parts[spec.id]) for spec in specs]
        for share, words in read_in_parts(sources, corpus, model):
            yield _READING * share, words
        rows = {name: sae.W_dec.float() for name, sae in saes.items()} | _other_rows(specs, catalog, cache, model)
        vocabulary = Vocabulary(model.tokenizer.batch_decode([[token] for token in range(model.n_texts)]))
        document_of = np.repeat(np.arange(corpus.n_documents, dtype=np.int32), np.diff(corpus.starts))
        for done, spec in enumerate(specs):
            yield _READING + (1 - _READING) * done / len(specs), f"{spec.id}: facts of {spec.n_latents:,} latents"
            near = {other.id: rows[other.id] for other in catalog.release_of(spec.id) if other.id in rows and _comparable(spec, other)}
            reading = read_parts(parts[spec.id], corpus, spec.n_latents)
            columns = (
                _columns(reading, corpus, document_of)
                | _logits(model.to_residual(spec.site, rows[spec.id]), model)
                | _neighbours(spec.id, near)
            )
            columns["label"] = labels(reading.firings, corpus.ids, columns["promoted"], vocabulary)
            write_index(index_file(spec), _table(columns), _head(spec, corpus, model, reading, tuple(near)))
        for part in parts.values():
            shutil.rmtree(part, ignore_errors=True)
    yield 1.0, "done"


def _comparable(one: SaeSpec, other: SaeSpec) -> bool:
    """True if the decoder rows of both are directions of the same space: the residual stream, or the heads or neurons of one layer."""
    if one.site.point.row.matrix or other.site.point.row.matrix:
        return one.site == other.site
    return one.d_in == other.d_in


def _check_corpus(corpus: Corpus, model: LoadedModel) -> None:
    check_corpus(corpus, model.id)
    longest = int(np.diff(corpus.starts).max(initial=0))
    if longest >= model.max_tokens:
        raise BrokenText(
            f"The corpus {corpus.name} has a document of {longest:,} tokens; with a BOS the model reads {model.max_tokens - 1:,}. "
            "Split it, or raise LATENTS_MAX_TOKENS."
        )


def _key(spec: SaeSpec, corpus: Corpus, model: LoadedModel) -> str:
    """What the parts of an SAE depend on."""
    rests_on = (_FORM, corpus.sha256, weights_sha256(spec), str(spec.site), str(model.id), str(model.dtype), model.device)
    return hashlib.sha256(repr(rests_on).encode()).hexdigest()[:16]


def _clear_stale(folder: Path) -> None:
    for part in folder.iterdir():
        if part.is_dir() and time.time() - part.stat().st_mtime > _STALE_DAYS * 86400:
            shutil.rmtree(part, ignore_errors=True)


def _other_rows(specs: Sequence[SaeSpec], catalog: Catalog, cache: Path, model: LoadedModel) -> dict[SaeId, torch.Tensor]:
    """Decoder rows of the SAEs that are beside those asked for in their releases; one that cannot be used is not a neighbour."""
    asked = {spec.id for spec in specs}
    found: dict[SaeId, torch.Tensor] = {}
    for other in {other.id: other for spec in specs for other in catalog.release_of(spec.id)}.values():
        if other.id not in asked:
            try:
                check_fits(other, model)
                rows = read_decoder(other).rows if can_map(other) else load_sae(other, cache, "cpu").W_dec.float()
                found[other.id] = rows.to(model.device)
            except AnalysisError:
                continue
    return found


def _columns(reading: Reading, corpus: Corpus, document_of: Int32[np.ndarray, " tokens"]) -> dict[str, Any]:
    firings = reading.firings
    return {
        **statistics(firings),
        **interval_examples(firings, document_of),
        **near_misses(reading.near, firings, reading.counted, document_of, corpus.n_documents),
        **cofiring(firings, len(corpus)),
    }


def _logits(rows: Float[torch.Tensor, "latents d_model"], model: LoadedModel) -> dict[str, Any]:
    """Columns promoted*, suppressed* and logit_*: what one unit of a decoder row adds to each token's logit.

    It goes through the final norm's weights and the unembedding. The norm's division by the residual's size, which the text
    decides, is left out; it scales all logits alike, so their order is that of `LoadedModel.unembed`.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode():
        for some in rows.split(max(1, min(_ROWS_PER_PRODUCT, _LOGITS_AT_ONCE // model.n_texts))):
            logits = model.unembed_unit(some)
            best, worst = logits.topk(N_TOKENS), logits.topk(N_TOKENS, largest=False)
            low, high = logits.amin(1, keepdim=True), logits.amax(1, keepdim=True)
            bins = ((logits - low) * (N_BINS / (high - low).clamp(min=1e-30))).long().clamp(0, N_BINS - 1)
            bins += N_BINS * torch.arange(len(some), device=bins.device)[:, None]
            found = {
                "promoted": best.indices,
                "promoted_logit": best.values,
                "suppressed": worst.indices,
                "suppressed_logit": worst.values,
                "logit_low": low[:, 0],
                "logit_high": high[:, 0],
                "logit_histogram": bins.flatten().bincount(minlength=N_BINS * len(some)).reshape(-1, N_BINS),
            }
            for name, values in found.items():
                parts.setdefault(name, []).append(values.cpu())
    columns = {name: torch.cat(values).numpy() for name, values in parts.items()}
    return {name: rounded(values) if values.dtype == np.float32 else values for name, values in columns.items()}


def _neighbours(sae: SaeId, rows: Mapping[SaeId, torch.Tensor]) -> dict[str, Any]:
    """Columns neighbour_*: the nearest decoder rows of the same SAE, then of all others together, nearest first.

    `neighbour_sae` counts through `rows`.
    """
    unit = {name: torch.nn.functional.normalize(value, dim=1) for name, value in rows.items()}
    owner = np.concatenate([np.full(len(value), number, np.int16) for number, value in enumerate(rows.values())])
    index = np.concatenate([np.arange(len(value), dtype=np.int32) for value in rows.values()])
    everyone, own = torch.cat(list(unit.values())), unit[sae]
    first = next(number for number, name in enumerate(rows) if name == sae)
    begin = int(np.flatnonzero(owner == first)[0])
    end = begin + len(own)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    with torch.inference_mode():
        for at, some in zip(range(0, len(own), _ROWS_PER_PRODUCT), own.split(_ROWS_PER_PRODUCT), strict=True):
            cosines = some @ everyone.T
            inside = cosines[:, begin:end].clone()
            inside[torch.arange(len(some)), at + torch.arange(len(some))] = -2.0
            cosines[:, begin:end] = -2.0
            nearest = inside.topk(min(N_NEIGHBOURS, len(own) - 1))
            across = cosines.topk(min(N_NEIGHBOURS, len(everyone) - len(own)))
            places = torch.cat([nearest.indices + begin, across.indices], 1)
            found.append((places.cpu().numpy(), torch.cat([nearest.values, across.values], 1).cpu().numpy()))
    places = np.concatenate([one for one, _ in found])
    return {
        "neighbour_sae": owner[places],
        "neighbour_index": index[places],
        "neighbour_cosine": in_steps(np.concatenate([cosine for _, cosine in found])),
    }


def _head(spec: SaeSpec, corpus: Corpus, model: LoadedModel, reading: Reading, saes: tuple[SaeId, ...]) -> IndexHead:
    return IndexHead(
        n_tokens=int(reading.counted.sum()),
        n_outliers=reading.n_outliers,
        corpus=corpus.name,
        corpus_sha256=corpus.sha256,
        sae_sha256=weights_sha256(spec),
        dtype=str(model.dtype).removeprefix("torch."),
        saes=tuple(map(str, saes)),
        code=CODE,
    )


def _table(columns: Mapping[str, Any]) -> pa.Table:
    arrays: list[pa.Array] = []
    for field in SCHEMA:
        values = columns[field.name]
        if pa.types.is_list(field.type):
            ends = np.cumsum([0, *map(len, values)]).astype(np.int32)
            flat = pa.array(np.concatenate(list(values)).astype(field.type.value_type.to_pandas_dtype()))
            arrays.append(pa.ListArray.from_arrays(pa.array(ends), flat))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, names=SCHEMA.names)
