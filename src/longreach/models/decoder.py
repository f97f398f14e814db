"""The decoder of the Qwen family as a list of parts, and one forward step through them.

Shape letters: T rows of the step, D hidden size, L logit rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longreach.config import ModelConfig
from longreach.errors import ShapeError
from longreach.layers.decoder_layer import DecoderLayer, LayerStep
from longreach.layers.embedding import Embedding
from longreach.layers.norm import RMSNorm
from longreach.layers.projection import Projection
from longreach.models.batch import KVStore, StepBatch
from longreach.ops.attention import AttentionScratch


class Decoder(nn.Module):
    """embedding -> layers -> norm -> head. Buffers of a step are kept in `scratch` and reused."""

    def __init__(
        self,
        config: ModelConfig,
        embedding: Embedding,
        layers: Sequence[DecoderLayer],
        norm: RMSNorm,
        head: Projection,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self.head = head
        self.dtype = dtype
        self.device = device
        self.scratch = AttentionScratch(device)

    @torch.no_grad()
    def forward(self, token_ids_T: Tensor, batch: StepBatch, kv: KVStore) -> Tensor | None:
        """Run one step; keys and values of all rows are written into kv.

        Returns the final-normed hidden states of batch.logit_rows, [L, D] in the model's dtype, or
        None when batch.should_stop() ended the step between two layers.
        Raises ShapeError when token_ids_T does not have the batch's number of rows.
        """
        if token_ids_T.shape != (batch.num_rows,):
            raise ShapeError(
                f"token_ids_T has shape {tuple(token_ids_T.shape)}: expected ({batch.num_rows},)"
            )
        shape = (batch.num_rows, self.config.hidden_size)
        hidden_TD = self.embedding(
            token_ids_T, self.scratch.take("model.hidden", shape, self.dtype)
        )
        step = self._step(batch, kv)
        for index, layer in enumerate(self.layers):
            if batch.should_stop():
                return None
            layer(hidden_TD, step)
            batch.on_layer(index)
        hidden_LD: Tensor = self.norm(hidden_TD[batch.logit_rows])
        return hidden_LD

    def _step(self, batch: StepBatch, kv: KVStore) -> LayerStep:
        rotations = [piece.meta.key_rotation for piece in batch.slices]
        cos_TX, sin_TX = (
            rotations[0] if len(rotations) == 1 else map(torch.cat, zip(*rotations, strict=True))
        )
        return LayerStep(batch.slices, batch.slot_mapping_T, cos_TX, sin_TX, kv, self.scratch)

    @torch.no_grad()
    def logits(self, hidden_LD: Tensor) -> Tensor:
        """Logits of final-normed hidden states, [L, V] float32, a new tensor."""
        head = self.head.bind(hidden_LD.shape[0], "model.weight_head", self.scratch)
        product_LV = head.forward(hidden_LD, self.scratch)
        return product_LV.to(torch.float32, copy=True)
