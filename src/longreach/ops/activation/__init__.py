"""The gated activation of the MLP."""

from longreach.ops.activation.torch_native import silu_mul

__all__ = ["silu_mul"]
