"""The shell completes commands and flags."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("longreach se", "serve"),
        ("longreach serve --max-model", "--max-model-len"),
        ("longreach eval ne", "needle"),
    ],
)
def test_words_are_completed(words, expected):
    """Commands, commands of groups, and flags, as the shell asks for them."""
    asked = {
        "_LONGREACH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "import sys; sys.argv = ['longreach']\nfrom longreach.cli.commands import app\n"
    code += "app(prog_name='longreach')"
    command, env = [sys.executable, "-c", code], os.environ | asked
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert expected in result.stdout.split(), result.stderr


def test_the_help_says_how_to_install_it(run):
    """`longreach --install-completion`."""
    assert "--install-completion" in run(["--help"]).output
