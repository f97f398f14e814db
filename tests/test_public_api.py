"""What `import longreach` offers, and what it costs."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import longreach
import longreach.errors

ROOT = Path(__file__).parents[1]
PUBLIC = [
    "LLM",
    "BrokenDocumentError",
    "CacheFileError",
    "CheckpointError",
    "CompletionOutput",
    "ConfigError",
    "ContextLengthError",
    "DiskCacheConfig",
    "DocumentError",
    "DocumentNotFoundError",
    "DocumentTooLargeError",
    "DocumentsTooLongError",
    "EmptyDocumentError",
    "EncryptedDocumentError",
    "EngineBusyError",
    "EngineClosedError",
    "InvalidRequestError",
    "LongreachError",
    "MemoryPlanError",
    "ModelError",
    "ModelNotFoundError",
    "NoTextLayerError",
    "RequestAborted",
    "RequestMetrics",
    "RequestOutput",
    "SamplingParams",
    "ShapeError",
    "TemplateError",
    "UnsupportedDocumentError",
    "UnsupportedError",
    "UnsupportedModelError",
    "__version__",
]
HEAVY = ("torch", "numpy", "transformers", "tokenizers", "safetensors", "jinja2", "rich", "typer")


def test_public_names_are_a_decision():
    """A name is added to or taken from the root only together with this list."""
    assert longreach.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves(name):
    """Each name leads to its object, and dir() shows it."""
    assert getattr(longreach, name) is not None
    assert name in dir(longreach)


def test_every_error_is_public():
    """Users can catch each error by its name at the root."""
    tree = ast.parse(Path(longreach.errors.__file__).read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes <= set(PUBLIC)


def test_unknown_names_are_attribute_errors():
    """A misspelt name fails as it would on any module."""
    with pytest.raises(AttributeError, match="no attribute 'LMM'"):
        longreach.LMM  # noqa: B018


def test_importing_is_light():
    """`import longreach` imports no heavy package."""
    code = "import sys, longreach; print(*sorted(set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "longreach" in loaded
    assert not loaded & set(HEAVY)


def test_the_version_is_written_once_in_two_places():
    """__version__ is the project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert longreach.__version__ == project["version"]


def test_the_llm_takes_these_options():
    """Options of LLM are a decision too, and their defaults are those of the config."""
    import inspect

    from longreach.config import EngineConfig, SparsePolicy

    options = inspect.signature(longreach.LLM.__init__).parameters
    assert list(options) == [
        "self",
        "model",
        "dtype",
        "kv_cache_dtype",
        "quantization",
        "max_model_len",
        "sparse",
        "sparse_recall",
        "sparse_min_tokens",
        "sparse_budget",
        "max_num_batched_tokens",
        "lone_slice_tokens",
        "max_num_seqs",
        "page_size",
        "enable_prefix_caching",
        "temperature_mode",
        "dual_chunk_attention",
        "cap",
        "num_kv_tokens",
        "strict_config",
        "seed",
        "max_inter_token_ms",
        "num_speculative_tokens",
        "disk_cache",
        "device",
    ]
    config, policy = EngineConfig(), SparsePolicy()
    for name, option in options.items():
        if hasattr(config, name) and name != "sparse":
            assert option.default == getattr(config, name)
        if name.startswith("sparse_"):
            assert option.default == getattr(policy, name.removeprefix("sparse_"))
