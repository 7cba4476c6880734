"""One pass of the model over a corpus: where the latents of some SAEs fire, kept on the disk in parts.

Documents of like length are read together, each from its start. Of each SAE a part keeps what fires on ordinary tokens, the
norm of each such token, and for each document and latent the token where the latent came closest to firing. A part depends on
the corpus, the weights and the number format alone, so a pass that was killed goes on after its last whole part and ends
with the same parts. Which norms are outliers is known when all parts are there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32
from sae_lens import SAE
from safetensors.numpy import load_file, save_file

from dashboard.analysis.errors import BrokenText
from dashboard.analysis.index.facts import N_NEAR
from dashboard.analysis.index.measuring import Firings, NearMisses, sort_firings
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import encode_both, read_sites
from dashboard.analysis.names import Site
from dashboard.analysis.sae.measure.measures import OUTLIER_NORM, ordinary_norms
from dashboard.analysis.system.files import is_whole_safetensors
from dashboard.analysis.text.corpus import Corpus

PART_TOKENS = 32_768
"""About as many tokens are in a part."""
_TOKENS_PER_PASS = 2048
"""Most tokens of a forward pass, padding included. Activations of 2,048 latents are 16 MiB: few enough to be reused."""


@dataclass(frozen=True, eq=False)
class Source:
    """An SAE to be read."""

    site: Site
    sae: SAE
    folder: Path
    """Of its parts."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What one SAE gave on the whole corpus."""

    firings: Firings
    near: NearMisses
    counted: Bool[np.ndarray, " tokens"]
    """True for the corpus tokens behind every statistic."""
    n_outliers: int
    """Ordinary tokens that are not counted because of their norm."""


def read_in_parts(saes: Sequence[Source], corpus: Corpus, model: LoadedModel) -> Iterator[tuple[float, str]]:
    """Read the corpus at the sites of some SAEs and keep the parts of each in its folder; those that are there are not made again."""
    groups = list(_groups(corpus))
    for number, batches in enumerate(groups):
        wanted = [source for source in saes if not is_whole_safetensors(_part_file(source.folder, number))]
        collected = [_Collected(len(source.sae.W_dec)) for source in wanted]
        sites = list(dict.fromkeys(source.site for source in wanted))
        for at, batch in enumerate(batches if wanted else ()):
            words = f"reading part {number + 1} of {len(groups)} of the corpus at {len(sites)} sites"
            yield (number + at / len(batches)) / len(groups), words
            ids, position = _padded(corpus, batch, model)
            kept = (position >= 0) & model.ordinary(ids)
            values = read_sites(model.bridge, ids, sites)
            rows = {site: values[site][kept].float() for site in sites}
            at_rows, lengths = position[kept].cpu().numpy(), kept.sum(1).tolist()
            for source, taken in zip(wanted, collected, strict=True):
                taken.add(source.sae, rows[source.site], at_rows, lengths)
        for source, taken in zip(wanted, collected, strict=True):
            _save_part(_part_file(source.folder, number), taken.part())


def read_parts(folder: Path, corpus: Corpus, n_latents: int) -> Reading:
    """What the parts of one SAE hold, together.

    Raises:
        BrokenText: if the corpus has no ordinary token.
    """
    files = [_part_file(folder, number) for number in range(len(list(_groups(corpus))))]
    parts = [part for part in map(load_file, files) if part]
    if not parts:
        raise BrokenText(f"The corpus {corpus.name} has 0 ordinary tokens among its {len(corpus):,}. Give text.")
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counted = np.zeros(len(corpus), dtype=bool)
    counted[found["row_position"]] = ordinary_norms(torch.from_numpy(found["row_norm"])).numpy()
    position = np.repeat(found["row_position"], found["row_count"])
    kept = counted[position]
    near = NearMisses(*(np.zeros(0, kind) for kind in (np.int32, np.int32, np.float32)))
    if "near_value" in found:
        strange = counted[found["strange_position"]]
        n_strange = int(strange.sum())
        near = NearMisses(
            np.concatenate([found["near_latent"], np.tile(np.arange(n_latents, dtype=np.int32), n_strange)]),
            np.concatenate([found["near_position"], np.repeat(found["strange_position"][strange], n_latents)]),
            np.concatenate([found["near_value"], found["strange_before"][strange].ravel()]),
        )
    firings = sort_firings(position[kept], found["latent"][kept], found["value"][kept], n_latents)
    return Reading(firings, near, counted, len(found["row_position"]) - int(counted.sum()))


def _part_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.safetensors"


