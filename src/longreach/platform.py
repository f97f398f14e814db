"""What this machine can do and holds. Asked lazily, never at import."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
"""Names of glibc's malloc.h."""

_KEPT_BYTES = 1 << 30
_TOP_PAD_BYTES = 64 << 20


@cache
def has_amx() -> bool:
    """True when the CPU multiplies bfloat16 in hardware tiles (Intel AMX)."""
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


@cache
def has_bf16_dot() -> bool:
    """True when the CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX, Arm BF16)."""
    import torch

    cpu = torch.cpu
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if any(getattr(cpu, name, lambda: False)() for name in names):
        return True
    return "bf16" in _cpu_flags()


@cache
def _cpu_flags() -> frozenset[str]:
    """Feature words of the first core in /proc/cpuinfo (avx512_bf16 counts as bf16 too)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(
                words.replace("avx512_bf16", "bf16").replace("amx_bf16", "bf16").split()
            )
    return frozenset()


def default_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """bfloat16 where the device multiplies it in hardware, else float32."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if has_bf16_dot() else torch.float32


def available_bytes(device: torch.device | str = "cpu") -> int:
    """Memory that can be taken now without swapping (CPU: container limits counted)."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return min(int(psutil.virtual_memory().available), _cgroup_room())


def _cgroup_room() -> int:
    """Bytes left under this process's cgroup limit; huge where there is none."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            room = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return max(0, room)
    return sys.maxsize


def resident_bytes() -> int:
    """Memory this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """The most memory this process has held so far; what it holds now where no one counts."""
    try:
        import resource
    except ImportError:
        return resident_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(resident_bytes(), int(peak) * (1 if sys.platform == "darwin" else 1024))


@cache
def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what is freed, up to 1 GiB: fresh pages cost more than the maths.

    Called once by whoever runs a model, never at import: it changes the whole process. Returns
    whether the C library could be told (only glibc can).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _KEPT_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_TOP_PAD, _TOP_PAD_BYTES),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)
