"""What takes a moment says so on a terminal, and nowhere else."""

import pytest

from longreach.cli import serve
from longreach.cli.engine import load_llm, open_reader
from longreach.cli.run_batch import answer_file
from longreach.engine import llm as module
from longreach.models import registry


class Loaded:
    tokenizer = encode_chat = current_metrics = None

    def __init__(self, model, **options):
        pass


@pytest.fixture
def err(monkeypatch, capsys):
    """Do something on a terminal, or not: what stderr then holds; stdout has to be empty."""
    monkeypatch.setattr(module, "LLM", Loaded)
    monkeypatch.setattr(registry, "resolve_model", lambda model: None)

    def call(do, *, is_terminal):
        if is_terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any stream for a terminal
        else:
            monkeypatch.delenv("FORCE_COLOR", raising=False)
        do()
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err

    return call


LOADS = [lambda: load_llm("./[my]-model"), lambda: open_reader("./[my]-model", max_tokens=9)]


@pytest.mark.parametrize("load", LOADS)
def test_a_model_that_loads_is_named(err, load):
    """A person sees which, brackets and all; a pipe sees nothing."""
    assert "loading ./[my]-model" in err(load, is_terminal=True)
    assert err(load, is_terminal=False) == ""


def test_a_batch_names_its_model(err, monkeypatch, tmp_path):
    """run-batch shows it as the others do."""
    requests = tmp_path / "in.jsonl"
    requests.write_text("{}")
    values = {"model": "needle", "max_model_len": "auto"}

    def load_engine(*args):
        raise EOFError

    monkeypatch.setattr("longreach.serve.batches.offline.check_lines", lambda path: [])
    monkeypatch.setattr(serve, "server_settings", lambda *args: None)
    monkeypatch.setattr(serve, "load_engine", load_engine)

    def run():
        with pytest.raises(EOFError):
            answer_file(requests, tmp_path / "out.jsonl", values)

    assert "loading needle" in err(run, is_terminal=True)
    assert err(run, is_terminal=False) == ""
