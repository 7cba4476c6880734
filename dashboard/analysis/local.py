"""LocalRunner: answers in the caller's thread. One thread at a time may use it; the Engine sees to that."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE

from dashboard.analysis.asks import CaptureAsk, GenerationAsk, NeighbourAsk
from dashboard.analysis.model.bridge import LoadedModel, tokenise
from dashboard.analysis.model.generation import PlacedEdit, generate
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import LatentId, SaeId
from dashboard.analysis.results import Capture, Fidelity, LatentActivations, ModelCard, Neighbour, TokenDelta
from dashboard.analysis.sae.catalog import Catalog
from dashboard.analysis.sae.loading import check_fits, load_sae
from dashboard.analysis.sae.measures import losses
from dashboard.analysis.tokens import Prompt, TokenizedPrompt


class LocalRunner:
    """A model, the SAEs of a catalogue (loaded when first asked for), and the questions of `Runner`."""

    def __init__(self, model: LoadedModel, catalog: Catalog, cache: Path) -> None:
        self.model, self.catalog = model, catalog
        self._cache = cache
        self._loaded: dict[SaeId, SAE] = {}

    def sae(self, sae: SaeId) -> SAE:
        """The SAE itself, checked against the model.

        Raises:
            UnknownSae, BrokenSaeFile, WidthMismatch: if it cannot be used.
        """
        if sae not in self._loaded:
            spec = self.catalog.get(sae)
            check_fits(spec, self.model)
            self._loaded[sae] = load_sae(spec, self._cache, self.model.device)
        return self._loaded[sae]

    def tokens(self, prompt: Prompt) -> TokenizedPrompt:
        """The prompt as the model reads it."""
        return tokenise(self.model, prompt)

    def describe(self) -> ModelCard:
        """See `Runner.describe`."""
        model = self.model
        dtype = str(model.dtype).removeprefix("torch.")
        return ModelCard(model.id, model.path, model.device, dtype, model.n_layers, model.d_model, model.max_tokens)

    def capture(self, ask: CaptureAsk) -> Capture:
        """See `Runner.capture`."""
        tokens = self.tokens(ask.prompt)
        saes = {sae: self.sae(sae) for sae in ask.saes}
        sites = {sae: self.catalog.get(sae).site for sae in ask.saes}
        ids = self.model.batch(tokens.ids)
        values = read_sites(self.model.bridge, ids, list(dict.fromkeys(sites.values())))
        activations: dict[SaeId, LatentActivations] = {}
        fidelity: dict[SaeId, Fidelity] = {}
        with torch.inference_mode():
            for name, sae in saes.items():
                rows = values[sites[name]][0].float()
                acts = sae.encode(rows)
                activations[name] = _sparse(name, acts)
                fidelity[name] = self._fidelity(tokens, ids, name, sae, rows, acts, ask.fidelity)
        return Capture(tokens, activations, fidelity)

    def neighbours(self, ask: NeighbourAsk) -> tuple[Neighbour, ...]:
        """See `Runner.neighbours`."""
        with torch.inference_mode():
            own = torch.nn.functional.normalize(self._row(ask.latent), dim=0)
            found: list[Neighbour] = []
            for name in ask.among:
                rows = self.sae(name).W_dec
                cosines = (rows @ own) / rows.norm(dim=1).clamp(min=1e-12)
                if name == ask.latent.sae:
                    cosines[ask.latent.index] = -2.0
                best = torch.topk(cosines, min(ask.top, len(rows) - (name == ask.latent.sae)))
                found += [Neighbour(LatentId(name, int(i)), float(c)) for c, i in zip(best.values, best.indices, strict=True)]
        return tuple(found)

    def generate(self, ask: GenerationAsk) -> Iterator[TokenDelta]:
        """See `Runner.generate`."""
        variants = {
            variant.label: [
                PlacedEdit(self.catalog.get(edit.latent.sae).site, edit, self._with_latent(edit.latent)) for edit in variant.interventions
            ]
            for variant in ask.variants
        }
        return generate(self.model, self.tokens(ask.prompt), variants, ask.sampling)

    def _with_latent(self, latent: LatentId) -> SAE:
        self.catalog.latent(latent)
        return self.sae(latent.sae)

    def _row(self, latent: LatentId) -> torch.Tensor:
        return self._with_latent(latent).W_dec[latent.index]

    def _fidelity(
        self, tokens: TokenizedPrompt, ids: torch.Tensor, name: SaeId, sae: SAE, rows: torch.Tensor, acts: torch.Tensor, with_losses: bool
    ) -> Fidelity:
        ordinary = ~torch.tensor(tokens.special, device=rows.device)
        n = int(ordinary.sum())
        if n == 0:
            return Fidelity(None, None, None, None, None)
        # Some SAEs keep each row's norm from encode for the one decode that follows, so each decode gets its own encode.
        rebuilt = sae.decode(acts)
        l0 = float((acts[ordinary] > 0).sum()) / n
        kept = rows[ordinary]
        mean = kept.mean(0)
        spread = float((kept - mean).square().sum())
        error = float((kept - rebuilt[ordinary]).square().sum())
        fvu = error / spread if spread > 0 else None
        if not with_losses or ids.shape[1] < 2:
            return Fidelity(l0, fvu, None, None, None)
        sae.encode(rows)
        all_off = sae.decode(torch.zeros_like(acts))[ordinary].mean(0)
        sums = losses(self.model, ids, ordinary[None], self.catalog.get(name).site, sae, all_off)
        return Fidelity(l0, fvu, *(total / (ids.shape[1] - 1) for total in sums))


def _sparse(sae: SaeId, acts: torch.Tensor) -> LatentActivations:
    position, latent = acts.nonzero(as_tuple=True)
    return LatentActivations(
        sae=sae,
        n_tokens=acts.shape[0],
        n_latents=acts.shape[1],
        position=position.cpu().numpy().astype(np.int32),
        latent=latent.cpu().numpy().astype(np.int32),
        value=acts[position, latent].cpu().numpy().astype(np.float32),
    )
