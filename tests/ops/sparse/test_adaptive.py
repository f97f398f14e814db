"""Adaptive selection keeps the asked share of the softmax with the fewest keys, and says what it
kept.
"""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.errors import ShapeError
from longreach.ops.pattern import keep_mask
from longreach.ops.sparse import adaptive, select_adaptive
from longreach.ops.sparse.sampling import sample_rows
from longreach.ops.sparse.segment import GroupRows


def uniform(make_case, length, **options):
    case = make_case(length, **options)
    case.q_TNH.zero_()
    return case


def test_reported_recall_is_the_exact_recall_at_16k(plant):
    """At 16K, recall from held-out rows is within 0.02 of the exact recall over all rows."""
    columns = torch.arange(50, 16384, 37)
    case = plant(16384, columns, strength=5.0, heads=1, head_dim=32, dtype=torch.bfloat16)
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.8)
    assert not selection.pattern.is_dense
    exact = case.exact_recall(selection.pattern)
    assert float((exact - selection.recall_N).abs().max()) < 0.02
    assert float(exact.min()) > 0.75


def test_narrow_pages_choose_what_the_same_numbers_choose(plant):
    """A bf16 pool under float32 queries gives the pattern and recall of the pool widened."""
    columns = torch.tensor([40, 41, 700, 1500, 2100])
    case = plant(4096, columns, strength=9.0)
    pool = case.pool_GSH.to(torch.bfloat16)
    narrow = select_adaptive(case.q, pool, case.meta, target=0.95)
    wide = select_adaptive(case.q, pool.float(), case.meta, target=0.95)
    assert not narrow.pattern.is_dense
    assert torch.equal(narrow.recall_N, wide.recall_N)
    for group, same in zip(narrow.pattern.groups, wide.pattern.groups, strict=True):
        assert torch.equal(group.columns, same.columns)
        assert torch.equal(group.tile_diagonals, same.tile_diagonals)


CASES = {
    "plain": {},
    "later slice": {"start": 4000},
    "chunks, pages, temperature": {
        "start": 1000,
        "chunk": 1100,
        "scattered": True,
        "original_max_position": 700,
    },
    "groups of 7": {"heads": 14, "groups": 2},
    "odd": {"start": 333, "heads": 3, "groups": 3, "head_dim": 10},
}


@pytest.mark.parametrize("name", CASES)
def test_peaked_heads_are_found(plant, name):
    """Columns that all rows look at are found: density under 0.2, target reached, recall true."""
    columns = torch.tensor([40, 41, 700, 1500, 2100])
    case = plant(4096, columns, strength=9.0, **CASES[name])
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert selection.density < 0.2
    assert selection.recall_min > 0.93
    for group in selection.pattern.groups:
        assert torch.isin(columns, group.columns).all()
    rows = list(case.rows)[::17]
    exact = case.exact_recall(selection.pattern, rows)
    assert float((exact - selection.recall_N).abs().max()) < 0.02


def test_uniform_attention_goes_dense(make_case):
    """With zeroed queries nothing can be left out: adaptive goes dense, recall and density 1."""
    case = uniform(make_case, 3000)
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert selection.pattern.is_dense
    assert selection.recall_min == selection.density == 1


def test_rows_that_each_look_elsewhere_go_dense(make_case):
    """No pattern serves a head whose every row has its own key: the keys of the sampled rows are
    not taken for those of all, and the group goes dense.
    """
    case = make_case(8192, heads=1, head_dim=64)
    case.inv_freq.zero_()
    own = (torch.rand(8192, generator=torch.Generator().manual_seed(3)) * torch.arange(8192)).long()
    case.q_TNH[:, 0] = 3 * case.k_SGH[own, 0]
    case.__post_init__()
    assert case.probabilities(0, [4000])[0, own[4000]] > 0.99
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert selection.pattern.is_dense


def test_groups_are_chosen_apart(plant):
    """A group with peaked heads is sparse while a uniform group beside it is dense."""
    case = plant(4096, torch.tensor([100, 2000]), strength=9.0, heads=4, groups=2)
    case.q_TNH[:, 2:] = 0
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    sparse, dense = selection.pattern.groups
    assert sparse is not None
    assert dense is None
    assert selection.recall_N[2:].tolist() == [1, 1]
    assert selection.density_G[1] == 1 > 5 * selection.density_G[0]


def test_the_worst_head_of_a_group_decides(plant):
    """Every head of a group reaches the target, also one that looks elsewhere than the others."""
    case = plant(4096, torch.tensor([100, 2000]), strength=9.0, heads=3)
    case.q_TNH[:, 2] *= -1
    case.k_SGH[60, :, 7] = -9.0
    case.__post_init__()
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert torch.isin(torch.tensor([60, 100, 2000]), selection.pattern.groups[0].columns).all()
    assert selection.recall_min > 0.93


def test_every_row_keeps_itself_its_sinks_and_its_window(plant):
    """Whatever was chosen, row i keeps keys 0 to 29 and offsets 0 to 100."""
    case = plant(4096, torch.tensor([700]), strength=12.0)
    group = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.5).pattern.groups[0]
    rows = torch.arange(4096)
    mask = keep_mask(group, rows, 4096)
    needed = (torch.arange(4096)[None] < 30) | (rows[:, None] - torch.arange(4096)[None] <= 100)
    assert bool((needed & keep_mask(None, rows, 4096) <= mask).all())


