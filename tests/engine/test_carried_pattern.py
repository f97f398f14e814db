"""Small slices of a long prompt: which pattern they carry, and when it is measured again."""

import pytest
import torch

from longreach.cache import DENSE
from longreach.config import SparsePolicy
from longreach.engine import sparse_choice
from longreach.engine.carried_pattern import CHECK_EVERY, chosen
from longreach.engine.sparse_choice import make_choice, wanted_provenance
from longreach.ops.attention import KeyRuns, prepare_slice
from longreach.ops.dca import DualChunk
from longreach.ops.pattern import GroupPattern, Pattern
from longreach.ops.rope import inverse_frequencies
from longreach.ops.sparse import row_recall

HEADS, GROUPS, DIM = 4, 2, 16
NUM_KEYS, SLICE = 8192, 256


class Rope:
    type, theta = "default", 1e9


INV_FREQ, _ = inverse_frequencies(Rope, DIM)


def slice_of(start, length):
    return prepare_slice(
        start,
        length,
        KeyRuns([(0, 0, start + length)]),
        geometry=DualChunk.plain(),
        inv_freq=INV_FREQ,
        head_dim=DIM,
    )


def choice(num_prompt_tokens=10**6, recall=0.9, segment_rows=32768, **policy):
    settings = SparsePolicy(recall=recall, min_tokens=0, **policy)
    return make_choice(
        settings,
        wanted_provenance(settings, 10**6),
        num_prompt_tokens=num_prompt_tokens,
        segment_rows=segment_rows,
        inv_freq=INV_FREQ,
        table=None,
        chunk_len=None,
        seed=0,
    )


