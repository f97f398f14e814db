import pytest
import torch

from longreach.errors import ShapeError, UnsupportedError
from longreach.ops.attention import AttentionScratch, KeyRuns, attend_slice, prepare_slice
from longreach.ops.dca import DualChunk
from longreach.ops.pattern import Pattern

INV_FREQ = 10.0 ** -torch.arange(8, dtype=torch.float64)


def meta(start=0, length=4, runs=((0, 0, 4),), head_dim=16, **options):
    return prepare_slice(
        start, length, runs, geometry=DualChunk(10, 12), inv_freq=INV_FREQ, head_dim=head_dim,
        **options,
    )  # fmt: skip


def call(q=(4, 4, 16), k=(2, 8, 16), v=None, dtype=torch.float32, key_dtype=None, **options):
    pools = [torch.zeros(shape, dtype=key_dtype or dtype) for shape in (k, v or k)]
    options.setdefault("meta", meta())
    return attend_slice(torch.zeros(q, dtype=dtype), *pools, scratch=AttentionScratch(), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"q": (4, 64)}, "expected"),
        ({"v": (2, 8, 8)}, "expected"),
        ({"q": (4, 4, 8)}, "one head dim"),
        ({"q": (4, 3, 16)}, "heads a multiple"),
        ({"q": (5, 4, 16)}, "the slice has 4 rows"),
        ({"k": (2, 3, 16)}, "slot 3"),
        ({"key_dtype": torch.int64}, "expected floats"),
        ({"pattern": Pattern((None,))}, "1 groups"),
        ({"out_TNH": torch.zeros(4, 4, 8)}, "out is"),
    ],
)
def test_tensors_that_do_not_fit(options, words):
    """Every mismatch is a ShapeError that prints both shapes."""
    with pytest.raises(ShapeError, match=words):
        call(**options)


def test_an_unsupported_dtype_lists_every_twin():
    """When no twin can run the arguments the error gives each one's reason and the shapes."""
    with pytest.raises(
        UnsupportedError, match=r"int64.*torch_rows: .*; torch_fused: .*; torch_tiles: "
    ):
        call(dtype=torch.int64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": -1}, "start"),
        ({"length": 0}, "length"),
        ({"length": 5}, "cover 4 keys"),
        ({"head_dim": 32}, "inv_freq"),
    ],
)
def test_slices_that_make_no_sense(options, words):
    """prepare_slice checks its numbers against each other."""
    with pytest.raises(ShapeError, match=words):
        meta(**options)


@pytest.mark.parametrize("runs", [[(1, 0, 4)], [(0, 0, 2), (3, 8, 1)], [(0, 0, 0)], [(0, -1, 2)]])
def test_runs_are_gapless(runs):
    """Runs that overlap, leave gaps, are empty or lie below slot 0 are refused."""
    with pytest.raises(ShapeError, match="key run"):
        KeyRuns(runs)


def test_neighbouring_runs_merge():
    """Runs that continue each other physically become one."""
    assert KeyRuns([(0, 4, 2), (2, 6, 3), (5, 0, 1)]) == ((0, 4, 5), (5, 0, 1))


@pytest.mark.parametrize(
    ("start", "end", "slots"),
    [
        (0, 6, [(4, 9), (0, 1)]),
        (4, 6, [(8, 9), (0, 1)]),
        (1, 3, [(5, 7)]),
        (5, 6, [(0, 1)]),
        (2, 2, []),
    ],
)
def test_pieces_of_runs(start, end, slots):
    """Any key range is found as slot ranges, in logical order."""
    assert KeyRuns([(0, 4, 5), (5, 0, 1)]).pieces(start, end) == slots


def test_rotations_that_no_row_needs_are_not_made():
    """succ is made from the second chunk on, inter from the third; inter has one row."""
    first = meta().query_rotations
    assert first.succ is None
    assert first.inter is None
    third = meta(start=20, length=3, runs=((0, 0, 23),)).query_rotations
    assert third.succ is not None
    assert third.inter is not None
    assert third.inter[0].shape == (1, 8)


def test_scratch_is_reused():
    """A second call of the same shape allocates nothing, and the bytes held are told."""
    scratch = AttentionScratch()
    first = scratch.take("x", (4, 8), torch.float32)
    again = scratch.take("x", (8, 2), torch.float32)
    assert first.data_ptr() == again.data_ptr()
    assert scratch.num_bytes == 4 * 8 * 4


def test_out_is_written_in_place():
    """A given out tensor is filled and returned, even when it is a strided view."""
    torch.manual_seed(0)
    wide = torch.full((4, 4, 32), float("nan"))
    pools = torch.randn(2, 2, 8, 16)
    q = torch.randn(4, 4, 16)
    options = {"scratch": AttentionScratch()}
    out, _ = attend_slice(q, *pools, meta(), out_TNH=wide[..., :16], **options)
    assert out.data_ptr() == wide.data_ptr()
    assert torch.equal(out, attend_slice(q, *pools, meta(), **options)[0])
    assert wide[..., 16:].isnan().all()
