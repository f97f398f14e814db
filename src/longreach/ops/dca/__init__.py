"""Dual chunk attention positions (arXiv 2402.17463) and the attention temperature.

Only integer maths, shared by every attention and selection kernel. Key j is rotated at `j mod L`,
once. A query is rotated three times, and the chunk gap `g = i // L - j // L` picks the rotation:
intra (g = 0), succ (g = 1), inter (g >= 2).
"""

from longreach.ops.dca.geometry import DualChunk
from longreach.ops.dca.temperature import temperature

__all__ = ["DualChunk", "temperature"]
