"""Commands on the model that ships with the package: no fake anywhere."""

import json

import pytest


@pytest.mark.slow
def test_the_demo_finds_what_it_hid(run):
    """The demo on 4K tokens of held-out text finds most of it, the second answer from the cache."""
    result = run("demo --tokens 4K --json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert 3900 < data["prompt_tokens"] <= 4096
    assert 2 * len(data["found"]) >= len(data["planted"])
    assert data["second_question"]["num_cached_tokens"] > 3500
    assert data["metrics"]["prefill_tokens_per_s"] > 0


def test_generate_answers_from_a_file(run, tmp_path):
    """`longreach generate QUESTION --file TEXT` finds the pass key of the text."""
    book = tmp_path / "book.txt"
    book.write_text("The sky is blue. The pass key is 28884. Remember it. 28884 is the pass key.")
    result = run(["generate", "What is the pass key?", "--file", str(book)])
    assert result.exit_code == 0, result.output
    assert "28884" in result.stdout


def test_show_and_estimate_know_the_small_model(run):
    """It has dual chunk attention, and a million tokens of it fit in 4 GiB."""
    shown = json.loads(run("show needle --json").stdout)
    assert shown["parameters"] <= 8_000_000
    assert shown["kv_bytes_per_token_bf16"] <= 2048
    assert shown["dual_chunk_attention"]["chunk_len"] % 128 == 0
    planned = json.loads(run("estimate needle --tokens 1M --json").stdout)
    assert planned["planned_bytes"] <= 4 * 2**30
