"""sae-lens' BatchTopK training classes with the same mathematics in less work.

Two shortcuts: (1) the batch's top k is taken from a short list, because a sample of the batch gives a bound under it that
nearly all entries are below; torch sorts them all out on one core, a third of a step. (2) The auxiliary loss is computed on
the dead latents' columns alone; every other column is zero there.

Source: BatchTopK, Bussmann et al. 2024, arXiv:2412.06410, section 3; auxiliary loss, Gao et al. 2024, arXiv:2406.04093, appendix A.2.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from sae_lens import BatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAE
from sae_lens.saes.batchtopk_sae import BatchTopK
from sae_lens.saes.topk_sae import act_times_W_dec, calculate_topk_aux_acts

STRIDE = 64
"""One entry in so many is sampled."""


class ShortlistBatchTopK(BatchTopK):
    """Keeps the k x rows largest activations of a batch, as `BatchTopK` does; of equal values it may keep others."""

    def forward(self, x: Float[torch.Tensor, "*rows d_sae"]) -> Float[torch.Tensor, "*rows d_sae"]:
        values = x.detach().relu().flatten()
        keep = int(self.k * x.shape[:-1].numel())
        sample = values[::STRIDE]
        bound = sample.topk(min(len(sample), int(1.2 * keep / STRIDE) + 16)).values[-1]
        shortlist = (values > bound).nonzero().squeeze(1)
        if len(shortlist) < keep:
            return super().forward(x)
        kept = shortlist[values[shortlist].topk(keep, sorted=False).indices]
        mask = torch.zeros_like(values, dtype=torch.bool).index_fill_(0, kept, True)
        return x.where(mask.reshape(x.shape), 0)


class _Lean(BatchTopKTrainingSAE):
    def get_activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return ShortlistBatchTopK(self.cfg.k)

    def calculate_topk_aux_loss(
        self,
        sae_in: Float[torch.Tensor, "rows d_in"],
        sae_out: Float[torch.Tensor, "rows d_in"],
        hidden_pre: Float[torch.Tensor, "rows d_sae"],
        dead_neuron_mask: Bool[torch.Tensor, " d_sae"] | None,
    ) -> torch.Tensor:
        dead = torch.empty(0) if dead_neuron_mask is None else dead_neuron_mask.nonzero().squeeze(1)
        if dead_neuron_mask is None or len(dead) == 0:
            return sae_out.new_tensor(0.0)
        enough = sae_in.shape[-1] // 2
        acts = calculate_topk_aux_acts(min(enough, len(dead)), hidden_pre[:, dead], dead_neuron_mask[dead])
        rebuilt = act_times_W_dec(acts, self.W_dec[dead], self.cfg.rescale_acts_by_decoder_norm)
        error = (rebuilt - (sae_in - sae_out).detach()).pow(2).sum(dim=-1).mean()
        return self.cfg.aux_loss_coefficient * min(len(dead) / enough, 1.0) * error


class LeanBatchTopK(_Lean):
    """A `BatchTopKTrainingSAE`, faster."""


class LeanMatryoshkaBatchTopK(_Lean, MatryoshkaBatchTopKTrainingSAE):
    """A `MatryoshkaBatchTopKTrainingSAE`, faster."""
