"""Every snippet of the README and the documents runs, or says why it does not."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from support.serving import live_server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LANGUAGES = {"python", "console", "sh", "text", "json", "mermaid", "js", "nginx"}
ADDRESS = "http://127.0.0.1:8000"
"""Where the documents have a server; here it is another one."""


class Snippet(NamedTuple):
    page: str
    number: int
    language: str
    code: str
    reason: str | None

    @property
    def name(self):
        return f"{self.page}:{self.number}"


def snippets(page):
    found = BLOCK.finditer(page.read_text())
    name = page.relative_to(ROOT).as_posix()
    return [Snippet(name, n, m["language"], m["code"], m["reason"]) for n, m in enumerate(found)]


ALL = [snippet for page in PAGES for snippet in snippets(page)]
COMMANDS = [s for s in ALL if s.language == "console"]
CALLS = [s for s in ALL if s.language == "sh" and ADDRESS in s.code]
PYTHON_PAGES = sorted({s.page for s in ALL if s.language == "python"})


@pytest.fixture(scope="module")
def server():
    """The address of what `longreach serve` starts."""
    from longreach.cli.defaults import sampling_defaults
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM
    from longreach.models.registry import resolve_model

    engine = AsyncEngine.from_llm(LLM("needle", max_model_len=32768))
    with live_server(engine, sampling_defaults=sampling_defaults(resolve_model("needle"))) as url:
        yield url


@pytest.fixture
def code_of(request):
    """The code of a snippet, with the address of a server that is there."""

    def code_of(snippet):
        if ADDRESS not in snippet.code:
            return snippet.code
        return snippet.code.replace(ADDRESS, request.getfixturevalue("server"))

    return code_of


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_python_runs(page, tmp_path, monkeypatch, code_of):
    """The Python blocks of a page run in order, as one program, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(
        "The pass key is 28884. Remember it. 28884 is the pass key.\n"
    )
    namespace = {"__name__": "__snippet__"}
    for snippet in ALL:
        if snippet.page == page and snippet.language == "python" and not snippet.reason:
            exec(compile(code_of(snippet), snippet.name, "exec"), namespace)


@pytest.mark.parametrize("snippet", CALLS, ids=lambda s: s.name)
def test_calls_are_answered(snippet, code_of):
    """Each call of a server with curl gets an answer that is no error."""
    command = ["bash", "-euc", code_of(snippet)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert '"error":{' not in result.stdout


@pytest.mark.parametrize("snippet", COMMANDS, ids=lambda s: s.name)
def test_commands_run(snippet, tmp_path, monkeypatch):
    """Each `$ longreach ...` of a page exits with 0; one that is not run is at least parsed."""
    from longreach.cli.commands import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(
        "The pass key is 28884. Remember it. 28884 is the pass key.\n"
    )
    for line in snippet.code.splitlines():
        if not line.startswith("$ longreach"):
            continue
        arguments = shlex.split(line.removeprefix("$ longreach"), comments=True)
        if snippet.reason:
            arguments = [*command_of(app, arguments), "--help"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}"


def command_of(app, arguments):
    """The command's own words, without its options: ["eval", "needle"]."""
    words = []
    for word in arguments[:2]:
        if word.startswith("-") or (words and words[0] != "eval"):
            break
        words.append(word)
    return words


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    """A relative link or picture names a file that exists."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_named_in_documents_exist(page):
    """`src/longreach/x.py`, `tests/y/`, and `ops/z.py` (below src/longreach) are where they say."""
    for name in re.findall(r"`((?:[\w.]+/)+[\w.]*)`", page.read_text()):
        places = (ROOT / name, ROOT / "src" / "longreach" / name)
        assert any(place.exists() for place in places), name


def test_every_block_has_a_known_language():
    """A block without a language would be skipped in silence; there is none."""
    for page in PAGES:
        fences = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)
        opening = fences[::2]
        assert set(opening) <= LANGUAGES, page
