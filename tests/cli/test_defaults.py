import json

import pytest

from longreach.cli.defaults import GENERATION_FILE, sampling_defaults
from longreach.errors import CheckpointError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"do_sample": False, "temperature": 0.7}, {"temperature": 0.0}),
        (
            {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "eos_token_id": [1]},
            {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
        ),
        ({"repetition_penalty": 1.05, "top_p": None}, {"repetition_penalty": 1.05}),
    ],
)
def test_reads_what_the_checkpoint_says(tmp_path, given, expected):
    """Sampling keys of generation_config.json, and greedy where it says not to sample."""
    (tmp_path / GENERATION_FILE).write_text(json.dumps(given))
    assert sampling_defaults(tmp_path) == expected


def test_a_checkpoint_may_say_nothing(tmp_path):
    """Without the file there are no defaults."""
    assert sampling_defaults(tmp_path) == {}


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_file_is_named(tmp_path, text):
    """A file that is no JSON object is an error that names it."""
    (tmp_path / GENERATION_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=GENERATION_FILE):
        sampling_defaults(tmp_path)
