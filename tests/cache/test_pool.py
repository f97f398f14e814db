"""The tensors of the cache."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longreach.cache import pool as pool_module
from support.pools import small_pool


def make_pool(dtype=torch.float32, num_pages=6):
    return small_pool(num_pages, num_layers=2, num_kv_heads=2, head_dim=3, dtype=dtype)


def rows(count, seed=0):
    return torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(seed))


def test_shapes_and_bytes():
    """One [G, S, H] tensor for keys and one for values per layer; bytes count both."""
    pool = make_pool(torch.bfloat16)
    assert [tuple(t.shape) for t in (*pool.k, *pool.v)] == [(2, 24, 3)] * 4
    assert pool.bytes_per_page == 2 * 2 * 2 * 4 * 3 * 2


@given(st.lists(st.integers(0, 23), unique=True, max_size=24))
def test_write_round_trips_any_slots(slots):
    """Row t is found at slot t again, and no other slot or layer is touched."""
    pool = make_pool()
    for tensor in (*pool.k, *pool.v):
        tensor.zero_()
    index = torch.tensor(slots, dtype=torch.int64)
    k, v = rows(len(slots), 1), rows(len(slots), 2)
    pool.write(1, index, k, v)
    rest = [slot for slot in range(24) if slot not in slots]
    for tensor, want in ((pool.k[1], k), (pool.v[1], v)):
        assert torch.equal(tensor[:, index].transpose(0, 1), want)
        assert not tensor[:, rest].any()
    assert not pool.k[0].any()
    assert not pool.v[0].any()


@pytest.mark.parametrize(
    ("slots", "indexed"),
    [
        (range(5, 17), False),
        ([*range(8, 16), *range(4)], False),
        ([9], False),
        ([3, 9, 20, 1], True),
    ],
)
def test_runs_are_slice_copies(monkeypatch, slots, indexed):
    """Consecutive slots are copied as slices; only scattered rows take the indexed path."""
    calls = []
    copy = pool_module._write_indexed

    def spy(*args):
        calls.append(args)
        copy(*args)

    monkeypatch.setattr(pool_module, "_write_indexed", spy)
    pool = make_pool()
    index = torch.tensor([*slots])
    pool.write(0, index, rows(len(index)), rows(len(index)))
    assert bool(calls) is indexed
    assert torch.equal(pool.k[0][:, index].transpose(0, 1), rows(len(index)))


@pytest.mark.parametrize("slots", [[0, 1, 2, 3], [0, 5, 9, 2]])
def test_write_converts(slots):
    """Rows of another dtype are stored in the pool's, on both paths."""
    pool = make_pool(torch.bfloat16)
    index = torch.tensor(slots)
    pool.write(0, index, rows(4), rows(4))
    assert torch.equal(pool.v[0][:, index].transpose(0, 1), rows(4).bfloat16())


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_copy_is_of_the_first_rows(count):
    """So many rows of a page, keys and values of every layer; no other row of the pool changes."""
    pool = make_pool()
    tensors = (*pool.k, *pool.v)
    for at, tensor in enumerate(tensors):
        tensor.copy_(rows(24, at).transpose(0, 1))
    before = [tensor.clone() for tensor in tensors]
    pool.copy(4, 1, count)
    for tensor, old in zip(tensors, before, strict=True):
        old[:, 4 : 4 + count] = old[:, 16 : 16 + count]
        assert torch.equal(tensor, old)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("slots", [[0, 1, 2, 3], [0, 5, 9, 2]])
def test_write_on_a_gpu(slots):
    """The pool works on a CUDA device, with slots on the host or there."""
    for slot_device in ("cpu", "cuda"):
        pool = small_pool(6, num_kv_heads=2, head_dim=3, device="cuda")
        index = torch.tensor(slots)
        pool.write(0, index.to(slot_device), rows(4).cuda(), rows(4).cuda())
        assert torch.equal(pool.k[0].cpu()[:, index].transpose(0, 1), rows(4))
