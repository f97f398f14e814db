import pytest
import torch

from longreach.ops import attention
from longreach.ops.attention import fused, torch_rows
from longreach.ops.dca import DualChunk
from support.attention import attend, random_problem, worst

GEOMETRY = DualChunk(100, 117)


@pytest.fixture(params=["fused kernel", "tiles"])
def twin(request, monkeypatch):
    """Decode by each twin in turn; the one in turn must have run."""
    calls = []
    if request.param == "tiles":
        monkeypatch.setattr(fused, "KERNEL", None)
        yield request.param
        return
    real = torch_rows.attend
    monkeypatch.setattr(torch_rows, "attend", lambda *a: (calls.append(1), real(*a))[1])
    yield request.param
    assert calls


@pytest.mark.parametrize("n", [1, 100, 101, 105, 118, 205, 305])
@pytest.mark.parametrize("trained", [0, 60])
def test_decoding_the_last_token_equals_prefill(n, trained, twin):
    """At 1, L, L + 1, L + 5, C + 1, 2L + 5 and 3L + 5 one decoded row is prefill's last row."""
    problem = random_problem(n, 4, 2, 32, GEOMETRY, seed=n, trained=trained)
    out, lse = attend(problem, [n - 1], only_last=True, shuffle=1, page=16)
    true_out, true_lse = problem.truth()
    assert worst("out", out, true_out[-1:]) < 1e-5
    assert worst("lse", lse, true_lse[-1:]) < 1e-5


def test_a_text_decoded_token_by_token(twin):
    """Every row decoded alone equals the reference, across two chunk edges."""
    problem = random_problem(230, 2, 1, 16, GEOMETRY, trained=30)
    out, lse = attend(problem, range(1, 230))
    true_out, true_lse = problem.truth()
    assert worst("out", out, true_out) < 1e-5
    assert worst("lse", lse, true_lse) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_question_goes_the_way_of_a_decoded_row(monkeypatch, dtype):
    """Few rows over many keys, unless they are of half precision: there products are faster."""
    calls = []
    real = torch_rows.attend
    monkeypatch.setattr(torch_rows, "attend", lambda *a: (calls.append(1), real(*a))[1])
    problem = random_problem(400, 4, 2, 32, GEOMETRY, dtype=dtype)
    attend(problem, [400 - torch_rows.MAX_ROWS], only_last=True)
    assert bool(calls) == (dtype != torch.bfloat16)
    calls.clear()
    attend(problem, [400 - torch_rows.MAX_ROWS - 1], only_last=True)
    assert not calls


def test_a_scattered_page_table_uses_the_tiles():
    """With more runs than the fused kernel takes calls, the tile twin answers, and rightly."""
    problem = random_problem(torch_rows.MAX_PIECES + 9, 2, 1, 16, GEOMETRY)
    n = problem.n
    out, _ = attend(problem, [n - 1], only_last=True, shuffle=1, page=1)
    assert worst("out", out, problem.truth()[0][-1:]) < 1e-5


def test_a_fallback_is_logged_once_with_its_reason(monkeypatch, caplog):
    """Where torch lacks the fused kernel, one line says so, however many rows are decoded."""
    monkeypatch.setattr(fused, "KERNEL", None)
    attention._log_fallback.cache_clear()
    problem = random_problem(20, 2, 1, 16, GEOMETRY)
    with caplog.at_level("WARNING", logger="longreach"):
        attend(problem, range(10, 20))
    assert len(caplog.records) == 1
    assert "no fused kernel" in caplog.text
