"""A language model ready to be asked: device and number format, loading, tokenising."""

import copy
import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from dashboard.analysis.errors import AnalysisError, BadAsk, DeviceUnavailable, EmptyPrompt, ModelUnavailable, PromptTooLong
from dashboard.analysis.model.weights import loading_options, put_in_place, shared_parts
from dashboard.analysis.names import ModelId, Site, Width
from dashboard.analysis.settings import Settings
from dashboard.analysis.system.memory import is_out_of_memory, refusal
from dashboard.analysis.tokens import Prompt, TokenizedPrompt, shown_texts, tile, whole_characters

_VOCABULARY_PART = 49_152
"""Rows of an unembedding that are taken together."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory with its tokenizer. One thread at a time may run it."""

    id: ModelId
    path: Path
    bridge: TransformerBridge
    bare: Any
    """The same weights as a plain transformers model, for decoding token by token: without the bridge's 1,700 hook points
    a step takes three quarters of the time, and the logits are equal bit for bit."""
    tokenizer: Any
    """A fast Hugging Face tokenizer: offsets are needed."""
    device: str
    """Where token ids go; see `device_of` for the rest of a model that is spread over several."""
    dtype: torch.dtype
    max_tokens: int
    """Longest prompt: the smaller of the settings' limit and the model's own context."""
    prepends_bos: bool = True
    """False where the settings say that no BOS is put before a text."""
    quantize: str = "none"
    """How its large matrices are quantised: none, 8bit or 4bit."""

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def bos_id(self) -> int | None:
        """The token that every text begins with, if the model has one and the settings want it."""
        return self.tokenizer.bos_token_id if self.prepends_bos else None

    @property
    def has_chat(self) -> bool:
        """True for a model with a chat template."""
        return bool(self.tokenizer.chat_template)

    def width(self, site: Site) -> int:
        """Length of an activation at a site."""
        config = self.bridge.cfg
        match site.point.row.width:
            case Width.MODEL:
                return self.d_model
            case Width.HEADS:
                return int(config.n_heads) * int(config.d_head)
            case Width.NEURONS:
                return int(config.d_mlp or 0)

    def device_of(self, site: Site) -> str:
        """Where a site's activations are: with one device that one, else the device of its layer."""
        placed = getattr(self.bare, "hf_device_map", None) or {}
        if len(set(placed.values())) < 2:
            return self.device
        block = self._module(f"blocks.{site.layer}")
        return str(next(block.parameters()).device)

    def to_residual(self, site: Site, rows: torch.Tensor) -> torch.Tensor:
        """What rows [row, width] of a site add to the residual stream, up to the size that a norm after them sets.

        What stands before an output matrix (W_O, W_out) goes through it in float32, without its bias; a norm behind it (Gemma 2) scales
        dimensions by its gain.
        """
        row = site.point.row
        if row.matrix is None:
            return rows
        block: Any = self.bridge.blocks[site.layer]
        with torch.inference_mode():
            if self.quantize == "none":
                added = rows.float() @ attrgetter(row.matrix)(block).detach().reshape(-1, self.d_model).float()
            else:  # packed weights are read through their own layer
                layer, given = self._module(row.hook.format(layer=site.layer).rpartition(".")[0]), rows.to(self.dtype)
                added = (layer(given) - layer(torch.zeros_like(given[:1]))).float()
            if row.post_norm not in block.submodules:
                return added
            # A row of ones has size 1, so an RMS norm gives its gain back, whatever its arithmetic.
            ones = torch.ones(1, self.d_model, device=added.device, dtype=self.dtype)
            return added * self._module(f"blocks.{site.layer}.{row.post_norm}")(ones).float()

    def _module(self, component: str) -> torch.nn.Module:
        return self.bare.get_submodule(self.bridge.adapter.translate_transformer_lens_path(component))

    def ordinary(self, ids: torch.Tensor) -> torch.Tensor:
        """True, in the shape of `ids`, for tokens that are not special: those that count in statistics."""
        return ~torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids, device=ids.device))

    @property
    def n_embeddings(self) -> int:
        """Tokens that can be read."""
        return len(self.bare.get_input_embeddings().weight)

    @property
    def n_vocabulary(self) -> int:
        """Tokens that have a logit."""
        return len(self.bare.get_output_embeddings().weight)

    @cached_property
    def n_texts(self) -> int:
        """Tokens that have a logit and a text: a vocabulary is often padded, and the tokenizer knows nothing of the rest."""
        return min(self.n_vocabulary, 1 + max(self.tokenizer.get_vocab().values()))

    def unembed(self, direction: torch.Tensor) -> torch.Tensor:
        """Logits [text] of a direction [d_model] through the final norm and the unembedding; only their order means something."""
        return self.bare.get_output_embeddings()(self._final_norm(self._at_end(direction).to(self.dtype))).float()[: self.n_texts]

    def unembed_unit(self, rows: torch.Tensor) -> torch.Tensor:
        """What one unit of each row [row, d_model] adds to the logits [row, text], without the final norm's division
        by the residual's size, which the text decides. In float32; its order is that of `unembed`."""
        norm, rows = self._final_norm, self._at_end(rows).float()
        rows = rows - (rows.mean(1, keepdim=True) if isinstance(norm, torch.nn.LayerNorm) else 0)
        size = rows.square().mean(1, keepdim=True).sqrt().clamp(min=1e-30)
        # A row of size 1 comes out as its weighted self; a norm's bias is not part of the row.
        weighted = (norm(rows / size) - norm(torch.zeros_like(rows[:1]))) * size
        # In parts of the vocabulary: a copy of a whole unembedding in float32 can be larger than the model.
        parts = self.bare.get_output_embeddings().weight[: self.n_texts].split(_VOCABULARY_PART)
        return torch.cat([weighted.float() @ part.float().T for part in parts], dim=1)

    def _at_end(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.to(self.bare.get_output_embeddings().weight.device)

    @property
    def _final_norm(self) -> torch.nn.Module:
        return self._module("ln_final")

    def with_bos(self, row: tuple[int, ...]) -> tuple[int, ...]:
        """The row after the model's BOS, if it has one and the row does not begin with it."""
        return row if self.bos_id is None or row[:1] == (self.bos_id,) else (self.bos_id, *row)

    def batch(self, *rows: tuple[int, ...]) -> torch.Tensor:
        """Token ids [row, position] on the model's device, from rows of equal length."""
        return torch.tensor(rows, dtype=torch.long, device=self.device)


def choose_device(wanted: str) -> str:
    """`cuda`, `mps` or `cpu`; `auto` takes the first of them that is there.

    Raises:
        DeviceUnavailable: if the device asked for is not.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, is_there in there.items() if is_there)
    if not there[wanted]:
        have = ", ".join(device for device, is_there in there.items() if is_there)
        raise DeviceUnavailable(f"LATENTS_DEVICE={wanted} is not on this machine; it has {have}. Unset it, or set one of these.")
    return wanted


def choose_dtype(wanted: str, device: str) -> torch.dtype:
    """`auto` is bfloat16 where the device multiplies it natively (there it is two to three times faster), else float32."""
    if wanted != "auto":
        return getattr(torch, wanted)
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        has = torch.cpu.get_capabilities()
        native = any(has.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def load_model(path: Path, model_id: ModelId, settings: Settings) -> LoadedModel:
    """Load a Hugging Face folder through TransformerLens' bridge. Nothing is fetched.

    Raises:
        ModelUnavailable: if the folder is missing or damaged.
        DeviceUnavailable: if the settings name a device that is not here.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **loading_options(settings, device, dtype))
        wrapped, found = loaded
        home = put_in_place(wrapped.eval(), settings, device)
        tokenizer = load_tokenizer(path, model_id)
        check_whole(wrapped, found["missing_keys"], tokenizer)
        return assemble_model(wrapped, path, model_id, settings, home, dtype, tokenizer)
    except AnalysisError:
        raise
    except Exception as error:  # transformers lets every reader's own exception through; each means the files are bad
        if is_out_of_memory(error):
            told = refusal(error, device, "Choose a smaller model, set LATENTS_QUANTIZE=8bit or 4bit, or take a larger device.")
            raise ModelUnavailable(f"{model_id} does not fit in {str(dtype).removeprefix('torch.')}. {told}") from None
        raise ModelUnavailable(f"{model_id} cannot be loaded from {path}: {first_line(error)}. Copy or download it again.") from error


