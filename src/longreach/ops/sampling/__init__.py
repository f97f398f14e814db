"""From logits to a token: adjust (masks, bias, penalties), then temperature, min_p, top_k, top_p,
draw.

`reference.py` is the truth on whole [B, V] logits; `sample_row` gives the same token for the same
key from the few candidates that can be drawn.
"""

from longreach.ops.sampling.adjust import add_bias, apply_bitmask, apply_penalties, ban
from longreach.ops.sampling.candidates import sample_row
from longreach.ops.sampling.noise import draw_key

__all__ = ["add_bias", "apply_bitmask", "apply_penalties", "ban", "draw_key", "sample_row"]