def easy_text(sink=8.0, seed=0):
    """Keys of which the first draw nearly all mass, whatever asks: queries point at them."""
    generator = torch.Generator().manual_seed(seed)
    k_GSH = 0.1 * torch.randn(GROUPS, NUM_KEYS, DIM, generator=generator)
    q_TNH = 0.1 * torch.randn(NUM_KEYS, HEADS, DIM, generator=generator)
    # The slowest dimensions hardly turn with the distance.
    k_GSH[:, :8, DIM // 2 - 1] += sink
    q_TNH[:, :, DIM // 2 - 1] += sink
    return k_GSH, q_TNH


@pytest.fixture
def spied(monkeypatch):
    """Starts of the slices that chose, and of those that measured again."""
    calls = {"chose": [], "measured": []}

    def spy(name, key):
        real = getattr(sparse_choice, name)

        def spying(q_TNH, k_GSH, meta, *args, **options):
            calls[key].append(meta.start)
            return real(q_TNH, k_GSH, meta, *args, **options)

        monkeypatch.setattr(sparse_choice, name, spying)

    spy("select_adaptive", "chose")
    spy("measure_recalls", "measured")
    return calls


def read(made, k_GSH, q_TNH, starts, length=SLICE, layer=0):
    """Patterns of slices in turn."""
    return [
        made.choose(layer, q_TNH[start : start + length], k_GSH, slice_of(start, length))
        for start in starts
    ]


def test_one_choice_and_few_checks_serve_a_segment(spied):
    """Where the target holds, slices of 256 rows choose once and measure once in CHECK_EVERY rows;
    from the first check on they do without the newer keys.
    """
    k_GSH, q_TNH = easy_text()
    patterns = read(choice(), k_GSH, q_TNH, range(4096, 8192, SLICE))
    assert spied["chose"] == [4096]
    assert spied["measured"] == [4352, 5632, 6912]
    assert all(pattern.density(range(7936, 8192))[0] < 0.1 for pattern in patterns[1:])


def test_layers_measure_in_turn(spied):
    """Layers that chose in one step do not all measure in one step."""
    k_GSH, q_TNH = easy_text()
    made = choice()
    for start in range(4096, 6144, SLICE):
        for layer in range(4):
            read(made, k_GSH, q_TNH, [start], layer=layer)
    assert max(map(spied["measured"].count, spied["measured"])) < 4


def test_slices_that_become_hard_choose_anew(spied):
    """Where later rows look elsewhere, a check finds it, and the pattern is chosen anew."""
    k_GSH, q_TNH = easy_text()
    q_TNH[6144:, :, DIM // 2 - 1] *= -1
    read(choice(), k_GSH, q_TNH, range(4096, 8192, SLICE))
    later = [start for start in spied["chose"] if start > 4096]
    assert later
    assert 6144 <= later[0] < 6144 + CHECK_EVERY + SLICE


def test_a_full_segment_chooses_anew(spied):
    """No pattern serves more rows than a segment has."""
    k_GSH, q_TNH = easy_text()
    read(choice(segment_rows=1024), k_GSH, q_TNH, range(4096, 8192, SLICE))
    assert spied["chose"] == [4096, 5120, 6144, 7168]


@pytest.mark.parametrize("length", [64, 200])
def test_the_slice_that_ends_the_prompt_does_not_carry(spied, length):
    """Its last rows are the question: up to 128 rows are dense, more choose for themselves."""
    k_GSH, q_TNH = easy_text()
    end = 4096 + 2 * SLICE
    made = choice(num_prompt_tokens=end + length)
    read(made, k_GSH, q_TNH, range(4096, end, SLICE))
    [pattern] = read(made, k_GSH, q_TNH, [end], length)
    assert spied["chose"] == ([4096] if length == 64 else [4096, end])
    assert (pattern is None) is (length == 64)


def test_the_smallest_slices_are_sparse_too(spied):
    """64 rows in the midst of a prompt choose and carry: dense ones would take ever longer."""
    k_GSH, q_TNH = easy_text()
    patterns = read(choice(), k_GSH, q_TNH, range(4096, 5120, 64), length=64)
    assert spied["chose"] == [4096]
    assert None not in patterns


def test_what_is_reported_is_what_was_kept():
    """Mean recall of the small slices, against every row's exact one under the pattern it used."""
    k_GSH, q_TNH = easy_text(sink=6.0)
    made, exact = choice(recall=0.8), []
    starts = range(4096, 8192, SLICE)
    for start in starts:
        [pattern] = read(made, k_GSH, q_TNH, [start])
        assert pattern is not None
        rows = range(start, start + SLICE)
        kept = row_recall(q_TNH[rows], k_GSH, slice_of(start, SLICE), pattern, rows)
        exact.append(float(kept.mean()))
    provenance, stats = made.take_step()
    assert stats.recall_mean == pytest.approx(sum(exact) / len(exact), abs=0.01)
    assert provenance.recall_min == stats.recall_min >= 0.8
    assert stats.recall_weight == len(starts) * SLICE


def test_a_dropped_check_is_made_again(spied):
    """What a step that did not count found out is forgotten, and so is its pattern."""
    k_GSH, q_TNH = easy_text()
    made = choice()
    read(made, k_GSH, q_TNH, [4096])
    made.take_step()
    read(made, k_GSH, q_TNH, [4352])
    made.drop_step(4352)
    assert made.take_step()[0] == DENSE
    read(made, k_GSH, q_TNH, [4352])
    assert spied["chose"] == [4096, 4352]


def test_newer_keys_are_kept_until_they_cost_more_than_a_choice():
    """All keys after the choice are whole tile diagonals; half their square bounds the reach."""
    group = GroupPattern(columns=torch.arange(30), tile_diagonals=torch.arange(2))
    made = chosen(Pattern((group, None)), torch.ones(4), range(4096, 4352), 0, 0.9)
    assert made.up_to(5376).groups[0].tile_diagonals.tolist() == list(range(8))
    assert made.without_newer().up_to(5376).groups[0] is group
    assert made.up_to(5376).groups[1] is None
    assert [made.reaches(stop, 32768) for stop in (4864, 4992)] == [True, False]
    assert made.without_newer().reaches(4096 + 32768, 32768)
    assert not made.without_newer().reaches(4097 + 32768, 32768)


def test_a_choice_that_its_held_out_rows_refute_is_measured_at_once():
    """Eight rows may choose badly: below the target, the very next slice measures again."""
    group = GroupPattern(columns=torch.arange(30), tile_diagonals=torch.arange(2))
    recall_N = torch.tensor([1.0, 0.895])
    due = {
        target: chosen(Pattern((group,)), recall_N, range(4096, 4352), 7, target).is_due(4353)
        for target in (0.9, 0.8, 0.0)
    }
    assert due == {0.9: True, 0.8: False, 0.0: False}