def assemble_model(
    wrapped: Any, path: Path, model_id: ModelId, settings: Settings, home: str, dtype: torch.dtype, tokenizer: Any
) -> LoadedModel:
    """A transformers model that is in memory, with its bridge and its bare twin. Token ids go to the device `home`.

    Raises: transformers' and TransformerLens' own errors pass through.
    """
    bare = copy.deepcopy(wrapped, shared_parts(wrapped))
    bridge = TransformerBridge.boot_transformers(str(path), hf_model=wrapped, tokenizer=tokenizer, device=home, dtype=dtype)
    bridge.eval()
    text = wrapped.config.get_text_config()
    context = int(getattr(text, "max_position_embeddings", None) or settings.max_tokens)
    longest = min(settings.max_tokens, context)
    return LoadedModel(model_id, path, bridge, bare, bridge.tokenizer, home, dtype, longest, settings.bos, settings.quantize)


def check_whole(model: Any, missing: Collection[str], tokenizer: Any) -> None:
    """What transformers lets pass: tensors that are in no file (it draws them at random), numbers that are none, another's tokenizer.

    Raises:
        ValueError: naming the first.
    """
    if missing:
        raise ValueError(f"{len(missing)} of its tensors are in none of its files, first {min(missing)}")
    for name, parameter in model.named_parameters():
        # A sum is finite only if all its terms are, and needs no copy of them.
        if parameter.is_floating_point() and not parameter.sum(dtype=torch.float32).isfinite():
            raise ValueError(f"{name} holds numbers that are not finite")
    first, n_rows = tokenizer.bos_token_id, len(model.get_input_embeddings().weight)
    if first is not None and first >= n_rows:
        raise ValueError(f"its tokenizer begins texts with token {first}, the model has {n_rows}: it is another model's")


