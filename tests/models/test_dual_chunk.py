"""Dual chunk attention inside a whole model, against transformers with other distances."""

import numpy as np
import pytest
import torch

from oracles import dual_chunk
from support.stepping import load, random_tokens, relative

CHUNK, LOCAL, TRAINED = 24, 7, 20
LENGTH = CHUNK - LOCAL


def oracle_attention(distance, factors, frequencies):
    """transformers' eager attention in which query i and key j are `distance[i, j]` apart.

    Its q and k come rotated by i and j: turning k back by the difference leaves the distance.
    """

    def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
        n = query.shape[2]
        repeat = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
        rows = torch.arange(n)
        turn = (rows[:, None] - rows[None, :]) - torch.from_numpy(distance[:n, :n])
        angle = turn[..., None] * torch.from_numpy(frequencies)
        cos, sin = (torch.cat([f(angle)] * 2, -1).to(query) for f in (torch.cos, torch.sin))
        halves = key.chunk(2, -1)
        swapped = torch.cat([-halves[1], halves[0]], -1)
        turned = key[:, :, None] * cos + swapped[:, :, None] * sin
        logits = torch.einsum("bhid,bhijd->bhij", query, turned) * scaling
        logits = logits * torch.from_numpy(factors[:n] ** 2).to(query)[:, None]
        logits = logits.masked_fill(rows[None, :] > rows[:, None], float("-inf"))
        return (logits.softmax(-1) @ value).transpose(1, 2), None

    return attention


@torch.no_grad()
def truth(folder, tokens, distance, factors):
    import transformers
    from transformers import AttentionInterface, AttentionMaskInterface

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    theta = config.rope_parameters["rope_theta"]
    frequencies = theta ** -(np.arange(0, dim, 2, dtype=np.float64) / dim)
    AttentionInterface.register("oracle", oracle_attention(distance, factors, frequencies))
    AttentionMaskInterface.register("oracle", lambda *args, **kwargs: None)
    model.set_attn_implementation("oracle")
    return model.eval()(torch.tensor([tokens]), use_cache=False).logits[0]


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
@pytest.mark.parametrize("cap", [CHUNK, CHUNK - 1])
@pytest.mark.parametrize(
    "n", [LENGTH, LENGTH + 1, CHUNK + 1, CHUNK + 2, 2 * LENGTH + 1, 3 * LENGTH + 5]
)
def test_logits_equal_transformers_with_the_oracle_distances(family, cap, n, make_checkpoint):
    """The whole model equals transformers with each pair's distance replaced by the oracle's."""
    settings = {
        "chunk_size": CHUNK,
        "local_size": LOCAL,
        "original_max_position_embeddings": TRAINED,
        "cap": cap,
    }
    folder = make_checkpoint(family, dual_chunk_attention_config=settings)
    tokens = random_tokens(n, seed=n)
    distance = dual_chunk.distances(n, CHUNK, LOCAL, cap)
    want = truth(folder, tokens, distance, dual_chunk.temperatures(n, TRAINED))
    assert relative(load(folder).request(tokens), want) <= 1e-5
    cuts = sorted({1, LENGTH - 1, n // 2, n - 1})
    assert relative(load(folder).request(tokens, cuts=cuts), want) <= 1e-5


def test_short_prompts_are_those_of_the_plain_model(make_checkpoint):
    """With the temperature off, prompts up to min(C + 1, 2L) do not see dual chunk attention."""
    chunks = {"chunk_size": CHUNK, "local_size": LOCAL, "original_max_position_embeddings": TRAINED}
    plain, dual = (
        load(make_checkpoint("qwen2", **extra), temperature_mode="off")
        for extra in ({}, {"dual_chunk_attention_config": chunks})
    )
    n = min(CHUNK + 1, 2 * LENGTH)
    tokens = random_tokens(n + 1, seed=9)
    assert relative(dual.request(tokens[:n]), plain.request(tokens[:n])) <= 1e-6
    assert relative(dual.request(tokens), plain.request(tokens)) > 1e-6
