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
    model = Qwen2ForCausalLM(config)
    initialise(model, rope_theta)
    return model


# Layer -> the distance that each query head looks back when training starts.
LOOK_BACK = {0: (1, 2, 3, 4), 1: (4, 8, 6, 16)}
# The rotary pairs that do it: fast ones see one token, slower ones a few around it.
SHARP_PAIRS, WIDE_PAIRS = range(10), range(7, 19)
MATCH_LAYER, MATCH_DEPTH = 2, 3


@torch.no_grad()
def initialise(model: Qwen2ForCausalLM, rope_theta: float) -> None:
    """Starts the weights with an induction circuit, so that copying need not be discovered.

    Layers 0 and 1 look back, each head at a distance of its own (through its biases); those of
    layer 0 write what they find into a quarter of the residual each. In layer 2 the first KV head
    matches "the tokens before that key" with "this token and those before it", in the slow rotary
    pairs only, and writes the token found. Everything else is small and random; training is free
    to change all of it.
    """
    width = model.config.hidden_size
    dim = width // model.config.num_attention_heads
    model.model.embed_tokens.weight.normal_(std=width**-0.5)
    for layer in model.model.layers:
        for name, weight in layer.named_parameters():
            if name.endswith("proj.weight"):
                written = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(std=weight.shape[1] ** -0.5 * (0.1 if written else 0.5))
    basis = torch.linalg.qr(torch.randn(width, width))[0]
    places = list(basis.split(dim, dim=1))
    reading = torch.linalg.qr(torch.randn(width, dim))[0].T
    layers = model.model.layers
    for index, distances in LOOK_BACK.items():
        for head, distance in enumerate(distances):
            pairs = WIDE_PAIRS if index and head > 1 else SHARP_PAIRS
            _look_back(layers[index].self_attn, head, distance, pairs, rope_theta)
    first = layers[0].self_attn
    first.v_proj.weight.copy_(reading.repeat(model.config.num_key_value_heads, 1))
    first.o_proj.weight.copy_(basis / dim**0.5 / 2)
    _match(layers[MATCH_LAYER].self_attn, reading, places)


def _look_back(
    attend: torch.nn.Module, head: int, distance: int, pairs: range, rope_theta: float
) -> None:
    """Biases that make a head's logits peak at a distance; its content weights are damped."""
    dim, amplitude = attend.head_dim, 5.4 if pairs is SHARP_PAIRS else 4.0
    group = head // (attend.q_proj.out_features // attend.k_proj.out_features)
    index = torch.tensor(pairs)
    angle = distance * rope_theta ** (-index / (dim // 2))
    query = attend.q_proj.bias.view(-1, dim)[head]
    query[index] = amplitude * angle.cos()
    query[dim // 2 + index] = -amplitude * angle.sin()
    attend.k_proj.bias.view(-1, dim)[group, index] = amplitude
    attend.q_proj.weight.view(-1, dim, attend.q_proj.in_features)[head] *= 0.2


def _match(attend: torch.nn.Module, reading: torch.Tensor, places: list[torch.Tensor]) -> None:
    """Makes the first KV head's keys and queries compare MATCH_DEPTH tokens of context."""
    dim = attend.head_dim
    slow = [*range(12, dim // 2), *range(dim // 2 + 12, dim)]
    share = len(slow) // MATCH_DEPTH
    seen = [reading, *(place.T for place in places)]
    query, key = torch.zeros_like(reading), torch.zeros_like(reading)
    for step in range(MATCH_DEPTH):
        rows = slow[step * share : (step + 1) * share]
        mixed = torch.linalg.qr(torch.randn(dim, share))[0].T
        query[rows], key[rows] = mixed @ seen[step], mixed @ seen[step + 1]
    group, gain = attend.q_proj.out_features // attend.k_proj.out_features, 2.2
    attend.q_proj.weight[: group * dim] = gain * query.repeat(group, 1)
    attend.k_proj.weight[:dim] = gain * key
    attend.v_proj.weight[:dim] = reading
    attend.o_proj.weight[:, : group * dim] = 0.6 / group * reading.T.repeat(1, group)


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
    """Writes configs, bf16 weights and tokenizer, as Qwen's 1M models have them."""
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
