"""--help of every command, as a terminal of 80 columns shows it."""

import re

import pytest
import typer
from typer.testing import CliRunner

from longreach.cli.commands import app
from longreach.cli.help import paragraphs
from longreach.evals.needle import DEFAULT_KINDS, KINDS


def walk(command, words=()):
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*words, name))


COMMANDS = {" ".join(words): command for words, command in walk(typer.main.get_command(app))}


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_names_are_whole(name, columns):
    """Every spelling of every option stands in one line; nothing is cut or too wide."""
    words = [*name.split(), "--help"]
    result = CliRunner().invoke(app, words, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= columns
    shown = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*(?!-)", result.stdout))
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option":
            assert {*parameter.opts, *parameter.secondary_opts} <= shown


def test_what_an_option_is_stands_beside_it(run):
    """Panel, value, meaning and default; arguments and commands too."""
    shown = " ".join(run("serve --help").stdout.split())
    assert "serve [OPTIONS] [MODEL] " in shown
    for text in ("Memory and speed", "--block-size <int>", "Tokens of a page", "[default: 128]"):
        assert text in shown
    assert "[env var: LONGREACH_API_KEY]" in shown
    assert "list, pin, verify" in run("--help").stdout


def test_paragraphs_are_filled_and_examples_kept():
    """A line break inside a paragraph is none; what is indented stays so."""
    assert paragraphs("One\ntwo.\n\n  longreach x") == "One two.\n\n  longreach x"


def test_the_version_is_an_option_too(run):
    """As the first line of the command."""
    first = run("version").stdout.splitlines()[0]
    assert run("--version").stdout == f"{first}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_everything_is_explained(name):
    """Every command, argument and option says what it is."""
    command = COMMANDS[name]
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


def test_help_is_true(run):
    """What exists is listed, what an option does here is said, not what it does elsewhere."""
    needle, passkey, batch = (
        " ".join(run(f"{name} --help").stdout.replace("│", " ").split())
        for name in ("eval needle", "eval passkey", "run-batch")
    )
    for kind in KINDS:
        assert kind.replace("_", "-") in needle
    assert set(KINDS) - set(DEFAULT_KINDS) == {"hex_key"}
    assert "Else all but hex-key" in needle
    assert "else 100 up to 32K" not in passkey
    assert "[default: 10" in passkey
    assert "MODEL" not in batch.replace("$", "")
    assert "--json FILE" in needle
