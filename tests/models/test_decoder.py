import json
import shutil

import pytest
import torch

from longreach.errors import ShapeError
from longreach.models.batch import StepBatch
from support.stepping import Stepper, load, random_tokens, relative

TOLERANCE = 1e-5
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
KINDS = {
    "qwen2 tied": ("qwen2", {}),
    "qwen2 untied": ("qwen2", {"tie_word_embeddings": False}),
    "qwen2 own head_dim": ("qwen2", {"head_dim": 24}),
    "qwen2 one kv head": ("qwen2", {"num_key_value_heads": 1, "num_attention_heads": 8}),
    "qwen3": ("qwen3", {}),
    "qwen3 untied": ("qwen3", {"tie_word_embeddings": False, "head_dim": 32}),
    "qwen3 with biases": ("qwen3", {"attention_bias": True}),
    "linear": ("qwen2", {"rope_scaling": {"rope_type": "linear", "factor": 3.0}}),
    "yarn": ("qwen2", {"rope_scaling": YARN}),
    "yarn qwen3": ("qwen3", {"rope_scaling": YARN | {"beta_fast": 16, "attention_factor": 1.3}}),
}


@torch.no_grad()
def truth(model, tokens):
    """transformers' logits of every position, without a cache."""
    return model(torch.tensor([tokens]), use_cache=False).logits[0]


@pytest.fixture(params=KINDS, scope="module")
def pair(request, make_checkpoint, tmp_path_factory):
    """Our decoder and transformers' model of the same checkpoint."""
    import transformers

    family, overrides = KINDS[request.param]
    folder = tmp_path_factory.mktemp("pair")
    shutil.copytree(make_checkpoint(family, **dict(overrides)), folder, dirs_exist_ok=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    randomise_vectors(model, folder)
    return load(folder), model


def randomise_vectors(model, folder):
    """transformers makes biases 0 and norms 1, which would hide that they are dropped."""
    rng = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            noise = torch.randn(parameter.shape, generator=rng) * 0.3
            parameter.data = parameter.data + noise
    config = (folder / "config.json").read_bytes()
    model.save_pretrained(folder)
    (folder / "config.json").write_bytes(config)


def test_logits_equal_transformers(pair):
    """The logits of a prompt in one slice equal transformers' to 1e-5, in every kind of model."""
    stepper, model = pair
    tokens = random_tokens(70)
    assert relative(stepper.request(tokens), truth(model, tokens)) <= TOLERANCE


def test_slices_and_decode_equal_the_whole(pair):
    """Any cut into slices, single rows included, gives the logits of the uncut prompt."""
    stepper, model = pair
    tokens = random_tokens(50, seed=1)
    got = stepper.request(tokens, cuts=(1, 2, 19, 47, 48, 49))
    assert relative(got, truth(model, tokens)) <= TOLERANCE


def test_requests_of_a_step_do_not_see_each_other(pair):
    """Prefill and decode rows of several requests in one step equal each request alone."""
    stepper, model = pair
    prompts = [random_tokens(n, seed=n) for n in (40, 17, 3)]
    first = stepper.step([(0, prompts[0][:9], 0), (1, prompts[1][:16], 0)])
    work = [(0, prompts[0][9:], 9), (1, prompts[1][16:], 16), (2, prompts[2], 0)]
    second = stepper.step(work)
    got = [torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]), second[2]]
    for logits, prompt in zip(got, prompts, strict=True):
        assert relative(logits, truth(model, prompt)) <= TOLERANCE


def test_dynamic_ntk_is_fixed_by_the_final_length(make_checkpoint, reference_model):
    """With the base of the final length, sliced prefill and decode equal transformers uncached."""
    rope = {"rope_type": "dynamic", "factor": 2.0}
    folder = make_checkpoint("qwen2", rope_scaling=rope, max_position_embeddings=32)
    tokens = random_tokens(90, seed=2)
    want = truth(reference_model(folder), tokens)
    got = load(folder, total_length=90).request(tokens, cuts=(40, 88, 89))
    assert relative(got, want) <= TOLERANCE
    short = load(folder, total_length=20).request(tokens[:20])
    assert relative(short, truth(reference_model(folder), tokens[:20])) <= TOLERANCE


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_both_spellings_of_rope_are_one(kind, make_checkpoint, tmp_path):
    """rope_parameters (transformers 5) and rope_scaling with `type` (4) give the same logits."""
    folder = make_checkpoint("qwen2", **KINDS[kind][1])
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    (old / "config.json").write_text(json.dumps(config))
    tokens = random_tokens(40)
    assert torch.equal(load(folder).request(tokens), load(old).request(tokens))


