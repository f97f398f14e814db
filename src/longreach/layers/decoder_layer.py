"""One layer of the decoder: attention and MLP, both with a norm before and a residual around.

Linear work is cut into pieces of 1024 rows, whatever the slice is, so that it stays in cache. Only
the residual stream, the queries and the attention's output exist for the whole step.

Shape letters: T rows of the step, R rows of a piece, D hidden size, N query heads, G kv heads,
S physical KV slots, H head dim, X = H // 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from longreach.layers.norm import RMSNorm
from longreach.layers.projection import Product, Projection
from longreach.ops.attention import AttentionScratch, SliceMeta, attend_slice
from longreach.ops.pattern import Pattern
from longreach.ops.rope import rotate

PIECE_ROWS = 1024


class Chooser(Protocol):
    """Says per layer what a slice attends to."""

    def choose(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        """None for dense."""
        ...


class Slice(Protocol):
    """Rows [row_start, row_end) of the step, all of one request."""

    @property
    def row_start(self) -> int:
        """First row."""
        ...

    @property
    def row_end(self) -> int:
        """One past the last row."""
        ...

    @property
    def meta(self) -> SliceMeta:
        """Positions and pages."""
        ...

    @property
    def choice(self) -> Chooser:
        """What its rows attend to."""
        ...


@dataclass(frozen=True)
class LayerStep:
    """What every layer of a step shares. cos_TX, sin_TX: rotation of the new keys, float32."""

    slices: Sequence[Slice]
    slots_T: Tensor
    cos_TX: Tensor
    sin_TX: Tensor
    kv: Any
    scratch: AttentionScratch

    @property
    def num_rows(self) -> int:
        """T."""
        return self.slots_T.numel()

    def pieces(self) -> Iterator[slice]:
        """Rows that linear work is done on at a time."""
        for start in range(0, self.num_rows, PIECE_ROWS):
            yield slice(start, min(start + PIECE_ROWS, self.num_rows))


class Attention(nn.Module):
    """Fused QKV, optional q/k norm, dual chunk attention, output projection."""

    def __init__(
        self,
        qkv: Projection,
        o: Projection,
        q_norm: RMSNorm | None,
        k_norm: RMSNorm | None,
        *,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
    ) -> None:
        super().__init__()
        self.qkv = qkv
        self.o = o
        self.q_norm = q_norm
        self.k_norm = k_norm
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = head_dim

    def split(self, qkv_RF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q_RNH and k_RGH (normed, un-rotated) and v_RGH; views where possible."""
        heads = qkv_RF.view(qkv_RF.shape[0], -1, self.head_dim)
        sizes = [self.num_heads, self.num_kv_heads, self.num_kv_heads]
        q_RNH, k_RGH, v_RGH = heads.split(sizes, dim=1)
        if self.q_norm is not None and self.k_norm is not None:
            q_RNH, k_RGH = self.q_norm(q_RNH), self.k_norm(k_RGH)
        return q_RNH, k_RGH, v_RGH

    def attend(self, layer: int, q_TNH: Tensor, step: LayerStep) -> Tensor:
        """Attention of every slice over the layer's pool; returns out_TNH, in the scratch."""
        out_TNH = step.scratch.take("model.attention_out", tuple(q_TNH.shape), q_TNH.dtype)
        k_GSH, v_GSH = step.kv.k[layer], step.kv.v[layer]
        for piece in step.slices:
            rows = slice(piece.row_start, piece.row_end)
            pattern = piece.choice.choose(layer, q_TNH[rows], k_GSH, piece.meta)
            attend_slice(
                q_TNH[rows],
                k_GSH,
                v_GSH,
                piece.meta,
                pattern,
                scratch=step.scratch,
                out_TNH=out_TNH[rows],
            )
        return out_TNH


class MLP(nn.Module):
    """silu(x G^T) * (x U^T), projected down (SwiGLU)."""

    def __init__(self, gate_up: Projection, down: Projection) -> None:
        super().__init__()
        self.gate_up = gate_up
        self.down = down


class DecoderLayer(nn.Module):
    """Updates the residual stream in place."""

    def __init__(
        self, index: int, attention_norm: RMSNorm, attention: Attention, mlp_norm: RMSNorm, mlp: MLP
    ) -> None:
        super().__init__()
        self.index = index
        self.attention_norm = attention_norm
        self.attention = attention
        self.mlp_norm = mlp_norm
        self.mlp = mlp

    def forward(self, hidden_TD: Tensor, step: LayerStep) -> None:
        """Write the step's keys and values, attend, and add attention and MLP to hidden_TD."""
        q_TNH = self._project(hidden_TD, step)
        out_TNH = self.attention.attend(self.index, q_TNH, step)
        self._finish(hidden_TD, out_TNH.flatten(1), step)

    def _project(self, hidden_TD: Tensor, step: LayerStep) -> Tensor:
        """Write k and v into the pool; return the un-rotated queries of all rows."""
        attention, scratch = self.attention, step.scratch
        shape = (step.num_rows, attention.num_heads, attention.head_dim)
        q_TNH = scratch.take("model.queries", shape, hidden_TD.dtype)
        qkv = attention.qkv.bind(step.num_rows, "model.weight_qkv", scratch)
        for rows in step.pieces():
            normed_RD = self._norm(self.attention_norm, hidden_TD[rows], scratch)
            q_RNH, k_RGH, v_RGH = attention.split(qkv.forward(normed_RD, scratch))
            q_TNH[rows] = q_RNH
            k_RGH = rotate(k_RGH, step.cos_TX[rows], step.sin_TX[rows])
            step.kv.write(self.index, step.slots_T[rows], k_RGH, v_RGH)
        return q_TNH

    def _finish(self, hidden_TD: Tensor, out_TF: Tensor, step: LayerStep) -> None:
        scratch = step.scratch
        o = self.attention.o.bind(step.num_rows, "model.weight_o", scratch)
        gate_up = self.mlp.gate_up.bind(step.num_rows, "model.weight_gate_up", scratch)
        down = self.mlp.down.bind(step.num_rows, "model.weight_down", scratch)
        for rows in step.pieces():
            o.add_to(hidden_TD[rows], out_TF[rows], scratch)
            self._add_mlp(hidden_TD[rows], gate_up, down, scratch)

    def _add_mlp(
        self, hidden_RD: Tensor, gate_up: Product, down: Product, scratch: AttentionScratch
    ) -> None:
        normed_RD = self._norm(self.mlp_norm, hidden_RD, scratch)
        down.add_to(hidden_RD, gate_up.gated(normed_RD, scratch), scratch)

    @staticmethod
    def _norm(norm: RMSNorm, hidden_RD: Tensor, scratch: AttentionScratch) -> Tensor:
        out = scratch.take("model.normed", tuple(hidden_RD.shape), hidden_RD.dtype)
        normed: Tensor = norm(hidden_RD, out=out)
        return normed
