import json

import pytest
from typer.testing import CliRunner

from longreach.cli import serve as module
from longreach.cli.commands import app
from support.fake_async_engine import FakeAsyncEngine


@pytest.fixture
def engine(monkeypatch):
    """Commands load this instead of a model; `.loads` counts how often."""
    engine = FakeAsyncEngine()
    engine.loads = 0

    def load_engine(model, max_model_len, values):
        engine.loads += 1
        engine.values = dict(values)
        return engine

    monkeypatch.setattr(module, "load_engine", load_engine)
    return engine


def request(custom_id, **body):
    messages = [{"role": "user", "content": custom_id}]
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"messages": messages, **body},
    }


@pytest.fixture
def requests(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(request(f"q{n}")) for n in range(6)))
    return path


def answers_of(text):
    return {line["custom_id"]: line["response"] for line in map(json.loads, text.splitlines())}


def test_every_request_is_answered(run, engine, requests, tmp_path):
    """One line per request, in OpenAI's shape, and a count on stderr."""
    output = tmp_path / "out.jsonl"
    result = run(["run-batch", "-i", str(requests), "-o", str(output), "--max-num-seqs", "3"])
    assert result.exit_code == 0, result.output
    answers = answers_of(output.read_text())
    assert answers.keys() == {f"q{n}" for n in range(6)}
    body = answers["q0"]["body"]
    assert (answers["q0"]["status_code"], body["model"]) == (200, "needle")
    assert body["choices"][0]["message"]["content"] == engine.script
    assert "6 answered, 0 failed" in result.stderr
    assert engine.is_draining, "the engine is closed at the end"


def test_failures_stand_beside_answers(run, engine, tmp_path):
    """A wrong request has its error in the same file."""
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [request("good"), request("bad", temperature=9)]
    source.write_text("\n".join(map(json.dumps, lines)))
    result = run(["run-batch", "-i", str(source), "-o", str(output)])
    answers = answers_of(output.read_text())
    assert answers["good"]["status_code"] == 200
    assert answers["bad"]["status_code"] == 400
    assert "1 answered, 1 failed" in result.stderr


def test_resume(run, engine, requests, tmp_path):
    """What is answered already is kept; the rest is run, half-written lines included."""
    output = tmp_path / "out.jsonl"
    first = run(["run-batch", "-i", str(requests), "-o", str(output)])
    assert first.exit_code == 0
    kept = output.read_text().splitlines()[:2]
    output.write_text("\n".join(kept) + '\n{"custom_id": "q')
    engine.requests.clear()
    engine.is_draining = False
    result = run(["run-batch", "-i", str(requests), "-o", str(output), "--resume"])
    assert result.exit_code == 0, result.output
    lines = output.read_text().splitlines()
    assert lines[:2] == kept
    assert len(lines) == len(answers_of(output.read_text())) == 6
    assert len(engine.requests) == 4


def test_answers_are_not_overwritten(run, engine, requests, tmp_path):
    """An output file that holds something is refused without --resume."""
    output = tmp_path / "out.jsonl"
    output.write_text("precious\n")
    result = run(["run-batch", "-i", str(requests), "-o", str(output)])
    assert result.exit_code == 2
    assert "--resume" in result.stderr
    assert output.read_text() == "precious\n"


def test_stdin_and_stdout(run, engine, requests):
    """`-` reads requests from stdin and prints nothing but answers on stdout."""
    result = CliRunner().invoke(
        app, ["run-batch", "-i", "-", "-o", "-"], input=requests.read_bytes()
    )
    assert result.exit_code == 0, result.output
    assert answers_of(result.stdout).keys() == {f"q{n}" for n in range(6)}


@pytest.mark.parametrize("content", ["", "{}", '{"custom_id": "a", "method": "POST"}'])
def test_a_wrong_file_loads_no_model(run, engine, tmp_path, content):
    """A file that cannot be run is told before anything heavy happens."""
    source = tmp_path / "in.jsonl"
    source.write_text(content)
    result = run(["run-batch", "-i", str(source), "-o", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 2
    assert "input-file" in result.stderr
    assert engine.loads == 0


def test_a_missing_file(run, engine, tmp_path):
    """An input that is not there is one line, exit code 2."""
    result = run(["run-batch", "-i", str(tmp_path / "none"), "-o", "-"])
    assert (result.exit_code, engine.loads) == (2, 0)
