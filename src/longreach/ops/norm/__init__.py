"""Root mean square normalisation."""

from longreach.ops.norm.torch_native import rms_norm

__all__ = ["rms_norm"]
