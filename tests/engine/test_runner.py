"""Packing slices into one batch, and what sparse choices make of them."""

import pytest
import torch

from longreach.cache import DENSE, Provenance
from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.build import Overrides, build_engine
from longreach.engine.positions import Positions
from longreach.engine.runner import SliceWork
from longreach.engine.sparse_choice import (
    DenseRows,
    SparseRows,
    checked_rows,
    make_choice,
    wanted_provenance,
)
from longreach.ops.attention import KeyRuns, prepare_slice
from longreach.ops.dca import DualChunk
from longreach.ops.rope import inverse_frequencies


@pytest.fixture
def engine(tiny_dca):
    config = EngineConfig(dtype="float32", page_size=16)
    return build_engine(tiny_dca, config, Overrides(), device=torch.device("cpu"))


def work(engine, ids, start=0, num_wanted=1, pieces=None):
    table = engine.cache.open_table(ids)
    engine.cache.extend(table, start + len(ids))
    end = start + len(ids)
    return SliceWork(
        token_ids=ids,
        start=start,
        table=table,
        positions=engine.runner.positions.of_request(end, 1),
        choice=DenseRows(),
        pieces=pieces or [(start, end)],
        num_wanted=num_wanted,
    )


def test_slices_are_packed_in_order(engine):
    """Rows, slots and wanted rows of several slices follow each other."""
    parts = [work(engine, [1, 2, 3]), work(engine, [4], num_wanted=0), work(engine, [5, 6], 30, 2)]
    batch = engine.runner.make_batch(parts)
    assert batch.token_ids_T.tolist() == [1, 2, 3, 4, 5, 6]
    assert [(s.row_start, s.row_end, s.meta.start) for s in batch.slices] == [
        (0, 3, 0),
        (3, 4, 0),
        (4, 6, 30),
    ]
    assert batch.logit_rows.tolist() == [2, 4, 5]
    assert len(set(batch.slot_mapping_T.tolist())) == 6


def test_each_slice_gets_its_rows_back(engine):
    """The hidden states come back per slice; one that wants none gets none."""
    parts = [work(engine, [1, 2, 3], num_wanted=3), work(engine, [4], num_wanted=0)]
    hidden = engine.runner.run(parts)
    assert [tuple(rows.shape) for rows in hidden] == [(3, 64), (0, 64)]
    assert engine.runner.logits(hidden[0]).shape == (3, engine.model.vocab_size)


def test_pieces_of_one_slice_equal_the_slice(engine):
    """A slice cut into pieces within one step gives the rows that it gives uncut."""
    ids = list(range(5, 105))
    (whole,) = engine.runner.run([work(engine, ids, num_wanted=100)])
    cut = work(engine, ids, num_wanted=100, pieces=[(0, 48), (48, 96), (96, 100)])
    (pieces,) = engine.runner.run([cut])
    torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-4)


def test_a_stop_returns_nothing(engine):
    """A step that was stopped has no hidden states."""
    assert engine.runner.run([work(engine, [1, 2])], should_stop=lambda: True) is None


def test_the_wanted_pages_follow_the_policy():
    """Short prompts, mode off and the full target want dense pages; others what they promise."""
    policy = SparsePolicy(min_tokens=100, recall=0.9)
    assert wanted_provenance(policy, 100) == DENSE
    assert wanted_provenance(SparsePolicy(mode="off"), 10**6) == DENSE
    assert wanted_provenance(SparsePolicy(recall=1.0), 10**6) == DENSE
    sparse = wanted_provenance(policy, 101)
    assert (sparse.mode, sparse.target) == ("adaptive", 0.9)
    budget = wanted_provenance(SparsePolicy(budget=(10, 20), min_tokens=0), 1)
    assert (budget.mode, budget.budget) == ("budget", (10, 20))
    assert DENSE.serves(sparse)
    assert not sparse.serves(DENSE)
    assert not sparse.serves(wanted_provenance(SparsePolicy(recall=0.95), 10**6))


# --- choices, on made-up keys

HEADS, GROUPS, DIM = 4, 2, 16


def slice_of(start, length, chunk_len=None):
    geometry = DualChunk.plain() if chunk_len is None else DualChunk(chunk_len, chunk_len + 64)
    inv_freq, _ = inverse_frequencies(Rope, DIM)
    return prepare_slice(
        start,
        length,
        KeyRuns([(0, 0, start + length)]),
        geometry=geometry,
        inv_freq=inv_freq,
        head_dim=DIM,
    )


class Rope:
    type, theta = "default", 10000.0


