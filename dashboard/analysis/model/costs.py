"""Bytes that an ask of a loaded model takes: upper estimates, before anything is allocated."""

from dashboard.analysis.model.bridge import LoadedModel


def capture_bytes(model: LoadedModel, n_tokens: int, widths: list[int], with_losses: bool) -> int:
    """Upper estimate for one capture: attention scores, residuals and dense activations in float32, and logits if wanted."""
    config = model.bridge.cfg
    attention = 3 * n_tokens * n_tokens * int(config.n_heads) * 4
    activations = sum(n_tokens * (3 * width + 4 * model.d_model) * 4 for width in widths)
    logits = min(3 * n_tokens, max(3072, n_tokens)) * int(config.d_vocab) * 8 if with_losses else 0
    return attention + activations + logits


def generation_bytes(model: LoadedModel, n_prompt: int, n_new: int, n_rows: int, n_logits: int = 1) -> int:
    """Upper estimate for reading a prompt in `n_rows` rows and writing `n_new` tokens after it, `n_logits` of them with logits."""
    config = model.bridge.cfg
    length = n_prompt + n_new
    attention = 3 * n_prompt * n_prompt * int(config.n_heads) * 4
    kept = 2 * 2 * length * int(config.n_layers) * model.d_model * 4
    return n_rows * (attention + kept + n_logits * int(config.d_vocab) * 4) + min(n_logits, 64) * int(config.d_vocab) * 16


def traced_bytes(model: LoadedModel, n_rows: int, n_tokens: int, widths: list[int]) -> int:
    """Upper estimate for reading rows of one length and encoding every token of them, one dictionary at a time."""
    config = model.bridge.cfg
    attention = 3 * n_rows * n_tokens * n_tokens * int(config.n_heads) * 4
    read = n_rows * n_tokens * 4 * model.d_model * 4 * max(1, len(widths))
    return attention + read + n_rows * n_tokens * 3 * max(widths, default=0) * 4


def rescaled_bytes(model: LoadedModel, n_tokens: int, n_rows: int, n_after: int) -> int:
    """Upper estimate for reading a row of `n_tokens` once and going on from one of its tokens in `n_rows` rows, `n_after` tokens each."""
    config = model.bridge.cfg
    heads, n_after = int(config.n_heads), max(1, n_after)
    kept = 2 * 2 * n_tokens * int(config.n_layers) * model.d_model * 4
    attention = 3 * heads * 4 * (n_tokens * n_tokens + n_rows * n_after * n_tokens)
    return attention + n_rows * (kept + n_after * 8 * model.d_model * 4) + min(n_rows * n_after, 1024) * int(config.d_vocab) * 12


def lens_bytes(model: LoadedModel, n_tokens: int, n_rows: int) -> int:
    """Upper estimate for reading every layer of a text and giving `n_rows` of its tokens logits at one time.

    Beside the streams: logits, their logarithms, the last layer's and what a divergence takes, and a packed lens with one
    matrix of it in float32.
    """
    config = model.bridge.cfg
    attention = 3 * n_tokens * n_tokens * int(config.n_heads) * 4
    streams = 2 * model.n_layers * n_tokens * model.d_model * 4
    logits = 6 * min(n_rows, n_tokens) * int(config.d_vocab) * 4
    return attention + streams + logits + (model.n_layers + 12) * model.d_model**2


def jacobian_bytes(model: LoadedModel, n_tokens: int, n_rows: int) -> int:
    """Upper estimate for the Jacobians of one text, `n_rows` dimensions at one time: what every block keeps for its backward
    pass, a gradient for each, and the matrices."""
    config = model.bridge.cfg
    kept = 16 * model.d_model + 6 * int(config.d_mlp or 4 * model.d_model) + 4 * int(config.n_heads) * n_tokens
    return model.n_layers * (n_rows * n_tokens * kept * 4 + 3 * model.d_model**2 * 4)
