"""How good an SAE is on documents that were held out of its training.

Steps: (1) read every site once over the held-out windows: L0, FVU, and how often and how strongly each latent fires; (2) on the first of
those windows, the loss of the model as it is, on the SAE's reconstruction, and on the mean activation of step 1.
Special tokens and outlier-norm tokens are left out of (1); special tokens are left as they are in (2).

Source: CE recovered ("loss recovered") and FVU as in SAEBench, Karvonen et al. 2025, arXiv:2503.09532. Differs from
it: the baseline of CE recovered is mean ablation, which is stricter than zero ablation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from sae_lens import SAE

from dashboard.analysis.index import LatentIndex
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Site
from dashboard.analysis.sae.measures import Losses, decoder_cosine, losses, within_norm
from dashboard.analysis.sae.text import Split, token_windows

WINDOW = 256
_WINDOWS_PER_PASS = 16


@dataclass(frozen=True)
class Evaluation:
    """Figures of one SAE; shares are 0 to 1."""

    l0: float
    fvu: float
    ce_recovered: float
    ce_clean: float
    """Nats a token, as are the next two."""
    ce_spliced: float
    ce_ablated: float
    dead_share: float
    """Share of latents that never fired on `n_tokens`."""
    decoder_cosine: float
    n_tokens: int
    """Tokens behind l0, fvu and dead_share."""
    n_loss_tokens: int
    """Tokens behind the cross-entropies."""


@dataclass(frozen=True)
class Measured:
    """An SAE as a whole, and latent by latent."""

    evaluation: Evaluation
    index: LatentIndex


class _Tally:
    """Running sums of one SAE over batches of rows, in float64."""

    def __init__(self, sae: SAE) -> None:
        self.sae, self.n = sae, 0
        self.squares, self.error = 0.0, 0.0
        self.total = torch.zeros(sae.W_dec.shape[1], dtype=torch.float64)
        self.n_fired = torch.zeros(len(sae.W_dec), dtype=torch.int64)
        self.sum_of_acts = torch.zeros(len(sae.W_dec), dtype=torch.float64)
        self.maximum = torch.zeros(len(sae.W_dec))

    def add(self, rows: torch.Tensor) -> None:
        acts = self.sae.encode(rows)
        self.n += len(rows)
        self.error += float((rows - self.sae.decode(acts)).square().sum(dtype=torch.float64))
        self.squares += float(rows.square().sum(dtype=torch.float64))
        self.total += rows.sum(0, dtype=torch.float64).cpu()
        self.n_fired += (acts > 0).sum(0).cpu()
        self.sum_of_acts += acts.sum(0, dtype=torch.float64).cpu()
        self.maximum = torch.maximum(self.maximum, acts.amax(0).cpu())

    @property
    def mean(self) -> torch.Tensor:
        return self.total / self.n

    @property
    def index(self) -> LatentIndex:
        mean = self.sum_of_acts / self.n_fired.clamp(min=1)
        return LatentIndex(self.n, self.n_fired.numpy(), mean.float().numpy(), self.maximum.numpy())

    @property
    def fvu(self) -> float:
        return self.error / (self.squares - self.n * float(self.mean.square().sum()))


def evaluate(
    saes: Mapping[str, tuple[Site, SAE]],
    text: Sequence[str],
    model: LoadedModel,
    n_tokens: int = 300_000,
    n_loss_tokens: int = 30_000,
    dialogues_as_chat: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Measured]:
    """Measure SAEs, by name, on the held-out documents of `text`; `progress` hears the share that is done.

    Raises:
        BrokenText: if the text cannot be read, or its held-out part is shorter than one window.
    """
    windows = token_windows(text, Split.HELD_OUT, model.tokenizer, WINDOW, dialogues_as_chat)
    # Spread over all files: the windows come file by file.
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))][: max(1, n_tokens // WINDOW)]
    sites = list(dict.fromkeys(site for site, _ in saes.values()))
    tallies = {name: _Tally(sae) for name, (_, sae) in saes.items()}
    for_loss = windows[: max(1, n_loss_tokens // WINDOW)]
    work = len(windows) + 3 * len(saes) * len(for_loss)
    done = 0
    for batch in windows.split(_WINDOWS_PER_PASS):
        ids = batch.long().to(model.device)
        ordinary, values = model.ordinary(ids), read_sites(model.bridge, ids, sites)
        rows = {site: value[ordinary].float() for site, value in values.items()}
        with torch.inference_mode():
            for name, tally in tallies.items():
                site_rows = rows[saes[name][0]]
                tally.add(site_rows[within_norm(site_rows)])
        done += len(batch)
        progress(done / work)
    measured: dict[str, Measured] = {}
    for name, (site, sae) in saes.items():
        sums = Losses(0.0, 0.0, 0.0)
        mean = tallies[name].mean.float().to(model.device)
        for batch in for_loss.split(_WINDOWS_PER_PASS):
            ids = batch.long().to(model.device)
            sums = Losses(*map(sum, zip(sums, losses(model, ids, model.ordinary(ids), site, sae, mean), strict=True)))
            done += 3 * len(batch)
            progress(done / work)
        measured[name] = Measured(_summary(tallies[name], sums, for_loss.numel() - len(for_loss)), tallies[name].index)
    return measured


def _summary(tally: _Tally, sums: Losses, n_loss_tokens: int) -> Evaluation:
    return Evaluation(
        l0=float(tally.n_fired.sum()) / tally.n,
        fvu=tally.fvu,
        ce_recovered=(sums.ablated - sums.spliced) / (sums.ablated - sums.clean),
        ce_clean=sums.clean / n_loss_tokens,
        ce_spliced=sums.spliced / n_loss_tokens,
        ce_ablated=sums.ablated / n_loss_tokens,
        dead_share=float((tally.n_fired == 0).float().mean()),
        decoder_cosine=decoder_cosine(tally.sae.W_dec),
        n_tokens=tally.n,
        n_loss_tokens=n_loss_tokens,
    )
