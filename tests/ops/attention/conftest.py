from contextlib import contextmanager

import pytest

from longreach.ops.attention import fused, torch_fused, torch_rows, torch_tiles

MANY_ROWS = {"torch_fused": torch_fused, "torch_tiles": torch_tiles}
DENSE = {**MANY_ROWS, "torch_rows": torch_rows}


@pytest.fixture(scope="module", params=MANY_ROWS)
def many_rows_twin(request):
    """Slices of many rows go to each twin in turn, whatever this CPU prefers; it must have run."""
    with only(MANY_ROWS[request.param]):
        yield request.param


@pytest.fixture(scope="module", params=DENSE)
def dense_twin(request):
    """As `many_rows_twin`, and the twin for few rows takes many, too."""
    with only(DENSE[request.param]):
        yield request.param


@contextmanager
def only(chosen):
    """This twin alone is asked for more than one row."""
    if chosen is not torch_tiles and fused.KERNEL is None:
        pytest.skip("this torch has no fused CPU kernel")
    calls = []
    real = chosen.attend
    answer = None if chosen is torch_fused else "the test wants the other twin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_rows, "MAX_ROWS", 10**9 if chosen is torch_rows else 1)
        patch.setattr(torch_fused, "supports", lambda *_: answer)
        patch.setattr(chosen, "attend", lambda *args: (calls.append(1), real(*args))[1])
        yield
    assert calls
