"""Rotary position embedding: frequencies of every supported kind, tables, and the rotation."""

from longreach.ops.rope.frequencies import RopeSettings, inverse_frequencies
from longreach.ops.rope.rotation import cos_sin, rotate

__all__ = ["RopeSettings", "cos_sin", "inverse_frequencies", "rotate"]
