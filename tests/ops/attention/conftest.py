import pytest

from longreach.ops.attention import fused, torch_fused, torch_tiles


@pytest.fixture(scope="module", params=["torch_fused", "torch_tiles"])
def many_rows_twin(request):
    """Slices of many rows go to each twin in turn, whatever this CPU prefers; it must have run."""
    chosen = {"torch_fused": torch_fused, "torch_tiles": torch_tiles}[request.param]
    if chosen is torch_fused and fused.KERNEL is None:
        pytest.skip("this torch has no fused CPU kernel")
    calls = []
    real = chosen.attend
    answer = None if chosen is torch_fused else "the test wants the other twin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_fused, "supports", lambda *_: answer)
        patch.setattr(chosen, "attend", lambda *args: (calls.append(1), real(*args))[1])
        yield request.param
    assert calls
