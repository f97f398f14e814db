"""The model shapes that benchmarks run, and random checkpoints of them.

Speed does not depend on what the weights say, so a checkpoint of random weights measures what a
real one would, on machines that can download nothing.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a Qwen2 decoder. `vocab_size` may differ from the namesake's: it is stated."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    rope_theta: float = 1_000_000.0
    max_position_embeddings: int = 262_144

    def hf_config(self) -> dict[str, object]:
        """config.json of the shape, as transformers and the peers read it."""
        return {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": 1e-6,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "torch_dtype": "bfloat16",
        }


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            name="qwen2.5-0.5b",
            hidden_size=896,
            intermediate_size=4864,
            num_layers=24,
            num_heads=14,
            num_kv_heads=2,
            vocab_size=32_768,
        ),
        Shape(
            name="qwen2.5-7b",
            hidden_size=3584,
            intermediate_size=18944,
            num_layers=28,
            num_heads=28,
            num_kv_heads=4,
            vocab_size=152_064,
        ),
    )
}


def with_layers(shape: Shape, num_layers: int | None) -> Shape:
    """The shape with fewer (or more) layers, and a name that says so; None: as it is."""
    if num_layers is None:
        return shape
    return replace(shape, name=f"{shape.name}-{num_layers}-layers", num_layers=num_layers)


def write_random_checkpoint(shape: Shape, directory: Path, *, seed: int = 0) -> Path:
    """Write a bf16 checkpoint of random weights (std 0.02, norms 1) in Hugging Face's layout.

    The tokenizer of the shipped model rides along, because some peers refuse to start without one;
    its ids are all below `vocab_size`. Returns `directory`; an existing checkpoint is kept.
    """
    target = directory / "model.safetensors"
    if target.exists():
        return directory
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(shape.hf_config(), indent=2))
    assets = Path(__file__).parents[1] / "assets" / "needle"
    for name in TOKENIZER_FILES:
        if (assets / name).exists():
            shutil.copy(assets / name, directory / name)
    partial = target.with_suffix(".partial")
    save_file(_random_tensors(shape, seed), partial, metadata={"format": "pt"})
    partial.rename(target)
    return directory


def _random_tensors(shape: Shape, seed: int) -> dict[str, torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(seed)

    def weight(*size: int) -> torch.Tensor:
        return (torch.randn(*size, generator=generator) * 0.02).to(torch.bfloat16)

    hidden, middle = shape.hidden_size, shape.intermediate_size
    kv_size = shape.num_kv_heads * (hidden // shape.num_heads)
    tensors = {
        "model.embed_tokens.weight": weight(shape.vocab_size, hidden),
        "model.norm.weight": torch.ones(hidden, dtype=torch.bfloat16),
    }
    sizes = {
        "self_attn.q_proj.weight": (hidden, hidden),
        "self_attn.k_proj.weight": (kv_size, hidden),
        "self_attn.v_proj.weight": (kv_size, hidden),
        "self_attn.q_proj.bias": (hidden,),
        "self_attn.k_proj.bias": (kv_size,),
        "self_attn.v_proj.bias": (kv_size,),
        "self_attn.o_proj.weight": (hidden, hidden),
        "mlp.gate_proj.weight": (middle, hidden),
        "mlp.up_proj.weight": (middle, hidden),
        "mlp.down_proj.weight": (hidden, middle),
    }
    for layer in range(shape.num_layers):
        prefix = f"model.layers.{layer}."
        tensors |= {prefix + name: weight(*size) for name, size in sizes.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
    return tensors
