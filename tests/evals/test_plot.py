import builtins
import math

import pytest

from longreach.errors import UnsupportedError
from longreach.evals.plan import EvalPlan, LengthPlan
from longreach.evals.plot import plot_heat_map, shares
from longreach.evals.report import by_depth
from longreach.evals.runner import run_plan
from support.fake_engine import fake_reader


@pytest.fixture(scope="module")
def answers():
    lengths = (LengthPlan(tokens=1024, questions=3, documents=1),)
    return run_plan(fake_reader(), EvalPlan(lengths=lengths), settings={})


def test_a_picture_is_written(answers, tmp_path):
    """The heat map is a PNG file."""
    path = tmp_path / "plots" / "map.png"
    plot_heat_map(answers, path, title="needle")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_cells_that_were_not_asked_are_blank(answers):
    """A depth without questions is no number, not zero."""
    values = [row[0] for row in shares(by_depth(answers))]
    assert sum(not math.isnan(v) for v in values) == 3
    assert {v for v in values if not math.isnan(v)} == {1.0}


def test_without_matplotlib_the_extra_is_named(answers, tmp_path, monkeypatch):
    """The error says what to install."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UnsupportedError, match=r"longreach\[plot\]"):
        plot_heat_map(answers, tmp_path / "map.png", title="needle")
