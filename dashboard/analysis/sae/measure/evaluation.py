"""How good an SAE is on documents that were held out of its training.

Steps: (1) read every site once over the held-out windows: L0, FVU, and which latents fire; (2) on the first of those
windows, the loss of the model as it is, on the SAE's reconstruction, and on the mean activation of step 1.
A Matryoshka SAE is measured once more for each of its prefixes, the latents beyond it off.
Special tokens and outlier-norm tokens are left out of (1); special tokens are left as they are in (2).

Source: CE recovered ("loss recovered") and FVU as in SAEBench, Karvonen et al. 2025, arXiv:2503.09532. Differs from
it: the baseline of CE recovered is mean ablation, which is stricter than zero ablation.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from sae_lens import SAE

from dashboard.analysis.asks.capture import recovered
from dashboard.analysis.asks.measuring import Evaluation, Prefix
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Site
from dashboard.analysis.sae.measure.measures import (
    Rewrite,
    constant,
    cross_entropies,
    decoder_cosine,
    first_latents,
    reconstruction,
    within_norm,
)
from dashboard.analysis.text.training_text import Split, token_windows

WINDOW = 256
_WINDOWS_PER_PASS = 16


class _Tally:
    """Running sums of one SAE and of its prefixes over batches of rows, in float64."""

    def __init__(self, sae: SAE, prefixes: Sequence[int]) -> None:
        self.sae, self.n = sae, 0
        self.squares = 0.0
        self.errors: dict[int | None, float] = dict.fromkeys([None, *prefixes], 0.0)
        self.total = torch.zeros(sae.W_dec.shape[1], dtype=torch.float64)
        self.n_fired = torch.zeros(len(sae.W_dec), dtype=torch.int64)

    def add(self, rows: torch.Tensor) -> None:
        acts = self.sae.encode(rows)
        self.n += len(rows)
        for width in self.errors:
            rebuilt = self.sae.decode(acts if width is None else first_latents(acts, width))
            self.errors[width] += float((rows - rebuilt).square().sum(dtype=torch.float64))
        self.squares += float(rows.square().sum(dtype=torch.float64))
        self.total += rows.sum(0, dtype=torch.float64).cpu()
        self.n_fired += (acts > 0).sum(0).cpu()

    @property
    def mean(self) -> torch.Tensor:
        return self.total / self.n

    def l0(self, width: int | None = None) -> float:
        return float(self.n_fired[:width].sum()) / self.n

    def fvu(self, width: int | None = None) -> float:
        return self.errors[width] / (self.squares - self.n * float(self.mean.square().sum()))


def evaluate(
    saes: Mapping[str, tuple[Site, SAE]],
    text: Sequence[str],
    model: LoadedModel,
    n_tokens: int = 300_000,
    n_loss_tokens: int = 30_000,
    dialogues_as_chat: bool = False,
    prefixes: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> dict[str, Evaluation]:
    """Measure SAEs, by name, on the held-out documents of `text`; see `evaluation_steps`."""
    *_, (_, measured) = evaluation_steps(saes, text, model, n_tokens, n_loss_tokens, dialogues_as_chat, prefixes)
    return measured


def evaluation_steps(
    saes: Mapping[str, tuple[Site, SAE]],
    text: Sequence[str],
    model: LoadedModel,
    n_tokens: int,
    n_loss_tokens: int,
    dialogues_as_chat: bool,
    prefixes: Mapping[str, Sequence[int]],
) -> Iterator[tuple[float, dict[str, Evaluation]]]:
    """Measure SAEs, by name, on the held-out documents of `text`, a batch at a time: the share that is done, and what is measured.

    `prefixes` names widths at which an SAE is measured once more.

    Raises:
        BrokenText: if the text cannot be read, or its held-out part is shorter than one window.
    """
    windows = token_windows(text, Split.HELD_OUT, model.tokenizer, WINDOW, dialogues_as_chat, model.prepends_bos)
    # Spread over all files: the windows come file by file.
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))][: max(1, n_tokens // WINDOW)]
    sites = list(dict.fromkeys(site for site, _ in saes.values()))
    tallies = {name: _Tally(sae, prefixes.get(name, ())) for name, (_, sae) in saes.items()}
    for_loss = windows[: max(1, n_loss_tokens // WINDOW)]
    ways = {name: [reconstruction(tally.sae, width) for width in tally.errors] for name, tally in tallies.items()}
    work = len(windows) + len(for_loss) * (1 + sum(len(own) + 1 for own in ways.values()))
    done = 0

    for batch in windows.split(_WINDOWS_PER_PASS):
        ids = batch.long().to(model.device)
        ordinary, values = model.ordinary(ids), read_sites(model.bridge, ids, sites)
        rows = {site: value[ordinary.to(value.device)].float() for site, value in values.items()}
        with torch.inference_mode():
            for name, tally in tallies.items():
                site_rows = rows[saes[name][0]]
                tally.add(site_rows[within_norm(site_rows)])
        done += len(batch)
        yield done / work, {}

    def losses(site: Site, rewrites: Sequence[Rewrite | None]) -> Generator[float, None, list[float]]:
        nonlocal done
        sums = [0.0] * len(rewrites)
        for batch in for_loss.split(_WINDOWS_PER_PASS):
            ids = batch.long().to(model.device)
            sums = [sum(pair) for pair in zip(sums, cross_entropies(model, ids, model.ordinary(ids), site, rewrites), strict=True)]
            done += len(batch) * len(rewrites)
            yield done / work
        return sums

    # As it is, the model has the same loss whichever site one looks at.
    (clean,) = yield from _unmeasured(losses(sites[0], [None]))
    n_losses = for_loss.numel() - len(for_loss)
    measured: dict[str, Evaluation] = {}
    for name, (site, _) in saes.items():
        mean = constant(tallies[name].mean.float().to(model.device))
        ablated, *spliced = yield from _unmeasured(losses(site, [mean, *ways[name]]))
        measured[name] = _summary(tallies[name], clean, spliced, ablated, n_losses)
    yield 1.0, measured


def _unmeasured(steps: Generator[float, None, list[float]]) -> Generator[tuple[float, dict[str, Evaluation]], None, list[float]]:
    """The shares of some steps; what they return."""
    while True:
        try:
            yield next(steps), {}
        except StopIteration as end:
            return end.value


def _summary(tally: _Tally, clean: float, spliced: Sequence[float], ablated: float, n_loss_tokens: int) -> Evaluation:
    share = {width: recovered(clean, loss, ablated) for width, loss in zip(tally.errors, spliced, strict=True)}
    return Evaluation(
        l0=tally.l0(),
        fvu=tally.fvu(),
        ce_recovered=share[None],
        ce_clean=clean / n_loss_tokens,
        ce_spliced=spliced[0] / n_loss_tokens,
        ce_ablated=ablated / n_loss_tokens,
        dead_share=float((tally.n_fired == 0).float().mean()),
        decoder_cosine=decoder_cosine(tally.sae.W_dec),
        n_tokens=tally.n,
        n_loss_tokens=n_loss_tokens,
        prefixes=tuple(Prefix(width, tally.l0(width), tally.fvu(width), share[width]) for width in tally.errors if width is not None),
    )