def _save_part(file: Path, part: Mapping[str, np.ndarray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".writing")
    save_file(dict(part), scratch)
    scratch.replace(file)


def _groups(corpus: Corpus) -> Iterator[list[list[int]]]:
    """Batches of documents of like length, in groups of about PART_TOKENS tokens. They depend on the corpus alone."""
    lengths = np.diff(corpus.starts)
    group: list[list[int]] = []
    batch: list[int] = []
    tokens = 0
    for document in np.argsort(lengths, kind="stable").tolist():
        # Lengths rise, so this document is the longest; one token more for a BOS.
        if batch and (len(batch) + 1) * (int(lengths[document]) + 1) > _TOKENS_PER_PASS:
            group.append(batch)
            batch = []
            if tokens >= PART_TOKENS:
                yield group
                group, tokens = [], 0
        batch.append(document)
        tokens += int(lengths[document])
    if batch:
        yield [*group, batch]


def _padded(corpus: Corpus, documents: Sequence[int], model: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [document, place] padded on the right, which no token before reads, and the corpus position of each, -1 for none."""
    given = [tuple(corpus.document(document).tolist()) for document in documents]
    rows = [model.with_bos(row) for row in given]
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    position = torch.full((len(rows), longest), -1, dtype=torch.int32)
    for place, (document, own, row) in enumerate(zip(documents, given, rows, strict=True)):
        ids[place, : len(row)] = torch.tensor(row)
        start = int(corpus.starts[document])
        position[place, len(row) - len(own) : len(row)] = torch.arange(start, start + len(own), dtype=torch.int32)
    return ids.to(model.device), position.to(model.device)


class _Collected:
    """What one SAE gives on one part of the corpus."""

    def __init__(self, n_latents: int) -> None:
        self._n = n_latents
        self._index_type = np.uint16 if n_latents <= 2**16 else np.int32
        self._arrays: dict[str, list[np.ndarray]] = {}

    def add(self, sae: SAE, rows: Float[torch.Tensor, "row d_model"], position: Int32[np.ndarray, " row"], lengths: Sequence[int]) -> None:
        """Take in a batch: `rows` of ordinary tokens, document after document, `lengths` of them each."""
        if len(rows) == 0:
            return
        acts, before = encode_both(sae, rows)
        norms = rows.norm(dim=-1)
        places = _places(acts > 0)
        row, latent = np.divmod(places, self._n)
        self._keep(
            row_position=position,
            row_norm=norms.cpu().numpy(),
            row_count=np.bincount(row, minlength=len(rows)).astype(np.int32),
            latent=latent.astype(self._index_type),
            value=acts.flatten()[torch.from_numpy(places).to(acts.device)].cpu().numpy().astype(np.float32),
        )
        if before is not None:
            # Whether a token with a large norm counts is known at the end. Such rows are kept whole; the others' maxima suffice.
            large = (norms > OUTLIER_NORM / 2 * norms.median()).cpu().numpy()
            self._keep(strange_position=position[large], strange_before=before[torch.from_numpy(large)].cpu().numpy().astype(np.float32))
            fired = np.zeros((len(lengths), self._n), dtype=bool)
            document = np.repeat(np.arange(len(lengths)), lengths)
            plain = ~large[row]
            fired[document[row[plain]], latent[plain]] = True
            self._add_maxima(before, ~large, fired, position, lengths)

    def _add_maxima(
        self,
        before: torch.Tensor,
        plain: Bool[np.ndarray, " row"],
        fired: Bool[np.ndarray, "document latent"],
        position: Int32[np.ndarray, " row"],
        lengths: Sequence[int],
    ) -> None:
        """Of each document and latent the plain row where it came closest to firing; -inf where it fires on one."""
        maxima, peaks, certain = [], [], []
        ends = np.cumsum(lengths)
        for document, (first, last) in enumerate(zip(ends - lengths, ends, strict=True)):
            rows = np.flatnonzero(plain[first:last]) + first
            if len(rows):
                maximum, peak = _peaks(before[first:last] if len(rows) == last - first else before[torch.from_numpy(rows)])
                maximum[fired[document]] = -np.inf
                maxima.append(maximum)
                peaks.append(position[rows[peak]])
                certain.append(len(rows) == last - first)
        self._keep(
            maximum=np.array(maxima, dtype=np.float32).reshape(-1, self._n),
            peak=np.array(peaks, dtype=np.int32).reshape(-1, self._n),
            certain=np.array(certain, dtype=bool),
        )

    def _keep(self, **arrays: np.ndarray) -> None:
        for name, array in arrays.items():
            self._arrays.setdefault(name, []).append(array)

    def part(self) -> dict[str, np.ndarray]:
        """Everything taken in. Of the near misses only what can be among a latent's N_NEAR in the end."""
        found = {name: np.concatenate(arrays) for name, arrays in self._arrays.items()}
        if "maximum" in found:
            maximum, peak, certain = (found.pop(name) for name in ("maximum", "peak", "certain"))
            hopeful = maximum >= _largest(maximum[certain], N_NEAR)
            document, latent = np.nonzero(hopeful & (maximum > -np.inf))
            found |= {
                "near_latent": latent.astype(np.int32),
                "near_position": peak[document, latent],
                "near_value": maximum[document, latent],
            }
        return found


def _largest(values: Float32[np.ndarray, "rows columns"], n: int) -> Float32[np.ndarray, " columns"]:
    """The n-th largest number of each column; -inf where there are fewer."""
    if len(values) < n:
        return np.full(values.shape[1], -np.inf, dtype=np.float32)
    return np.partition(values, len(values) - n, axis=0)[len(values) - n]


def _places(mask: Bool[torch.Tensor, "row latent"]) -> np.ndarray:
    """Flat places of True. On a CPU numpy finds them three times faster than torch."""
    if mask.device.type == "cpu":
        return np.flatnonzero(mask.numpy())
    return mask.flatten().nonzero().squeeze(1).cpu().numpy()


def _peaks(values: Float[torch.Tensor, "row latent"]) -> tuple[np.ndarray, np.ndarray]:
    """The largest number of each column and the first row that has it. On a CPU three times faster than torch's `max`."""
    if values.device.type != "cpu":
        best = values.max(0)
        return best.values.cpu().numpy(), best.indices.cpu().numpy()
    maximum = values.amax(0)
    row, column = np.divmod(np.flatnonzero((values == maximum).numpy()), values.shape[1])
    first = np.zeros(values.shape[1], dtype=np.int64)
    first[column[::-1]] = row[::-1]
    return maximum.numpy(), first
