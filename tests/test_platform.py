import subprocess
import sys

import pytest
import torch

from longreach import platform


def test_importing_platform_asks_nothing():
    """Importing the module brings in neither torch nor psutil."""
    code = "import sys, longreach.platform; assert not {'torch', 'psutil'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_dtype_follows_the_hardware(monkeypatch):
    """bfloat16 where the CPU has dot products for it, float32 elsewhere."""
    monkeypatch.setattr(platform, "has_bf16_dot", lambda: True)
    assert platform.default_dtype() is torch.bfloat16
    monkeypatch.setattr(platform, "has_bf16_dot", lambda: False)
    assert platform.default_dtype() is torch.float32


def test_bf16_is_a_fact_of_this_cpu():
    """The answer is a bool and does not change."""
    assert platform.has_bf16_dot() is platform.has_bf16_dot()
    assert isinstance(platform.has_bf16_dot(), bool)


def test_memory_figures_fit_together():
    """Held memory is positive, the peak is not below it, and something is available."""
    held = platform.resident_bytes()
    assert held > 0
    assert platform.peak_resident_bytes() >= held
    assert platform.available_bytes() > 0


@pytest.mark.parametrize(("limit", "used", "room"), [("100", "30", 70), ("100", "130", 0)])
def test_a_container_limit_bounds_what_is_available(monkeypatch, limit, used, room):
    """What is left under the cgroup's limit counts, and is never negative."""
    files = {"memory.max": limit, "memory.current": used}
    monkeypatch.setattr(platform.Path, "read_text", lambda path, **_: files[path.name])
    assert platform._cgroup_room() == room
    assert platform.available_bytes() == room


def test_no_container_limit_is_no_bound(monkeypatch):
    """A limit of "max" leaves the machine's own figure."""
    monkeypatch.setattr(platform.Path, "read_text", lambda path, **_: "max\n")
    assert platform._cgroup_room() == sys.maxsize


def test_malloc_can_be_told_on_glibc():
    """On Linux with glibc the settings are accepted; elsewhere the answer is False."""
    code = "from longreach.platform import keep_freed_memory as k; assert k() in (True, False)"
    subprocess.run([sys.executable, "-c", code], check=True)
