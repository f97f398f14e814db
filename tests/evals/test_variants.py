import json

import pytest

from longreach.errors import ModelNotFoundError
from longreach.evals.variants import without_dual_chunk


def test_only_the_dual_chunk_entry_is_gone(tmp_path):
    """Every other key and file is the original's, which stays as it is; the copy goes away."""
    config = {"model_type": "qwen2", "dual_chunk_attention_config": {"chunk_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with without_dual_chunk(tmp_path) as plain:
        assert json.loads((plain / "config.json").read_text()) == {"model_type": "qwen2"}
        assert (plain / "model.safetensors").read_bytes() == b"weights"
    assert not plain.exists()
    assert json.loads((tmp_path / "config.json").read_text()) == config


def test_a_folder_without_a_config_is_named(tmp_path):
    """The error names the folder."""
    with pytest.raises(ModelNotFoundError, match=str(tmp_path)), without_dual_chunk(tmp_path):
        pass
