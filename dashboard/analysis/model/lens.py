"""The logit lens and the Jacobian lens of a loaded model. The Jacobian lens is TransformerLens' own.

Steps: (1) one forward pass, which keeps the residual stream after each block; (2) layer by layer, its rows go through the
layer's matrix (`JacobianLens.transport`; the logit lens has none) and then through the model's own final norm, unembedding,
logit scale and soft cap; (3) what is kept of the logits is the likeliest tokens and the divergence from the last layer's.
The vocabulary is large: a few rows have logits at one time.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from transformer_lens.tools.analysis.jacobian_lens import JacobianLens

from dashboard.analysis.asks.lens import SKIPPED, DirectionLens, Jacobians, JacobiansAsk, Lens, LensAsk, LensCheck, LensCheckAsk, LensKind
from dashboard.analysis.errors import BadAsk, NotUsable
from dashboard.analysis.lenses.file import FittedLens
from dashboard.analysis.model.bridge import LoadedModel
from dashboard.analysis.model.hooks import read_sites
from dashboard.analysis.names import Point, Site
from dashboard.analysis.tokens import TokenizedPrompt

ROWS_AT_ONCE = 64
"""Tokens that have logits at one time."""
DIMENSIONS_AT_ONCE = 8
"""Of the last block's output, in one backward pass of a fit: the text is repeated as often."""

Transport = Callable[[torch.Tensor, int], torch.Tensor]
"""Rows [row, d_model] of a layer's residual stream, in float32 -> the same at the end of the model."""


def straight(rows: torch.Tensor, layer: int) -> torch.Tensor:
    """The logit lens: nothing is done to the stream."""
    return rows


def through(model: LoadedModel, fitted: FittedLens) -> Transport:
    """The Jacobian lens; after the last block it is the identity.

    Raises:
        NotUsable: if TransformerLens' lens is not defined for such a model, or this one is of another width or depth.
    """
    check_architecture(model, fitted)

    def transport(rows: torch.Tensor, layer: int) -> torch.Tensor:
        return rows if layer == model.n_layers - 1 else _lens_of(fitted, layer).transport(rows, layer)

    return transport


def check_architecture(model: LoadedModel, fitted: FittedLens) -> None:
    """Raises: NotUsable: with TransformerLens' reason."""
    try:
        if fitted.n_layers != model.n_layers - 1:
            raise ValueError(f"it has matrices for {fitted.n_layers} layers, the model needs {model.n_layers - 1}")
        _lens_of(fitted, 0).validate_model(model.bridge)
    except (ValueError, TypeError) as error:
        raise NotUsable(f"This Jacobian lens cannot read {model.id}: {error}. Fit one with `latents model fit-lens`.") from error


def _lens_of(fitted: FittedLens, layer: int) -> JacobianLens:
    return JacobianLens({layer: torch.from_numpy(fitted.matrix(layer))}, n_prompts=len(fitted.record.documents), d_model=fitted.d_model)


def final_logits(model: LoadedModel, rows: torch.Tensor) -> torch.Tensor:
    """Logits [row, vocabulary] of residual rows [row, d_model] as the model's own end gives them, in float32."""
    bridge = model.bridge
    home = model.bare.get_output_embeddings().weight.device
    logits = bridge.unembed(bridge.ln_final(rows.to(device=home, dtype=model.dtype)[None]))[0]
    return bridge.adapter.apply_output_logits_transform(logits).float()


def read_lens(model: LoadedModel, tokens: TokenizedPrompt, ask: LensAsk, transport: Transport) -> Lens:
    """Every layer of a prompt through a lens.

    Raises:
        BadAsk: if it is to begin behind the last token.
    """
    if not 0 <= ask.first < len(tokens):
        raise BadAsk(f"The lens was asked to begin at token {ask.first}; the text has {len(tokens)} (0 to {len(tokens) - 1}).")
    last = len(tokens) if ask.most is None else min(len(tokens), ask.first + ask.most)
    streams = _streams(model, tokens.ids, slice(ask.first, last))
    n_read, top = streams.shape[1], min(ask.top, model.n_texts)
    ids = np.zeros((model.n_layers, n_read, top), dtype=np.int32)
    shares, kl = ids.astype(np.float32), np.zeros((model.n_layers, n_read), dtype=np.float32)
    with torch.inference_mode():
        for rows in torch.arange(n_read).split(ROWS_AT_ONCE):
            final = final_logits(model, streams[-1, rows]).log_softmax(-1)
            for layer in range(model.n_layers):
                logs = final_logits(model, transport(streams[layer, rows].float(), layer)).log_softmax(-1)
                best = logs[:, : model.n_texts].topk(top)
                ids[layer, rows] = best.indices.cpu().numpy()
                shares[layer, rows] = best.values.exp().cpu().numpy()
                kl[layer, rows] = divergence(final, logs).cpu().numpy()
    return Lens(tokens, ask.kind, ask.first, ids, shares, kl, shown_words(model, ids))


