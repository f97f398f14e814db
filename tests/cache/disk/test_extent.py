"""The file of an extent: plain safetensors that proves itself."""

import dataclasses

import pytest
from safetensors import safe_open

from longreach.cache.disk.extent import Layout, file_size, read_header, read_pages, write_extent
from longreach.cache.provenance import DENSE, Provenance
from longreach.errors import CacheFileError
from support.extents import chain, data_of, header_of, name_of, text_header

SPARSE = Provenance(mode="adaptive", target=0.95, selection_version=1, recall_min=0.97)
BUDGET = Provenance(mode="budget", target=0.0, budget=(64, 32), recall_mean=0.5)


@pytest.fixture
def extent(tmp_path):
    header = header_of(chain("a", 5), 2, 5, tag="t")
    header = dataclasses.replace(header, made=(DENSE, SPARSE, BUDGET))
    return write_extent(tmp_path, header, [memoryview(data_of(header.digests))])


def test_everything_comes_back(extent):
    """Header and data are what was written, provenance of each page and time included."""
    found = read_header(extent.path)
    assert found.header == extent.header
    assert found.header.made == (DENSE, SPARSE, BUDGET)
    assert found.header.parent == chain("a", 5)[1]
    buffer = bytearray(found.header.num_bytes)
    halves = [memoryview(buffer)[:100], memoryview(buffer)[100:100], memoryview(buffer)[100:]]
    read_pages(found, halves)
    assert buffer == data_of(found.header.digests)


@pytest.mark.parametrize("num_tokens", [9, 15, 16, 17, 23])
def test_an_unfinished_page_comes_back(tmp_path, num_tokens):
    """The last page may have fewer tokens than a page: they and its name are those written."""
    header = text_header(range(num_tokens), 1)
    written = write_extent(tmp_path, header, [memoryview(data_of(header.digests))])
    found = read_header(written.path).header
    assert found == dataclasses.replace(header, checksum=found.checksum)
    assert found.num_tokens == num_tokens - 8
    for place in range(found.num_pages):
        assert found.name_of(place) == name_of(range(num_tokens), 1 + place)


def test_others_can_read_it(extent):
    """It is a safetensors file: k and v as [layers, heads, tokens, head dim]."""
    with safe_open(extent.path, framework="pt") as file:
        assert set(file.keys()) == {"k", "v"}
        assert list(file.get_tensor("k").shape) == [2, 1, 3 * 8, 4]
        assert file.metadata()["format"] == "longreach extent 2"


def test_it_is_private_and_aligned(extent):
    """Only its owner may read it; data begin at a multiple of 64."""
    assert extent.path.stat().st_mode & 0o777 == 0o600
    assert extent.data_at % 64 == 0


def test_no_bit_of_it_may_change(extent):
    """A flipped bit anywhere, in header or data, is found out."""
    whole = extent.path.read_bytes()
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        extent.path.write_bytes(changed)
        with pytest.raises(CacheFileError, match=extent.path.name):
            read_pages(read_header(extent.path), [memoryview(bytearray(extent.header.num_bytes))])


def test_no_byte_of_it_may_be_missing_or_added(extent):
    """Cut anywhere, grown or renamed, it is refused when it is opened."""
    whole = extent.path.read_bytes()
    for size in (0, 4, 8, 100, extent.data_at, len(whole) - 1):
        extent.path.write_bytes(whole[:size])
        with pytest.raises(CacheFileError):
            read_header(extent.path)
    extent.path.write_bytes(whole + b"x")
    with pytest.raises(CacheFileError, match="expected"):
        read_header(extent.path)
    other = extent.path.with_name("0" * 32 + ".safetensors")
    other.write_bytes(whole)
    with pytest.raises(CacheFileError, match="its name"):
        read_header(other)


def test_a_file_cut_after_it_was_opened_is_found_out(extent):
    """Short data is an error, whatever the header promised a moment ago; so is a missing file."""
    buffer = [memoryview(bytearray(extent.header.num_bytes))]
    extent.path.write_bytes(extent.path.read_bytes()[:-5])
    with pytest.raises(CacheFileError, match="bytes"):
        read_pages(extent, buffer)
    extent.path.unlink()
    with pytest.raises(FileNotFoundError):
        read_pages(extent, buffer)
    with pytest.raises(FileNotFoundError):
        read_header(extent.path)


def test_an_extent_is_some_4096_tokens_or_16_mebibytes():
    """32 pages of 128 tokens where these are small; fewer where a token has many bytes."""
    needle = Layout(dtype="BF16", num_layers=4, num_kv_heads=2, head_dim=64, page_size=128)
    large = Layout(dtype="BF16", num_layers=28, num_kv_heads=4, head_dim=128, page_size=128)
    assert needle.bytes_per_page == 128 * 2048
    assert needle.pages_per_extent == 32
    assert large.pages_per_extent == 2
    assert dataclasses.replace(large, page_size=8192).pages_per_extent == 1


def test_headers_are_small():
    """A full extent of the shipped model takes less than 1.02 times its pages' bytes."""
    needle = Layout(dtype="BF16", num_layers=4, num_kv_heads=2, head_dim=64, page_size=128)
    for num_pages in (1, 32):
        header = header_of(chain("a", num_pages), 0, num_pages, layout=needle)
        assert file_size(header) <= 1.02 * header.num_bytes
