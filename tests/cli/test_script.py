"""The script as a process: how it begins, and how it ends when somebody has had enough."""

import os
import subprocess
import sys

import pytest

SCRIPT = "from longreach.cli.app import main; main()"
STOPPED_IMPORT = """
import sys

class Stop:
    def find_spec(self, name, *args):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stop())
"""


def script(words, *, before="", **streams):
    """The script in a process of its own."""
    command = [sys.executable, "-c", before + SCRIPT, *words]
    return subprocess.run(command, text=True, check=False, stderr=subprocess.PIPE, **streams)


def test_ctrl_c_while_python_imports_is_no_traceback():
    """As later: a word, and 130."""
    done = script(["version"], before=STOPPED_IMPORT, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")


@pytest.mark.parametrize("is_buffered", [True, False])
@pytest.mark.parametrize("line", ["version", "show needle --json"])
def test_a_reader_that_leaves_is_no_error(line, is_buffered):
    """`longreach ... | head`: nothing is said, whether by rich or not, written at once or late."""
    reader, writer = os.pipe()
    os.close(reader)
    env = os.environ | {"PYTHONUNBUFFERED": "" if is_buffered else "1"}
    done = script(line.split(), stdout=writer, env=env)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
