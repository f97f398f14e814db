"""Buffers that every attention call reuses: fresh large temporaries cost more than the maths."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class AttentionScratch:
    """Named flat buffers, grown on demand, kept until `release`. One per runner, not thread-safe.

    `take` returns memory that holds anything; two takes of one name alias each other.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}
        self._constants: dict[str, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """Bytes held now."""
        held = (*self._buffers.values(), *self._constants.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialised contiguous tensor of this shape, overwriting what `name` held."""
        size = 1
        for extent in shape:
            size *= extent
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            buffer = torch.empty(size, dtype=dtype, device=self._device)
            self._buffers[name, dtype] = buffer
        return buffer[:size].view(shape)

    def release(self) -> None:
        """Gives every buffer back; the next `take` makes new ones. Constants stay."""
        self._buffers.clear()

    def constant(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor made once under this name; not to be written to."""
        if name not in self._constants:
            self._constants[name] = make()
        return self._constants[name]