def keys_and_queries(length, rows, seed=0):
    """Queries that look for a few keys: a sparse text."""
    generator = torch.Generator().manual_seed(seed)
    k_GSH = torch.randn(GROUPS, length, DIM, generator=generator)
    q_TNH = torch.randn(rows, HEADS, DIM, generator=generator)
    return k_GSH, 3 * q_TNH


def choice(recall=0.8, segment_rows=32768, num_prompt_tokens=10**6, **policy):
    policy = SparsePolicy(recall=recall, min_tokens=0, **policy)
    inv_freq, _ = inverse_frequencies(Rope, DIM)
    wanted = wanted_provenance(policy, 10**6)
    made = make_choice(
        policy,
        wanted,
        num_prompt_tokens=num_prompt_tokens,
        segment_rows=segment_rows,
        inv_freq=inv_freq,
        table=None,
        chunk_len=None,
        seed=0,
    )
    assert isinstance(made, SparseRows)
    return made


def test_short_slices_are_dense():
    """A question over a long text is computed densely, and says so."""
    made = choice(num_prompt_tokens=4096)
    k_GSH, q_TNH = keys_and_queries(4096, 100)
    assert made.choose(0, q_TNH, k_GSH, slice_of(3996, 100)) is None
    provenance, stats = made.take_step()
    assert provenance == DENSE
    assert (stats.recall_mean, stats.density) == (1.0, 1.0)


def test_a_large_slice_chooses_and_reports():
    """A slice of its own pattern reports held-out recall and its density, and is marked sparse."""
    made = choice()
    k_GSH, q_TNH = keys_and_queries(4096, 2048)
    pattern = made.choose(0, q_TNH, k_GSH, slice_of(2048, 2048))
    assert pattern is not None
    provenance, stats = made.take_step()
    assert isinstance(provenance, Provenance)
    assert not provenance.is_dense
    assert provenance.recall_min == stats.recall_min < 1
    assert stats.density == pytest.approx(
        sum(pattern.density(range(2048, 4096))) / GROUPS, rel=1e-6
    )
    assert made.take_step()[0] == DENSE  # nothing since


def test_small_slices_carry_then_choose_anew():
    """The pattern of a slice is carried, newer keys kept, until those cost more than a choice."""
    made = choice(budget=(512, 512))  # made-up keys are noise: no target would hold on new rows
    k_GSH, q_TNH = keys_and_queries(8192, 256)
    chosen = []
    for start in range(4096, 8192, 256):
        pattern = made.choose(0, q_TNH, k_GSH, slice_of(start, 256))
        carried = made._carried[0]
        chosen.append(carried.start)
        newest = (start - carried.stop) // 128
        assert all(
            set(range(newest + 1)) <= set(group.tile_diagonals.tolist())
            for group in pattern.groups
            if group is not None
        )
    assert 1 < len(set(chosen)) < len(chosen)


def test_a_pattern_that_misses_the_target_is_not_carried():
    """Where the rows measured again fall short of the target, the slice chooses anew."""
    made = choice(recall=0.8)
    k_GSH, q_TNH = keys_and_queries(8192, 256)
    for start in (4096, 4352):
        made.choose(0, q_TNH, k_GSH, slice_of(start, 256))
    assert made._carried[0].start == 4352


def test_layers_carry_their_own_patterns():
    """What one layer chose says nothing to another."""
    made = choice(recall=0.5)
    k_GSH, q_TNH = keys_and_queries(4096, 256)
    for layer in (0, 1):
        made.choose(layer, q_TNH, k_GSH, slice_of(3840, 256))
    assert set(made._carried) == {0, 1}


def test_checked_rows_hold_the_last():
    """Eight distinct rows of the slice, the last among them; all rows of a shorter one."""
    assert checked_rows(slice_of(100, 80)) == [109, 119, 129, 139, 149, 159, 169, 179]
    assert checked_rows(slice_of(10, 3)) == [10, 11, 12]


def test_fixed_pieces_end_at_chunk_edges():
    """fixed patterns never cross a chunk edge; dense rows are not cut."""
    made = choice()
    made.chunk_len = 48
    assert made.pieces(40, 150) == [(40, 48), (48, 96), (96, 144), (144, 150)]
    assert made.pieces(48, 96) == [(48, 96)]
    assert DenseRows().pieces(40, 150) == [(40, 150)]


def test_positions_follow_the_model(tiny_dca, engine):
    """Chunks and trained length are the checkpoint's; only dynamic NTK seeds the pages."""
    positions = engine.runner.positions
    assert isinstance(positions, Positions)
    assert (positions.geometry.chunk_len, positions.trained_length) == (48, 64)
    assert positions.of_request(10**6, 5).seed == b""
