"""Token embedding, looked up in the table as the checkpoint stores it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Embedding(nn.Module):
    """Rows of the table, converted to the compute dtype after the lookup.

    So the table of a checkpoint on disk stays memory-mapped: only the rows that are used are read.
    Shape letters: T rows, V vocabulary, D hidden size.
    """

    weight: Tensor

    def __init__(self, weight_VD: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight_VD)

    def forward(self, token_ids_T: Tensor, out: Tensor) -> Tensor:
        """Embeddings of the tokens, written into out [T, D]."""
        if self.weight.dtype == out.dtype:
            return torch.index_select(self.weight, 0, token_ids_T, out=out)
        return out.copy_(self.weight.index_select(0, token_ids_T))
