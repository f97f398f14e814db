"""Read a million tokens with the models of the Qwen family on the hardware at hand.

Importing this package imports neither torch nor any other heavy package: names are resolved on
first use. It is the one module that may name higher floors (see docs/architecture.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longreach.config import DiskCacheConfig
    from longreach.engine.llm import LLM
    from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
    from longreach.engine.sampling_params import SamplingParams
    from longreach.errors import (
        BrokenDocumentError,
        CacheFileError,
        CheckpointError,
        ConfigError,
        ContextLengthError,
        DocumentError,
        DocumentNotFoundError,
        DocumentsTooLongError,
        DocumentTooLargeError,
        EmptyDocumentError,
        EncryptedDocumentError,
        EngineBusyError,
        EngineClosedError,
        InvalidRequestError,
        LongreachError,
        MemoryPlanError,
        ModelError,
        ModelNotFoundError,
        NoTextLayerError,
        RequestAborted,
        ShapeError,
        TemplateError,
        UnsupportedDocumentError,
        UnsupportedError,
        UnsupportedModelError,
    )

__version__ = "0.1.0"

_HOMES = {
    "LLM": "longreach.engine.llm",
    "DiskCacheConfig": "longreach.config",
    "CompletionOutput": "longreach.engine.outputs",
    "RequestMetrics": "longreach.engine.outputs",
    "RequestOutput": "longreach.engine.outputs",
    "SamplingParams": "longreach.engine.sampling_params",
    "BrokenDocumentError": "longreach.errors",
    "CacheFileError": "longreach.errors",
    "CheckpointError": "longreach.errors",
    "ConfigError": "longreach.errors",
    "ContextLengthError": "longreach.errors",
    "DocumentError": "longreach.errors",
    "DocumentNotFoundError": "longreach.errors",
    "DocumentTooLargeError": "longreach.errors",
    "DocumentsTooLongError": "longreach.errors",
    "EmptyDocumentError": "longreach.errors",
    "EncryptedDocumentError": "longreach.errors",
    "EngineBusyError": "longreach.errors",
    "EngineClosedError": "longreach.errors",
    "InvalidRequestError": "longreach.errors",
    "LongreachError": "longreach.errors",
    "MemoryPlanError": "longreach.errors",
    "ModelError": "longreach.errors",
    "ModelNotFoundError": "longreach.errors",
    "NoTextLayerError": "longreach.errors",
    "RequestAborted": "longreach.errors",
    "ShapeError": "longreach.errors",
    "TemplateError": "longreach.errors",
    "UnsupportedDocumentError": "longreach.errors",
    "UnsupportedError": "longreach.errors",
    "UnsupportedModelError": "longreach.errors",
}

__all__ = [
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


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
