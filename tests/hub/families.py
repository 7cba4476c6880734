"""Tiny models of the families that public SAEs are made for, with random weights, and what plain transformers reads in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

D, N, LAYERS, HEADS, D_HEAD, D_MLP = 32, 64, 5, 4, 16, 48
SPARE = 7
"""Rows of the vocabulary that no token of the tokenizer has."""
TEXT = "She moved from Paris to Rome. The river had fallen, and the ferryman said that the summer would be dry."

_GEMMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_LLAMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_FAMILIES: dict[str, tuple[tuple[str, ...], str | None, str | None]] = {
    "gemma2": (("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<bos>", _GEMMA_CHAT),
    "gemma3": (("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<bos>", _GEMMA_CHAT),
    "llama": (("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"), "<|begin_of_text|>", _LLAMA_CHAT),
    "gpt2": (("<|endoftext|>",), "<|endoftext|>", None),
    "qwen": (("<|im_start|>", "<|im_end|>"), None, "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
             "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"),
}  # fmt: skip
"""By family: special tokens, the one that begins a text, the chat template."""
FAMILIES = tuple(_FAMILIES)


def build(family: str, folder: Path) -> Path:
    """Save a tiny model of a family. Its embeddings are tied only where the family's are; Llama's and Qwen's are not."""
    tokenizer = _tokenizer(family)
    shared: dict[str, Any] = {
        "vocab_size": len(tokenizer) + SPARE,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        "initializer_range": 0.2,
    }
    block = {
        "hidden_size": D,
        "intermediate_size": D_MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "head_dim": D_HEAD,
    }
    layers = ["sliding_attention", "full_attention"] * LAYERS
    config: Any = {
        "gemma2": lambda: Gemma2Config(**shared, **block, query_pre_attn_scalar=D_HEAD, sliding_window=8, layer_types=layers[:LAYERS]),
        "gemma3": lambda: Gemma3TextConfig(**shared, **block, query_pre_attn_scalar=D_HEAD, sliding_window=8, layer_types=layers[:LAYERS]),
        "llama": lambda: LlamaConfig(**shared, **block, tie_word_embeddings=False),
        "gpt2": lambda: GPT2Config(
            vocab_size=len(tokenizer) + SPARE, n_embd=D, n_layer=LAYERS, n_head=HEADS, n_positions=512, n_inner=D_MLP,
            initializer_range=0.2,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        ),
        "qwen": lambda: Qwen3Config(**shared, **block, tie_word_embeddings=False),
    }[family]()  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name:  # gains that are not all alike, so that a norm that is forgotten shows
                parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    special, bos, chat = _FAMILIES[family]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    inner.train_from_iterator([TEXT] * 3, trainer)
    further = [one for one in special if one not in (bos, special[-1])]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=bos, eos_token=special[-1], additional_special_tokens=further, model_max_length=512
    )
    tokenizer.chat_template = chat
    return tokenizer


def plain_sites(folder: Path, ids: list[int]) -> dict[str, torch.Tensor]:
    """Activations [position, width] by site, by forward hooks on transformers' own modules: no bridge, no code of ours."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    body = getattr(model, "model", None) or model.transformer
    blocks, is_gpt2 = (body.h, True) if hasattr(body, "h") else (body.layers, False)
    found: dict[str, torch.Tensor] = {}

    def output(name: str) -> Callable[..., None]:
        def keep(module: Any, given: Any, made: Any) -> None:
            found[name] = (made[0] if isinstance(made, tuple) else made)[0].detach()

        return keep

    def given(name: str) -> Callable[..., None]:
        def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[name] = (args[0] if args else kwargs["hidden_states"])[0].detach()

        return keep

    def neurons(name: str) -> Callable[..., None]:
        def keep(mlp: Any, args: tuple[Any, ...]) -> None:
            (rows,) = args
            gated = None if is_gpt2 else mlp.act_fn(mlp.gate_proj(rows)) * mlp.up_proj(rows)
            found[name] = (mlp.act(mlp.c_fc(rows)) if gated is None else gated)[0].detach()

        return keep

    for layer, block in enumerate(blocks):
        block.register_forward_hook(output(f"{layer}.resid_post"))
        block.register_forward_pre_hook(given(f"{layer}.resid_pre"), with_kwargs=True)
        attention, mlp = (block.attn, block.mlp) if is_gpt2 else (block.self_attn, block.mlp)
        last = attention.c_proj if is_gpt2 else attention.o_proj
        last.register_forward_pre_hook(given(f"{layer}.attn_z"), with_kwargs=True)
        mlp.register_forward_pre_hook(neurons(f"{layer}.mlp_post"))
        normed = hasattr(block, "post_feedforward_layernorm")
        (block.post_feedforward_layernorm if normed else mlp).register_forward_hook(output(f"{layer}.mlp_out"))
        (block.post_attention_layernorm if normed else attention).register_forward_hook(output(f"{layer}.attn_out"))
    with torch.inference_mode():
        model(torch.tensor([ids]), use_cache=False)
    found["0.embed"] = found["0.resid_pre"]
    for layer in range(len(blocks)):
        found[f"{layer}.resid_mid"] = found[f"{layer}.resid_pre"] + found[f"{layer}.attn_out"]
    return found
