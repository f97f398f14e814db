"""Pages of a pool as bytes, and back into others."""

import pytest
import torch

from longreach.cache import KVPool
from longreach.cache.page_bytes import NOWHERE, copy_pages, fill_pages, layout_of

SHAPE = {"num_layers": 2, "num_kv_heads": 3, "head_dim": 4, "num_pages": 9, "page_size": 2}


def pool(dtype, seed, device="cpu"):
    made = KVPool(**SHAPE, dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*made.k, *made.v):
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return made


def page(pool, number):
    at = slice(number * 2, number * 2 + 2)
    return [tensor[:, at] for tensor in (*pool.k, *pool.v)]


def reader(data):
    """Fills buffers with these bytes, as a file would."""

    def read(buffers):
        at = 0
        for buffer in buffers:
            buffer[:] = data[at : at + buffer.nbytes]
            at += buffer.nbytes
        assert at == len(data)
        return True

    return read


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pages_come_back_to_the_bit(dtype):
    """Copied from scattered pages and read into others, in any runs; all else is untouched."""
    source, target, untouched = pool(dtype, 0), pool(dtype, 1), pool(dtype, 1)
    (data,) = copy_pages(source, [4, 5, 1, 8], 4 * source.page_size)
    assert data.nbytes == 4 * source.bytes_per_page
    assert fill_pages(target, [0, 7, 8, 3], reader(data))
    for to, origin in ((0, 4), (7, 5), (8, 1), (3, 8)):
        assert all(map(torch.equal, page(target, to), page(source, origin)))
    for other in (1, 2, 4, 5, 6):
        assert all(map(torch.equal, page(target, other), page(untouched, other)))


def test_pages_that_are_not_wanted_are_read_apart():
    """NOWHERE takes the bytes of a page, each its own, and leaves page 0 alone."""
    source, target, untouched = (
        pool(torch.float32, 0),
        pool(torch.float32, 1),
        pool(torch.float32, 1),
    )
    (data,) = copy_pages(source, [0, 1, 2, 3], 4 * source.page_size)
    seen = []

    def read(buffers):
        reader(data)(buffers)
        seen.append(b"".join(bytes(buffer) for buffer in buffers))
        return True

    assert fill_pages(target, [NOWHERE, 6, NOWHERE, NOWHERE], read)
    assert seen == [bytes(data)]
    assert all(map(torch.equal, page(target, 6), page(source, 1)))
    for other in (0, 1, 2, 3, 4, 5, 7, 8):
        assert all(map(torch.equal, page(target, other), page(untouched, other)))


def test_a_copy_stays_as_it_was():
    """What the pool does later does not reach bytes that wait to be written."""
    source = pool(torch.float32, 0)
    (data,) = copy_pages(source, [2, 3], 2 * source.page_size)
    before = bytes(data)
    for tensor in (*source.k, *source.v):
        tensor.zero_()
    assert bytes(data) == before


def test_a_layout_names_shape_and_dtype():
    """As safetensors spells them; its bytes are the pool's."""
    for dtype, name in ((torch.float32, "F32"), (torch.bfloat16, "BF16"), (torch.float16, "F16")):
        layout = layout_of(pool(dtype, 0))
        assert (layout.dtype, layout.shape(3)) == (name, [2, 3, 6, 4])
        assert layout.bytes_per_page == pool(dtype, 0).bytes_per_page


def test_a_failed_read_says_so():
    """The caller learns of it; the pages are garbage then."""
    assert not fill_pages(pool(torch.float32, 0), [1, 2], lambda buffers: False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pages_of_a_gpu_come_back_to_the_bit():
    """Through host memory, both ways."""
    source, target = (pool(torch.bfloat16, seed, "cuda") for seed in (0, 1))
    (data,) = copy_pages(source, [4, 5, 1], 3 * source.page_size)
    assert fill_pages(target, [0, NOWHERE, 8], reader(data))
    for to, origin in ((0, 4), (8, 1)):
        assert all(map(torch.equal, page(target, to), page(source, origin)))
