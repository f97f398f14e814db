import json


def test_the_demo_shows_its_story(run, fake_llm):
    """What is hidden, the answers, the second question from the cache, the summary, dense cost."""
    result = run("demo --tokens 60K")
    assert result.exit_code == 0, result.output
    for text in ("Hidden in the text", "Question 1", "Question 2", "came from the cache"):
        assert text in result.stdout
    assert "5 of 5 hidden values" in result.stdout or "6 of 6" in result.stdout
    assert "extrapolated from" in result.stdout


def test_json_is_all_of_stdout(run, fake_llm):
    """With --json, stdout is one document with the promised keys, and progress is on stderr."""
    result = run("demo --tokens 4K --json --no-dense")
    data = json.loads(result.stdout)
    assert data["found"]
    assert {"found", "num_cached_tokens", "ttft_s"} <= data["second_question"].keys()
    assert {"prompt_tokens", "planted", "found", "metrics"} <= data.keys()
    assert "Question 1" in result.stderr


def test_the_model_is_loaded_for_the_length(run, fake_llm):
    """Room is planned for the prompt and its answer, not more."""
    run("demo --tokens 4K --sparse off --dtype float32 --no-dense")
    assert 4096 < fake_llm.options["max_model_len"] < 6000
    assert (fake_llm.options["sparse"], fake_llm.options["dtype"]) == ("off", "float32")


def test_a_file_is_read_whole(run, fake_llm, tmp_path):
    """Without --tokens, a text of one's own is read from its first to its last word."""
    words = " ".join(f"word{i}" for i in range(2000))
    (tmp_path / "own.txt").write_text(words)
    result = run(["demo", "--file", str(tmp_path / "own.txt"), "--json", "--no-dense"])
    assert result.exit_code == 0, result.output
    assert "word1999" in str(fake_llm.prompts[0])


def test_without_colour_nothing_is_lost(run, fake_llm, monkeypatch):
    """NO_COLOR and a pipe give plain text without escape codes."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("demo --tokens 4K --no-dense").stdout


def test_measuring_dense_is_seen(run, fake_llm, monkeypatch):
    """A line on a pipe; on a terminal one that moves, and is gone before the summary."""
    assert "measuring dense attention at" in run("demo --tokens 60K").stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("demo --tokens 60K").stdout
    assert "measuring dense attention" in shown
    assert "\x1b[2K" in shown.rpartition("measuring dense")[2]