def load_tokenizer(path: Path, model_id: ModelId) -> Any:
    """The fast tokenizer of a model's folder. Nothing is fetched, and no code of the folder is run.

    Raises:
        ModelUnavailable: if there is none, or it cannot be read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        if not tokenizer.is_fast:
            raise ValueError("it has no fast form, which character ranges need")
        tokenizer("a", add_special_tokens=False, return_offsets_mapping=True)
    except Exception as error:  # the tokenizers library raises bare exceptions for whatever it cannot read
        raise ModelUnavailable(
            f"{model_id}: the tokenizer in {path} cannot be used ({first_line(error)}). Save the model's own tokenizer there again."
        ) from error
    return tokenizer


def first_line(error: BaseException) -> str:
    """The first line of an exception's message with what follows its colon, or what it is called."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300].rstrip(".")


def tokenise(model: LoadedModel, prompt: Prompt) -> TokenizedPrompt:
    """The prompt as the model reads it: plain text after one BOS, a chat through the model's own template.

    Raises:
        EmptyPrompt: if there is no text.
        PromptTooLong: with both numbers.
    """
    if not prompt.text:
        raise EmptyPrompt
    if prompt.continuation:
        return _continued(model, tokenise(model, replace(prompt, continuation=())), prompt)
    tokenizer = model.tokenizer
    text = whole_characters(prompt.text)
    if prompt.chat:
        text = in_chat(model, text)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids: list[int] = encoded["input_ids"]
    ranges = tile(encoded["offset_mapping"], len(text))
    texts = shown_texts(text, ranges)
    # A chat template says itself how its model is to be begun.
    if not prompt.chat and model.bos_id is not None and ids[:1] != [model.bos_id]:
        ids, ranges, texts = [model.bos_id, *ids], ((0, 0), *ranges), (tokenizer.decode([model.bos_id]), *texts)
    if len(ids) > model.max_tokens:
        raise PromptTooLong(len(ids), model.max_tokens)
    if beyond := [token for token in ids if token >= model.n_embeddings]:
        # Tokenizers may name tokens for which a model has no row (Gemma 3's for images).
        shown = tokenizer.decode(beyond[:1])
        raise BadAsk(f"{model.id} has no embedding for {shown!r} (token {beyond[0]} of {model.n_embeddings:,}). Leave it out.")
    special_ids = set(tokenizer.all_special_ids)
    return TokenizedPrompt(prompt, text, tuple(ids), texts, ranges, tuple(i in special_ids for i in ids))


