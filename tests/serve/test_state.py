"""Where a server keeps its state when nobody says where."""

import pytest

from longreach.serve.state import usual_state_dir


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("needle", "needle"),
        ("Qwen/Qwen2.5-7B-Instruct-1M", "Qwen-Qwen2.5-7B-Instruct-1M"),
        ("./my model/", "my-model"),
        ("../..", "model"),
        ("/srv/模型", "srv-模型"),
    ],
)
def test_each_model_has_one(tmp_path, model, name):
    """A folder of its own, and never one outside."""
    assert usual_state_dir(tmp_path, model) == tmp_path / "server" / name
