"""The flags of the disk cache, as commands read them."""

from pathlib import Path

import pytest

from longreach.cli.cache_flags import CACHE_FLAGS, disk_cache_of
from longreach.config import DiskCacheConfig, as_disk_cache
from longreach.errors import InvalidRequestError


def values(**changed):
    return {flag.name: flag.default for flag in CACHE_FLAGS} | changed


def test_defaults_are_those_of_the_config(monkeypatch, tmp_path):
    """Without a flag: $LONGREACH_CACHE, and the sizes written in DiskCacheConfig."""
    monkeypatch.setenv("LONGREACH_CACHE", str(tmp_path))
    assert disk_cache_of(values()) == DiskCacheConfig(directory=tmp_path)
    monkeypatch.delenv("LONGREACH_CACHE")
    monkeypatch.setenv("HOME", "/home/reader")
    assert DiskCacheConfig().directory == Path("/home/reader/.cache/longreach")


def test_each_flag_is_obeyed(tmp_path):
    """Directory, size and time; or nothing at all."""
    given = values(cache_dir=tmp_path, cache_size="1GiB", cache_ttl="never")
    assert disk_cache_of(given) == DiskCacheConfig(directory=tmp_path, max_bytes=2**30, ttl_s=None)
    assert disk_cache_of(values(no_disk_cache=True)) is None


@pytest.mark.parametrize("bad", [{"cache_size": "big"}, {"cache_ttl": "soon"}])
def test_bad_values_are_named(bad):
    """The flag's own name is in the error."""
    with pytest.raises(InvalidRequestError, match=next(iter(bad))):
        disk_cache_of(values(**bad))


def test_spellings_of_disk_cache(tmp_path):
    """None and False are off, True is the default, a path is a directory."""
    assert as_disk_cache(None) is None
    assert as_disk_cache(False) is None
    assert as_disk_cache(True) == DiskCacheConfig()
    assert as_disk_cache(str(tmp_path)) == DiskCacheConfig(directory=tmp_path)
    assert as_disk_cache(DiskCacheConfig(max_bytes=5)).max_bytes == 5
    with pytest.raises(InvalidRequestError, match="cache_size"):
        DiskCacheConfig(max_bytes=0)