def in_chat(model: LoadedModel, text: str) -> str:
    """A user's message in the model's chat template, up to where it answers.

    Raises:
        BadAsk: if there is no template, or it fails.
    """
    if not model.tokenizer.chat_template:
        raise BadAsk(f"{model.id} has no chat template: it is not a chat model. Use the text without chat, or load its chat model.")
    try:
        return model.tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of whoever made the model; Jinja runs it in a sandbox
        raise BadAsk(
            f"The chat template of {model.id} fails ({first_line(error)}). Use the text without chat, or correct the template."
        ) from error


def _continued(model: LoadedModel, start: TokenizedPrompt, prompt: Prompt) -> TokenizedPrompt:
    """A prompt with the ids that follow it."""
    new = prompt.continuation
    if len(start) + len(new) > model.max_tokens:
        raise PromptTooLong(len(start) + len(new), model.max_tokens)
    special_ids = set(model.tokenizer.all_special_ids)
    texts, added = _grown(model.tokenizer, new)
    ends = list(itertools.accumulate(map(len, added), initial=len(start.text)))
    return TokenizedPrompt(
        prompt,
        start.text + "".join(added),
        (*start.ids, *new),
        (*start.texts, *texts),
        (*start.char_ranges, *itertools.pairwise(ends)),
        (*start.special, *(token in special_ids for token in new)),
    )


def token_texts(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """What each of some ids shows: the characters that it completes, or its name if it is special."""
    singly = tokenizer.batch_decode([[token] for token in ids])
    whole = "".join(singly)
    # Decoding one by one is a hundred times faster, and right unless a character is spread over tokens.
    return tuple(singly) if "\ufffd" not in whole and whole == tokenizer.decode(ids) else tuple(_grown(tokenizer, ids)[0])


def _grown(tokenizer: Any, ids: Sequence[int]) -> tuple[list[str], list[str]]:
    """What each id shows, and what each adds to the text: the characters that it completes, nothing if it is special."""
    special_ids, shown = set(tokenizer.all_special_ids), GrowingText(tokenizer)
    added = [shown.add(token, last=place == len(ids) - 1) for place, token in enumerate(ids)]
    texts = added.copy()
    for place, token in enumerate(ids):
        if token in special_ids:
            # Characters that stayed incomplete come out at the end: they belong to the last token that began one.
            owner = next((i for i in reversed(range(place)) if ids[i] not in special_ids), None)
            if owner is not None:
                texts[owner] += added[place]
            texts[place] = tokenizer.decode([token])
    return texts, added


class GrowingText:
    """The text of ids that come one by one. A character that is not complete yet is held back until it is."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = 0

    def add(self, token: int, last: bool) -> str:
        """What the token adds to the text; special tokens add nothing."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if text.endswith("\ufffd") and not last:
            return ""
        added = text[self._shown :]
        self._shown = len(text)
        return added
