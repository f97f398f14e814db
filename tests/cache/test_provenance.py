"""Which page may serve which request."""

import pytest

from longreach.cache import DENSE, Provenance


def adaptive(target, **more):
    return Provenance(mode="adaptive", target=target, **more)


FIXED = Provenance(mode="fixed", target=0.0)
SMALL = Provenance(mode="budget", target=0.0, budget=(100, 10))
LARGE = Provenance(mode="budget", target=0.0, budget=(100, 20))
OTHER = Provenance(mode="budget", target=0.0, budget=(200, 5))
ALL = [DENSE, adaptive(0.9), adaptive(0.95), adaptive(1.0), FIXED, SMALL, LARGE, OTHER]


@pytest.mark.parametrize("wanted", ALL)
def test_dense_serves_all(wanted):
    """A dense page serves every request, and so does one made with the full budget."""
    assert DENSE.serves(wanted)
    assert adaptive(1.0).serves(wanted)


@pytest.mark.parametrize("page", [p for p in ALL if not p.is_dense])
def test_sparse_never_serves_dense(page):
    """A sparse page serves no dense request, nor one for the full budget."""
    assert not page.serves(DENSE)
    assert not page.serves(adaptive(1.0))


@pytest.mark.parametrize(
    ("page", "wanted", "serves"),
    [
        (adaptive(0.95), adaptive(0.95), True),
        (adaptive(0.95), adaptive(0.9), True),
        (adaptive(0.9), adaptive(0.95), False),
        (adaptive(0.9, recall_min=0.99), adaptive(0.95), False),
        (adaptive(0.9, selection_version=2), adaptive(0.9, selection_version=1), True),
        (adaptive(0.9, selection_version=1), adaptive(0.9, selection_version=2), False),
        (FIXED, FIXED, True),
        (FIXED, adaptive(0.0), False),
        (adaptive(0.95), FIXED, False),
        (LARGE, SMALL, True),
        (SMALL, LARGE, False),
        (OTHER, SMALL, False),
    ],
)
def test_sparse_table(page, wanted, serves):
    """A sparse page serves its own mode, for targets and budgets that are not higher."""
    assert page.serves(wanted) is serves


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("own", ALL)
def test_rows_are_no_better_than_what_they_read(own, prefix):
    """Rows over a prefix promise nothing that the prefix does not promise."""
    made = own.after(prefix)
    assert all(prefix.serves(wanted) for wanted in ALL if made.serves(wanted))


def test_dense_rows_over_a_sparse_prefix():
    """Dense rows over a sparse prefix are sparse, and keep their own measured recall."""
    made = DENSE.after(adaptive(0.9, recall_min=0.85, recall_mean=0.92))
    assert made == adaptive(0.9, recall_min=1.0, recall_mean=1.0)


def test_mixed_recall():
    """A page made in two steps reports the worse minimum and the mean of both."""
    first = adaptive(0.9, recall_min=0.8, recall_mean=0.9)
    mixed = adaptive(0.9, recall_min=0.85, recall_mean=1.0).mixed_with(first)
    assert mixed.recall_min == 0.8
    assert mixed.recall_mean == pytest.approx(0.95)
