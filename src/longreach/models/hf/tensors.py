"""Tensor names of Hugging Face and ours, there and back."""

from __future__ import annotations

from typing import NamedTuple

from longreach.config import ModelConfig


class Part(NamedTuple):
    """One tensor of the checkpoint; parts of one of ours are stacked along the first axis."""

    name: str
    shape: tuple[int, ...]


def tensor_map(config: ModelConfig) -> dict[str, tuple[Part, ...]]:
    """Our tensor names -> the checkpoint tensors that they are stacked from. Reversible."""
    embedding = (config.vocab_size, config.hidden_size)
    tensors: dict[str, tuple[Part, ...]] = {
        "embedding.weight": (Part("model.embed_tokens.weight", embedding),)
    }
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        for name, parts in _layer_map(config).items():
            tensors[ours + name] = tuple(Part(theirs + part.name, part.shape) for part in parts)
    tensors["norm.weight"] = (Part("model.norm.weight", (config.hidden_size,)),)
    if not config.tie_word_embeddings:
        tensors["head.weight"] = (Part("lm_head.weight", embedding),)
    return tensors


def _layer_map(config: ModelConfig) -> dict[str, tuple[Part, ...]]:
    hidden, inner = config.hidden_size, config.intermediate_size
    q_size, kv_size = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    qkv = (("q", q_size), ("k", kv_size), ("v", kv_size))
    tensors: dict[str, tuple[Part, ...]] = {
        "attention_norm.weight": (Part("input_layernorm.weight", (hidden,)),),
        "attention.qkv.weight": tuple(
            Part(f"self_attn.{x}_proj.weight", (size, hidden)) for x, size in qkv
        ),
        "attention.o.weight": (Part("self_attn.o_proj.weight", (hidden, q_size)),),
        "mlp_norm.weight": (Part("post_attention_layernorm.weight", (hidden,)),),
        "mlp.gate_up.weight": (
            Part("mlp.gate_proj.weight", (inner, hidden)),
            Part("mlp.up_proj.weight", (inner, hidden)),
        ),
        "mlp.down.weight": (Part("mlp.down_proj.weight", (hidden, inner)),),
    }
    if config.qkv_bias:
        tensors["attention.qkv.bias"] = tuple(
            Part(f"self_attn.{x}_proj.bias", (size,)) for x, size in qkv
        )
    if config.o_bias:
        tensors["attention.o.bias"] = (Part("self_attn.o_proj.bias", (hidden,)),)
    if config.qk_norm:
        for x in ("q", "k"):
            part = Part(f"self_attn.{x}_norm.weight", (config.head_dim,))
            tensors[f"attention.{x}_norm.weight"] = (part,)
    return tensors


def is_redundant(name: str, config: ModelConfig) -> bool:
    """Whether a tensor repeats what is known: rotary tables, the head of a tied model."""
    tied_head = config.tie_word_embeddings and name == "lm_head.weight"
    return tied_head or name.endswith("rotary_emb.inv_freq")
