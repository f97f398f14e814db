import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.ops.attention import slices
from longreach.ops.dca import DualChunk
from support.attention import attend, random_problem, worst

pytestmark = pytest.mark.usefixtures("dense_twin")

TOLERANCE = 1e-5
SMALL = DualChunk(160, 197)  # C = 197, W = 37
PAPER = DualChunk(160, 196)


def check(problem, cuts=(), *, tolerance=TOLERANCE, **options):
    out, lse = attend(problem, cuts, **options)
    true_out, true_lse = problem.truth()
    assert worst("out", out, true_out) < tolerance
    assert worst("lse", lse, true_lse) < TOLERANCE * max(1.0, true_lse.abs().max() / 10)


@pytest.mark.parametrize("dim", [32, 64, 80, 128, 6])
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 2), (7, 1), (6, 6)])
def test_heads_groups_and_dims(heads, kv_heads, dim):
    """The twin equals the reference for every head layout and even head dim."""
    check(random_problem(350, heads, kv_heads, dim, SMALL))


@pytest.mark.parametrize("geometry", [SMALL, PAPER], ids=["cap C", "cap C - 1"])
@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 159, 160, 161, 196, 197, 198,
                               319, 320, 321, 479, 480, 481])  # fmt: skip
def test_lengths_around_every_edge(n, geometry):
    """Page, L, C, 2L and 3L, one less and one more, all at once and in one cut."""
    problem = random_problem(n, 2, 1, 32, geometry, seed=n)
    check(problem)
    check(problem, [n // 3])


@pytest.mark.parametrize("n", [255, 257, 513, 700])
def test_one_chunk_longer_than_a_mask(n):
    """Inside one long chunk the causal squares are cut, and nothing is lost between them."""
    check(random_problem(n, 4, 2, 32, DualChunk.plain(), seed=n))


@pytest.mark.parametrize("rows", [128, 256, 512])
def test_blocks_and_tiles_of_any_size(monkeypatch, rows):
    """However large a block of rows and a tile of keys, the answer is the same."""
    monkeypatch.setattr(slices, "TARGET_ROWS", rows)
    monkeypatch.setattr(slices, "TARGET_SCORES", 64 * rows)
    check(random_problem(900, 2, 1, 32, DualChunk(300, 333)))


@settings(max_examples=25)
@given(
    st.integers(1, 260), st.integers(5, 90), st.integers(1, 60),
    st.lists(st.integers(0, 260), max_size=6), st.sampled_from((1, 3, 16, 128)), st.data(),
)  # fmt: skip
def test_any_cut_and_any_page_order(n, length, local, cuts, page, data):
    """Slices cut anywhere, pages of any size in any order: always the reference."""
    local = min(local, length + 1)
    geometry = DualChunk(length, length + local - data.draw(st.sampled_from((0, 1))))
    problem = random_problem(n, 2, 1, 16, geometry, seed=n)
    check(problem, [c for c in cuts if c < n], page=page, shuffle=data.draw(st.integers(0, 99)))


@pytest.mark.parametrize("mode", ["position", "length", "off"])
def test_temperature_and_attention_factor(mode):
    """The query's temperature and yarn's factor are in the softmax scale, in every mode."""
    check(random_problem(400, 2, 1, 32, SMALL, trained=50, mode=mode, attention_factor=1.3), [111])


def test_plain_rotary_while_texts_are_short():
    """While n <= min(C + 1, 2L) dual chunk attention is plain rotary attention."""
    n = 198
    problem = random_problem(n, 4, 2, 32, SMALL)
    plain = random_problem(n, 4, 2, 32, DualChunk.plain())
    assert worst("out", attend(problem, [70])[0], attend(plain)[0]) < TOLERANCE


def test_a_row_does_not_depend_on_later_tokens():
    """By position, the first rows of a long prompt are the short prompt's rows."""
    long = random_problem(500, 2, 1, 32, SMALL, trained=50)
    short = random_problem(500, 2, 1, 32, SMALL, trained=50)
    short.q, short.k, short.v = short.q[:300], short.k[:300], short.v[:300]
    assert worst("out", attend(long)[0][:300], attend(short, [123])[0]) < TOLERANCE


def test_uneven_values_everywhere():
    """Rows whose largest key comes first, last or in the middle are all right."""
    problem = random_problem(600, 2, 1, 32, DualChunk(200, 230), q_scale=3.0)
    problem.k[torch.tensor([0, 1, 150, 390, 410, 599])] *= 12
    check(problem, [211], tolerance=2e-5)  # plain torch in float32 is off by 1.1e-5 here


def test_lse_is_optional():
    """Without return_lse the second value is None, and the output is the same."""
    problem = random_problem(90, 2, 1, 16, SMALL)
    assert attend(problem, with_lse=False)[1] is None
    assert torch.equal(attend(problem, with_lse=False)[0], attend(problem)[0])
