import pytest
import typer

from longreach.cli.commands import app
from longreach.cli.errors import in_flags
from longreach.errors import InvalidRequestError, LongreachError


def test_an_error_is_one_line_and_exit_code_2(run, fake_llm):
    """Something that cannot be done is said in a line on stderr; stdout stays empty."""
    fake_llm.fail = LongreachError("no [bold]way[/bold]\nat all")
    result = run("generate hello")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no [bold]way[/bold] at all\n"


def test_debug_shows_the_traceback(run, fake_llm):
    """With --debug the error itself comes out."""
    fake_llm.fail = LongreachError("no way")
    result = run("generate hello --debug")
    assert isinstance(result.exception, LongreachError)


def test_ctrl_c_is_130(run, fake_llm):
    """Stopped is neither done nor failed."""
    fake_llm.fail = KeyboardInterrupt()
    for line in ("generate hello", "demo --tokens 4K", "eval needle --lengths 1K"):
        result = run(line)
        assert result.exit_code == 130, line
        assert "stopped" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "demo --tokens many",
        "eval needle --lengths 4K,x",
        "eval needle --haystack hay",
        "eval needle --tasks riddle",
        "eval needle --questions 2 --documents 5",
        "generate hello --temperature -1",
        "show no/such-model",
        "show ./no-such-folder",
        "pull nonsense",
        "bench --shape round",
        "bench --engines steam",
    ],
)
def test_bad_input_is_named(run, fake_llm, line):
    """A value that cannot be obeyed is refused in a line, exit code 2."""
    result = run(line)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("line", ["demo --file nowhere.txt", "demo --what", "levitate"])
def test_bad_usage_is_exit_code_2_too(run, line):
    """What the parser refuses has the same exit code."""
    assert run(line).exit_code == 2


def test_a_message_names_field_and_range(run, fake_llm):
    """The one line is the error's own message, with the field as its flag."""
    fake_llm.fail = InvalidRequestError("top_p", 3, "a number in (0, 1]")
    assert run("generate hello").stderr == "error: --top-p is 3: expected a number in (0, 1]\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("serve --uvicorn-log-level foo", "--uvicorn-log-level is 'foo': expected one of critical"),
        ("serve --max-model-len 0", "--max-model-len is '0': "),
        ("serve --api-key=", "--api-key is "),
        ("eval needle --tasks riddle", "--tasks is 'riddle': expected some of passkey"),
        ("eval needle --plot x.foo", "--plot is 'x.foo': expected a name that ends in one of "),
        ("eval needle --plot x", "--plot is 'x': "),
        ("eval needle --json .", "--json is '.': expected a file; this is a folder"),
        ("eval needle --json /proc/none/x.json", "--json is '/proc/none/x.json': expected a file"),
        (
            "bench serve --save-result --result-dir /proc/none",
            "--result-dir is '/proc/none/result.json': expected a file that can be written",
        ),
        ("cache gc --cache-size much", "--cache-size is 'much': "),
        ("ask . what? --max-model-len much", "--max-model-len is 'much': "),
    ],
)
def test_a_message_names_what_was_typed(run, fake_llm, line, told, tmp_path, monkeypatch):
    """A flag, not our own word for it; and before a model is loaded or anything is asked."""
    monkeypatch.setenv("LONGREACH_CACHE", str(tmp_path))
    result = run(line)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"error: {told}")
    assert not hasattr(fake_llm, "options")


@pytest.mark.parametrize(
    ("field", "flag"), [("page_size", "--block-size"), ("api_keys", "--api-key"), ("n", "n")]
)
def test_settings_have_flags_of_other_names(field, flag):
    """The engine's word becomes the flag's; what has no flag keeps its name."""
    command = typer.main.get_command(app).commands["serve"]
    error = in_flags(InvalidRequestError(field, 0, "at least 1"), command)
    assert str(error) == f"{flag} is 0: expected at least 1"