def test_long_steps_are_cut_into_pieces(pair, monkeypatch):
    """Cutting the linear work into pieces of 7 rows changes nothing."""
    stepper, model = pair
    monkeypatch.setattr("longreach.layers.decoder_layer.PIECE_ROWS", 7)
    tokens = random_tokens(33, seed=4)
    assert relative(stepper.request(tokens), truth(model, tokens)) <= TOLERANCE


def test_only_the_rows_asked_for_are_returned(tiny_qwen2):
    """batch.logit_rows selects the hidden states, in its order."""
    stepper = load(tiny_qwen2)
    batch = stepper.batch([(0, random_tokens(12), 0)])
    every = stepper.decoder(batch.token_ids_T, batch, stepper.pool)
    some = StepBatch(
        token_ids_T=batch.token_ids_T,
        slot_mapping_T=batch.slot_mapping_T,
        slices=batch.slices,
        logit_rows=torch.tensor([11, 3]),
    )
    got = stepper.decoder(some.token_ids_T, some, stepper.pool)
    assert torch.equal(got, every[[11, 3]])


def test_a_step_can_be_stopped_between_layers(tiny_qwen2):
    """should_stop is polled before each layer; on_layer hears of each layer that was finished."""
    stepper = load(tiny_qwen2)
    seen = []
    batch = stepper.batch(
        [(0, random_tokens(5), 0)], should_stop=lambda: len(seen) == 1, on_layer=seen.append
    )
    assert stepper.decoder(batch.token_ids_T, batch, stepper.pool) is None
    assert seen == [0]


def test_bfloat16_is_as_near_to_the_truth_as_transformers(make_checkpoint, reference_model):
    """Our bfloat16 logits are no further from float32 ones than transformers' bfloat16 ones."""
    for family in ("qwen2", "qwen3"):
        folder = make_checkpoint(family, initializer_range=0.05, seed=3)
        tokens = random_tokens(60, seed=6)
        model = reference_model(folder)
        want = truth(model, tokens)
        theirs = relative(truth(model.bfloat16(), tokens), want)
        assert relative(load(folder, "bfloat16").request(tokens), want) <= theirs * 1.1


def test_a_batch_whose_slices_leave_gaps_is_refused(tiny_qwen2):
    """Slices must follow each other and cover every row."""
    batch = load(tiny_qwen2).batch([(0, [1, 2, 3], 0), (1, [4, 5], 0)])
    for slices in (batch.slices[:1], batch.slices[1:], batch.slices[::-1]):
        with pytest.raises(ShapeError, match="slice"):
            StepBatch(
                token_ids_T=batch.token_ids_T,
                slot_mapping_T=batch.slot_mapping_T,
                slices=slices,
                logit_rows=batch.logit_rows,
            )


def test_token_ids_must_fit_the_batch(tiny_qwen2):
    """Token ids of another length are refused before anything is written."""
    stepper = load(tiny_qwen2)
    batch = stepper.batch([(0, [1, 2, 3], 0)])
    with pytest.raises(ShapeError, match="expected"):
        stepper.decoder(batch.token_ids_T[:2], batch, stepper.pool)


def test_a_decoder_keeps_its_buffers(tiny_qwen2):
    """A second step of the same size allocates no further scratch."""
    stepper = Stepper(load(tiny_qwen2).decoder)
    stepper.request(random_tokens(30))
    held = stepper.decoder.scratch.num_bytes
    stepper.request(random_tokens(30), at=1)
    assert stepper.decoder.scratch.num_bytes == held
