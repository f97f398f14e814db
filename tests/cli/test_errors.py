import pytest

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
    """The one line is the error's own message."""
    fake_llm.fail = InvalidRequestError("top_p", 3, "a number in (0, 1]")
    assert run("generate hello").stderr == "error: top_p is 3: expected a number in (0, 1]\n"