def test_a_larger_target_keeps_more(plant):
    """Patterns of growing targets are nested, up to target 1, which is everything."""
    case = plant(4096, torch.arange(10, 4096, 61), strength=4.0)
    targets = (0.3, 0.5, 0.7, 0.8, 1.0)
    chosen = [
        select_adaptive(case.q, case.pool_GSH, case.meta, target=t).pattern.groups[0]
        for t in targets
    ]
    rows = torch.arange(0, 4096, 97)
    masks = [keep_mask(group, rows, 4096) for group in chosen]
    for smaller, larger in pairwise(masks):
        assert bool((smaller <= larger).all())
    assert chosen[0] is not None
    assert chosen[-1] is None


def test_short_segments_are_not_even_scored(make_case, monkeypatch):
    """Where looking costs more than computing, the segment is dense and no key is read."""
    monkeypatch.setattr(adaptive, "select_groups", lambda *_: pytest.fail("scored"))
    for length, start in ((1, 5000), (8, 5000), (20, 5000), (300, 0)):
        case = make_case(length, start=start)
        assert select_adaptive(case.q, case.pool_GSH, case.meta, target=0.9).pattern.is_dense


@pytest.fixture
def looked_at(monkeypatch):
    """How many rows each pass over the keys of a group scored."""
    passes, real = [], GroupRows.score
    monkeypatch.setattr(
        GroupRows,
        "score",
        lambda self, *parts: (passes.append(sum(map(len, parts))), real(self, *parts))[1],
    )
    return passes


def test_where_the_forced_keys_surely_suffice_only_fresh_rows_are_looked_at(plant, looked_at):
    """In the midst of a prompt: the checking rows decide, the held-out ones report, exactly."""
    case = plant(4096, torch.arange(20), strength=9.0, start=500, chunk=1100)
    selection = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95, goes_on=True)
    rows = sample_rows(500, 4096, 1100)
    assert looked_at == [len(rows.checking) + len(rows.held_out)]
    [group] = selection.pattern.groups
    assert (group.columns.tolist(), group.tile_diagonals.tolist()) == ([*range(30)], [0, 1])
    exact = case.exact_recall(selection.pattern, rows.held_out)
    assert torch.allclose(selection.recall_N, exact, atol=1e-4)


def test_where_they_may_not_suffice_all_rows_choose(plant, looked_at):
    """The pattern and its recall are those of a full look, by one pass more."""
    case = plant(4096, torch.tensor([40, 700, 1500]), strength=9.0, heads=4, groups=2)
    quick = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95, goes_on=True)
    assert len(looked_at) == 2 * 2
    full = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert torch.allclose(quick.recall_N, full.recall_N, atol=1e-4)
    for group, same in zip(quick.pattern.groups, full.pattern.groups, strict=True):
        assert torch.equal(group.columns, same.columns)
        assert torch.equal(group.tile_diagonals, same.tile_diagonals)


def test_the_question_at_the_end_is_always_looked_at(plant):
    """Last rows that look elsewhere change the pattern of the slice that ends the prompt."""
    case = plant(4096, torch.arange(20), strength=9.0)
    case.k_SGH[1234] = case.k_SGH[0] * 3
    case.q_TNH[:4060, :, 7] *= 0.3
    case.__post_init__()
    full = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.95)
    assert full.pattern.groups[0] is None or 1234 in full.pattern.groups[0].columns


@given(
    seed=st.integers(0, 10**6),
    spread=st.floats(0, 0.2),
    mean=st.floats(0.5, 1.0),
    target=st.floats(0.5, 1.0),
)
@settings(max_examples=100)
def test_rows_near_the_target_do_not_decide_alone(seed, spread, mean, target):
    """Checking rows accept only with a mean above the target, by two of its standard errors."""
    draw = torch.Generator().manual_seed(seed)
    recall_PR = (mean + spread * torch.randn(32, 3, generator=draw)).clamp(0, 1)
    if adaptive._surely_reaches(recall_PR, target):
        margin_R = recall_PR.mean(0) - target
        assert bool((margin_R >= 2 * recall_PR.std(0) / 32**0.5 - 1e-6).all())
    else:
        worst = float((recall_PR.mean(0) - 2 * recall_PR.std(0) / 32**0.5).min())
        assert worst < target + 1e-6
    assert not adaptive._surely_reaches(recall_PR[:1], target)


def test_selection_is_deterministic(plant):
    """The same arguments give the same pattern and recall; another seed looks at other rows."""
    case = plant(4096, torch.arange(10, 4096, 61), strength=5.0)
    first, again = (select_adaptive(case.q, case.pool_GSH, case.meta, target=0.7) for _ in range(2))
    assert torch.equal(first.recall_N, again.recall_N)
    assert torch.equal(first.pattern.groups[0].columns, again.pattern.groups[0].columns)
    other = select_adaptive(case.q, case.pool_GSH, case.meta, target=0.7, seed=1)
    assert not torch.equal(first.recall_N, other.recall_N)


def test_pages_in_any_order_give_the_same_pattern(plant):
    """Where keys lie in memory does not change what is chosen."""
    columns = torch.arange(10, 3000, 61)
    apart, together = (
        select_adaptive(c.q, c.pool_GSH, c.meta, target=0.7)
        for c in (plant(3000, columns, strength=5.0, scattered=s) for s in (True, False))
    )
    assert torch.equal(apart.pattern.groups[0].columns, together.pattern.groups[0].columns)
    assert torch.equal(apart.recall_N, together.recall_N)


def test_wrong_shapes_are_refused(make_case):
    """Queries that are not the slice's rows, or heads that do not fall into groups: ShapeError."""
    case = make_case(50, heads=3)
    with pytest.raises(ShapeError, match="50 rows"):
        select_adaptive(case.q[1:], case.pool_GSH, case.meta, target=0.9)
    with pytest.raises(ShapeError, match="2 KV heads"):
        select_adaptive(case.q, case.pool_GSH.repeat(2, 1, 1), case.meta, target=0.9)