def check_lens(model: LoadedModel, ask: LensCheckAsk, transport: Transport) -> LensCheck:
    """Each layer of a row of token ids against the model's own prediction, at that token and at another one.

    The other one is half the text away, so that it is never the token itself.
    """
    ids = torch.tensor(model.with_bos(ask.row))
    ordinary = model.ordinary(ids).nonzero()[:, 0]
    streams = _streams(model, tuple(ids.tolist()), slice(0, None))[:, ordinary]
    n_read = streams.shape[1]
    elsewhere = torch.arange(n_read).roll(max(1, n_read // 2))
    shape = (model.n_layers, n_read)
    top, top_elsewhere = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    kl, kl_elsewhere = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    with torch.inference_mode():
        final = final_logits(model, streams[-1]).log_softmax(-1)
        for layer in range(model.n_layers):
            logs = final_logits(model, transport(streams[layer].float(), layer)).log_softmax(-1)
            top[layer], kl[layer] = logs.argmax(-1).cpu().numpy(), divergence(final, logs).cpu().numpy()
            top_elsewhere[layer] = top[layer][elsewhere.numpy()]
            kl_elsewhere[layer] = divergence(final, logs[elsewhere]).cpu().numpy()
    return LensCheck(final.argmax(-1).cpu().numpy().astype(np.int32), top, kl, top_elsewhere, kl_elsewhere)


def read_direction(model: LoadedModel, row: torch.Tensor, site: Site, kind: LensKind, top: int, transport: Transport) -> DirectionLens:
    """What a direction [d_model] of the residual stream makes likelier, read at its own layer and at each after it.

    A direction that the embedding or a part of a block adds is read with what its block puts out: what the rest of that
    block makes of it is passed by.
    """
    layers = tuple(range(site.layer, model.n_layers))
    with torch.inference_mode():
        rows = torch.stack([transport(row[None].float(), layer)[0] for layer in layers])
        effects = model.unembed_unit(rows)
        effects = effects - effects.mean(1, keepdim=True)  # what all words gain changes no probability
        up, down = effects.topk(min(top, effects.shape[1])), (-effects).topk(min(top, effects.shape[1]))
    likelier, less = (found.indices.cpu().numpy().astype(np.int32) for found in (up, down))
    words = shown_words(model, np.concatenate([likelier, less], axis=1))
    return DirectionLens(kind, layers, likelier, up.values.cpu().numpy(), less, -down.values.cpu().numpy(), words)


def jacobians(model: LoadedModel, ask: JacobiansAsk) -> Jacobians:
    """One text's share of a fit by TransformerLens, which takes texts: nothing if it is short, or is read back as other tokens.

    Raises:
        NotUsable: with TransformerLens' reason why no lens can be fitted on this model.
    """
    row = (ask.row[1:] if ask.row[:1] == (model.tokenizer.bos_token_id,) else ask.row)[: ask.n_tokens]
    text = model.tokenizer.decode(list(row))
    back = tuple(model.bridge.to_tokens(text)[0].tolist()) if row else ()
    if len(row) < ask.n_tokens or back[-len(row) :] != row or not SKIPPED + 1 < len(back) <= len(row) + 1:
        return Jacobians(None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is lost in bfloat16 is said in the record
            lens = JacobianLens.fit(
                model.bridge,
                [text],
                corpus="one text",
                dim_batch=DIMENSIONS_AT_ONCE,
                max_seq_len=len(back),
                skip_first_positions=SKIPPED,
                show_progress=False,
            )
    except (ValueError, TypeError) as error:
        raise NotUsable(f"No Jacobian lens can be fitted on {model.id}: {error}") from error
    return Jacobians(np.stack([lens.jacobians[layer].numpy() for layer in lens.source_layers]))


def divergence(final: torch.Tensor, logs: torch.Tensor) -> torch.Tensor:
    """KL(final || logs) [row] of log-probabilities [row, vocabulary], nats; never below 0."""
    return torch.nn.functional.kl_div(logs, final, log_target=True, reduction="none").sum(-1).clamp(min=0)


def shown_words(model: LoadedModel, ids: np.ndarray) -> dict[int, str]:
    """What each of some token ids shows by itself."""
    wanted = np.unique(ids).tolist()
    return dict(zip(wanted, model.tokenizer.batch_decode([[token] for token in wanted]), strict=True))


def _streams(model: LoadedModel, ids: tuple[int, ...], positions: slice) -> torch.Tensor:
    """The residual stream [layer, position, d_model] after each block, on one device."""
    sites = [Site(layer, Point.RESID_POST) for layer in range(model.n_layers)]
    found = read_sites(model.bridge, model.batch(ids), sites)
    return torch.stack([found[site][0, positions].to(model.device) for site in sites])
