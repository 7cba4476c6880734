"""Public suites of SAEs that many start from: the model, the sites, and how texts must be read for them to mean what they did.

What sae-lens' loaders do on the way (folding norms, thresholds) is theirs; `normalisation` says what it comes to. Sources: the
model cards of the suites; Lieberum et al. 2024, arXiv:2408.05147; He et al. 2024, arXiv:2410.20526; Gao et al. 2024, arXiv:2406.04093.
"""

from dataclasses import dataclass

from dashboard.analysis.settings import Dtype


@dataclass(frozen=True)
class Family:
    """One suite on one model."""

    title: str
    model: str
    """Its name on the hub."""
    query: str
    """Finds it in sae-lens' directory."""
    sites: tuple[str, ...]
    """Points that it has."""
    dtype: Dtype
    """Number format of the model, in which its weights are published; SAEs are always float32."""
    bos: bool
    """Texts begin with a BOS token."""
    normalisation: str
    """Of activations, before they are encoded."""


_RAW = "none: activations as they are"
_GEMMA_SITES = ("resid_post", "mlp_out", "attn_z")


def _gemma_2(size: str, chat: bool, sites: tuple[str, ...]) -> Family:
    kind, of = ("it", f"google/gemma-2-{size}-it") if chat else ("pt", f"google/gemma-2-{size}")
    return Family(f"Gemma Scope {size}{' chat' * chat}", of, f"gemma-scope-{size}-{kind}", sites, "bfloat16", True, _RAW)


def _gemma_3(size: str, chat: bool) -> Family:
    kind = "it" if chat else "pt"
    of = "google/gemma-3-270m" if (size, kind) == ("270m", "pt") else f"google/gemma-3-{size}-{kind}"
    # Of the largest base model only the residual stream was published.
    sites = ("resid_post",) if (size, kind) == ("27b", "pt") else _GEMMA_SITES
    return Family(f"Gemma Scope 2 {size}{' chat' * chat}", of, f"gemma-scope-2-{size}-{kind}", sites, "bfloat16", True, _RAW)


FAMILIES = (
    *(_gemma_3(size, chat) for size in ("270m", "1b", "4b", "12b", "27b") for chat in (False, True)),
    _gemma_2("2b", False, _GEMMA_SITES),
    _gemma_2("9b", False, _GEMMA_SITES),
    _gemma_2("9b", True, ("resid_post",)),
    _gemma_2("27b", False, ("resid_post",)),
    Family(
        "Llama Scope", "meta-llama/Llama-3.1-8B", "llama_scope_lx", ("resid_post", "mlp_out", "attn_out"), "bfloat16", True,
        "mean norm to √d, folded into the weights",
    ),
    Family(
        "GPT-2 small, residual stream", "openai-community/gpt2", "gpt2-small-res-jb", ("embed", "resid_post"), "float32", True,
        "centred over the width, folded into the encoder",
    ),
    Family(
        "GPT-2 small, OpenAI's TopK", "openai-community/gpt2", "gpt2-small -v5-", ("resid_post", "resid_mid", "attn_out", "mlp_out"),
        "float32", False, "layer norm of each token, undone in the reconstruction",
    ),
)  # fmt: skip
