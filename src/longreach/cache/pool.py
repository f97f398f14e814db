"""The tensors that hold keys and values.

Shape letters: T new rows, G kv heads, S physical slots = num_pages * page_size, H head dim.
"""

from __future__ import annotations

import torch


class KVPool:
    """Keys and values of every layer, each [G, S, H]; keys rotated at position mod L, unscaled.

    Memory is reserved here and touched when first written: pages never used cost no RAM.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        num_kv_heads: int,
        head_dim: int,
        num_pages: int,
        page_size: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (num_kv_heads, num_pages * page_size, head_dim)
        self.num_pages = num_pages
        self.page_size = page_size
        self.k = [torch.empty(shape, dtype=dtype, device=device) for _ in range(num_layers)]
        self.v = [torch.empty(shape, dtype=dtype, device=device) for _ in range(num_layers)]

    @property
    def bytes_per_page(self) -> int:
        """Bytes of one page: keys and values of all layers."""
        return sum(t.nbytes for t in (*self.k, *self.v)) // self.num_pages

    def write(
        self, layer: int, slots_T: torch.Tensor, k_TGH: torch.Tensor, v_TGH: torch.Tensor
    ) -> None:
        """Stores row t of k and v at slot slots_T[t]. slots_T: int64, no slot twice.

        On the CPU each run of consecutive slots is one slice copy; elsewhere, and where most runs
        have one row (decode), one indexed copy, which needs no look at the slots.
        """
        k_GSH, v_GSH = self.k[layer], self.v[layer]
        k_GTH, v_GTH = k_TGH.transpose(0, 1), v_TGH.transpose(0, 1)
        if not slots_T.is_cpu or len(slots_T) == 0:
            _write_indexed(k_GSH, slots_T, k_GTH)
            _write_indexed(v_GSH, slots_T, v_GTH)
            return
        cuts = ((slots_T[1:] - slots_T[:-1]) != 1).nonzero().flatten().add_(1).tolist()
        if 2 * (len(cuts) + 1) > len(slots_T) > 1:
            _write_indexed(k_GSH, slots_T, k_GTH)
            _write_indexed(v_GSH, slots_T, v_GTH)
            return
        for begin, end in zip([0, *cuts], [*cuts, len(slots_T)], strict=True):
            slot = int(slots_T[begin])
            k_GSH[:, slot : slot + end - begin] = k_GTH[:, begin:end]
            v_GSH[:, slot : slot + end - begin] = v_GTH[:, begin:end]

    def copy(self, source: int, target: int, num_tokens: int) -> None:
        """Copies the first tokens of a page, keys and values of every layer, into another page."""
        first, into = source * self.page_size, target * self.page_size
        for pool_GSH in (*self.k, *self.v):
            pool_GSH[:, into : into + num_tokens] = pool_GSH[:, first : first + num_tokens]


def _write_indexed(out_GSH: torch.Tensor, slots_T: torch.Tensor, rows_GTH: torch.Tensor) -> None:
    out_GSH.index_copy_(1, slots_T.to(out_GSH.device), rows_GTH.to(out_GSH.dtype))
