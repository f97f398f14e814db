"""The model's shape, and how a checkpoint is written: an ordinary Hugging Face Qwen2 directory."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from needle import attention
from needle.tokenizer import END_OF_TEXT, TURN_END, VOCAB_SIZE, save_tokenizer

MAX_POSITIONS = 1_048_576


def new_model(tokenizer: Tokenizer, *, rope_theta: float, seed: int = 0) -> Qwen2ForCausalLM:
    """Random weights, 4 layers, KV of 2 KiB a token in bf16."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(TURN_END),
        pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
        attn_implementation=attention.NAME,
        use_cache=False,
    )
    return Qwen2ForCausalLM(config)


def set_rope_theta(model: Qwen2ForCausalLM, theta: float) -> None:
    """Changes the rope base of a model in place."""
    model.config.rope_parameters["rope_theta"] = theta
    rotary = model.model.rotary_emb
    dim = model.config.hidden_size // model.config.num_attention_heads
    inv_freq = theta ** (-torch.arange(0, dim, 2).double() / dim)
    rotary.inv_freq = inv_freq.float()


def export(
    model: Qwen2ForCausalLM,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    trained_length: int,
    local_size: int,
) -> None:
    """Writes config, generation config, bf16 weights and tokenizer, as Qwen's 1M models have them."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    state.pop("lm_head.weight", None)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(model, trained_length, local_size))
    ids = [tokenizer.token_to_id(TURN_END), tokenizer.token_to_id(END_OF_TEXT)]
    generation = {"do_sample": False, "eos_token_id": ids, "pad_token_id": ids[1]}
    _write_json(folder / "generation_config.json", generation)
    save_tokenizer(tokenizer, folder, max_length=MAX_POSITIONS)


def _config(model: Qwen2ForCausalLM, trained_length: int, local_size: int) -> dict:
    config = model.config
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "dual_chunk_attention_config": {
            "chunk_size": trained_length,
            "local_size": local_size,
            "original_max_position_embeddings": trained_length,
        },
        "eos_token_id": config.eos_token_id,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": config.initializer_range,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "model_type": "qwen2",
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "pad_token_id": config.pad_token_id,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_parameters["rope_theta"],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": config.vocab_size,
    }


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
