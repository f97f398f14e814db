import json
import re
import shutil

import pytest

from longreach.models.registry import resolve_model


def test_needle_prints_both_tables(run, fake_llm):
    """Task by length and depth by length, with intervals, and what reading took."""
    result = run("eval needle --lengths 1K,2K --questions 6 --documents 2")
    assert result.exit_code == 0, result.output
    assert "1.00 [0.61, 1.00]" in result.stdout
    assert "multi-query" in result.stdout
    assert "90-100 %" in result.stdout
    assert "recall min" in result.stdout


def test_tasks_are_named_as_the_tables_name_them(run, fake_llm):
    """number-key, as printed, or number_key."""
    for name in ("number-key", "number_key"):
        result = run(f"eval needle --lengths 1K --questions 2 --documents 1 --tasks {name}")
        assert result.exit_code == 0, result.output
        assert "number-key" in result.stdout
        assert "single" not in result.stdout


def test_answers_are_kept_and_not_asked_twice(run, fake_llm, tmp_path):
    """The same command a second time asks nothing and prints the same tables."""
    line = f"eval needle --lengths 1K --questions 4 --json {tmp_path / 'r.json'}"
    first = run(line)
    asked = len(fake_llm.prompts)
    second = run(line)
    assert len(fake_llm.prompts) == asked == 4
    assert first.stdout == second.stdout
    saved = json.loads((tmp_path / "r.json").read_text())
    assert len(saved["answers"]) == 4
    assert saved["settings"]["model"] == "needle"


def test_answers_of_other_weights_are_not_gone_on_with(run, fake_llm, tmp_path):
    """A folder whose weights have changed since is another model: exit code 2, nothing lost."""
    folder = tmp_path / "model"
    shutil.copytree(resolve_model("needle"), folder)
    file = tmp_path / "r.json"
    line = ["eval", "needle", "--model", str(folder), "--lengths", "1K", "--questions", "4"]
    assert run([*line, "--json", str(file)]).exit_code == 0
    before = file.read_bytes()
    [weights] = folder.glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = run([*line, "--json", str(file)])
    assert result.exit_code == 2
    assert "weights" in result.stderr
    assert file.read_bytes() == before


def test_answers_over_the_texts_of_another_python_are_not_gone_on_with(
    run, fake_llm, tmp_path, monkeypatch
):
    """The haystack is Python's own library, which differs from version to version."""
    line = f"eval needle --lengths 1K --questions 4 --json {tmp_path / 'r.json'}"
    assert run(line).exit_code == 0
    monkeypatch.setattr("longreach.cli.evaluation.python_version", lambda: "4.0.0")
    result = run(line)
    assert result.exit_code == 2
    assert "python" in result.stderr


@pytest.mark.parametrize("line", ["eval needle --lengths 10", "demo --tokens 200"])
def test_a_length_that_holds_no_needles_is_refused(run, fake_llm, line):
    """One line with the least length, exit code 2, instead of a longer text than was asked for."""
    result = run(line)
    assert result.exit_code == 2, result.output
    [least] = re.findall(r"at least (\d+)", result.stderr)
    assert int(least) > int(line.split()[-1])


def test_a_heat_map_is_written(run, fake_llm, tmp_path):
    """--plot writes a picture."""
    picture = tmp_path / "map.png"
    run(f"eval needle --lengths 1K --questions 4 --plot {picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_no_dca_switches_dual_chunks_off(run, fake_llm):
    """The same weights run with plain rotary attention, and the title says so."""
    result = run("eval needle --lengths 1K --questions 2 --no-dca")
    assert fake_llm.options["dual_chunk_attention"] is False
    assert "plain rotary" in result.stdout


def test_passkey_asks_each_text_once(run, fake_llm):
    """A new text of repeated sentences for every question, at even depths."""
    result = run("eval passkey --lengths 1K --questions 5")
    assert result.exit_code == 0, result.output
    assert len(set(map(str, fake_llm.prompts))) == 5
    assert all("The grass is green" in str(prompt) for prompt in fake_llm.prompts)
    assert "passkey" in result.stdout
