"""Fixed budgets are spent to the key; recall of a given pattern is exact."""

from itertools import pairwise

import pytest
import torch

from longreach.errors import InvalidRequestError
from longreach.ops.pattern import GroupPattern, Pattern, keep_mask
from longreach.ops.sparse import measure_recall, row_recall, select_budget


@pytest.mark.parametrize(
    ("columns", "diagonals", "kept_columns", "kept_diagonals"),
    [(512, 512, 512, 4), (700, 300, 616, 3), (30, 256, 30, 2), (0, 0, 30, 2), (1, 1500, 30, 12)],
)
def test_budget_is_spent(make_case, columns, diagonals, kept_columns, kept_diagonals):
    """Diagonals are rounded up to tiles and columns take the rest of the sum, forced ones
    included.
    """
    case = make_case(2500, heads=4, groups=2, sharpness=2.0)
    selection = select_budget(
        case.q, case.pool_GSH, case.meta, columns=columns, diagonals=diagonals
    )
    for group in selection.pattern.groups:
        assert group.columns.numel() == kept_columns
        assert group.tile_diagonals.numel() == kept_diagonals
        assert group.columns[:30].tolist() == list(range(30))
        assert group.tile_diagonals[:2].tolist() == [0, 1]
    exact = case.exact_recall(selection.pattern)
    assert float((exact - selection.recall_N).abs().max()) < 0.08
    counted = keep_mask(selection.pattern.groups[0], torch.arange(2500), 2500).sum()
    assert float(selection.density_G[0]) == pytest.approx(float(counted) / (2500 * 2501 / 2))


def test_budget_finds_the_planted_columns(plant):
    """The budget goes to the columns with most mass."""
    columns = torch.arange(40, 3000, 29)
    case = plant(3000, columns, strength=7.0)
    selection = select_budget(case.q, case.pool_GSH, case.meta, columns=200, diagonals=256)
    assert float(torch.isin(columns, selection.pattern.groups[0].columns).float().mean()) > 0.9


def test_recall_grows_with_the_budget(make_case):
    """A larger budget of either kind never keeps less."""
    case = make_case(2000, sharpness=1.5)
    rows = list(range(0, 2000, 51))
    recalls = []
    for columns, diagonals in ((64, 256), (256, 256), (256, 640), (512, 640), (1000, 999)):
        pattern = select_budget(
            case.q, case.pool_GSH, case.meta, columns=columns, diagonals=diagonals
        ).pattern
        recalls.append(measure_recall(case.q, case.pool_GSH, case.meta, pattern, rows))
    for smaller, larger in pairwise(recalls):
        assert bool((larger >= smaller - 1e-6).all())


def test_budget_of_every_key_is_dense(make_case):
    """Where the sum reaches the number of keys nothing is left out."""
    case = make_case(900)
    selection = select_budget(case.q, case.pool_GSH, case.meta, columns=450, diagonals=450)
    assert selection.pattern.is_dense
    with pytest.raises(InvalidRequestError, match="columns"):
        select_budget(case.q, case.pool_GSH, case.meta, columns=-1, diagonals=0)


GROUP = GroupPattern(
    columns=torch.tensor([3, 17, 130, 131, 400, 555, 801]), tile_diagonals=torch.tensor([0, 2, 5])
)


def test_uniform_attention_keeps_the_share_of_its_keys(make_case):
    """With zeroed queries the recall of a row is kept keys over seen keys."""
    case = make_case(700, start=300, heads=2)
    case.q_TNH.zero_()
    rows = [300, 333, 511, 512, 900, 999]
    recall = row_recall(case.q, case.pool_GSH, case.meta, Pattern((GROUP,)), rows)
    mask = keep_mask(GROUP, torch.tensor(rows), 1000)
    share = mask.sum(1) / (torch.tensor(rows) + 1)
    torch.testing.assert_close(recall, share[:, None].expand(-1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunk": 150, "scattered": True, "original_max_position": 200},
        {"dtype": torch.bfloat16},
    ],
)
def test_measured_recall_is_exact(make_case, options):
    """Recall of given rows under any pattern is the oracle's; a dense group has recall 1."""
    case = make_case(600, start=300, heads=4, groups=2, sharpness=2.0, **options)
    rows = [301, 302, 639, 640, 899]
    pattern = Pattern((GROUP, None))
    recall = measure_recall(case.q, case.pool_GSH, case.meta, pattern, rows)
    exact = case.exact_recall(Pattern((GROUP, None)), rows)
    tolerance = 5e-3 if case.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(recall.double(), exact.double(), atol=tolerance, rtol=0)
    assert recall[2:].tolist() == [1, 1]
