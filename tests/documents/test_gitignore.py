"""The patterns of .gitignore, against git itself where it is installed."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.documents.folders.gitignore import is_ignored, parse_rules
from longreach.documents.folders.tree import walk
from longreach.documents.limits import Limits


def ignored(text, path, *, is_folder=False):
    """Whether a path, or a folder on the way to it, is left out."""
    rules = parse_rules(text)
    parts = path.split("/")
    ways = ["/".join(parts[:size]) for size in range(1, len(parts))]
    above = any(is_ignored(rules, way, is_folder=True) for way in ways)
    return above or is_ignored(rules, path, is_folder=is_folder)


CASES = [
    ("*.log", "a.log", True),
    ("*.log", "sub/deep/a.log", True),
    ("*.log", "a.logs", False),
    ("/a.txt", "a.txt", True),
    ("/a.txt", "sub/a.txt", False),
    ("build/", "build/x.c", True),
    ("build/", "sub/build/x.c", True),
    ("build/", "build", False),
    ("doc/*.txt", "doc/a.txt", True),
    ("doc/*.txt", "doc/sub/a.txt", False),
    ("doc/*.txt", "sub/doc/a.txt", False),
    ("**/foo", "a/b/foo", True),
    ("**/foo/bar", "a/foo/bar", True),
    ("abc/**", "abc/d/e", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a/**/b", "ab", False),
    ("*.txt\n!keep.txt", "keep.txt", False),
    ("*.txt\n!keep.txt", "other.txt", True),
    ("!keep.txt\n*.txt", "keep.txt", True),
    ("out/\n!out/keep.txt", "out/keep.txt", True),
    ("# a comment", "# a comment", False),
    ("\\#name", "#name", True),
    ("\\!name", "!name", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("[a-c].py", "b.py", True),
    ("[!a-c].py", "b.py", False),
    ("[!a-c].py", "d.py", True),
    ("[]]x", "]x", True),
    ("[", "[", True),
    ("[[:digit:]]x", "7x", True),
    ("[[:digit:]]x", "ax", False),
    ("[![:alpha:]_]x", "7x", True),
    ("[![:alpha:]_]x", "_x", False),
    ("a//", "a/x", False),
    ("name  ", "name", True),
    ("name\\ ", "name ", True),
    ("a.c", "abc", False),
    ("foo*bar", "foo/bar", False),
    ("", "x", False),
    ("/", "x", False),
    ("ä*", "äpfel", True),
]


@pytest.mark.parametrize(("patterns", "path", "expected"), CASES)
def test_patterns(patterns, path, expected):
    """Each rule of gitignore(5)."""
    assert ignored(patterns, path) is expected


NAMES = st.sampled_from(["a", "b", "ab", "a.py", "b.log", "x", "build", "!x", "[b]"])
PIECES = st.sampled_from(
    ["a", "b", "*", "**", "?", "*.py", "a*", "[ab]", "[!a]", "build", "*b", "\\a", "a.py", "!x"]
)
PATTERNS = st.builds(
    lambda bang, root, parts, end: bang + root + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PIECES, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@settings(max_examples=60)
@given(
    st.lists(PATTERNS, min_size=1, max_size=4),
    st.lists(PATTERNS, max_size=2),
    st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=8),
)
def test_as_git(tmp_path_factory, patterns, below, paths):
    """For any patterns, on two levels: the files that are read are those that git would add."""
    assert shutil.which("git"), "git, to compare with"
    top = tmp_path_factory.mktemp("tree")
    for parts in paths:
        file = top.joinpath(*parts)
        if not any(place.is_file() for place in file.parents) and not file.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x")
    (top / ".gitignore").write_text("\n".join(patterns))
    if (top / "a").is_dir():
        (top / "a" / ".gitignore").write_text("\n".join(below))
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    listed = subprocess.run(
        ["git", "-c", "core.excludesFile=", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=top,
        capture_output=True,
        check=True,
    )
    expected = set(listed.stdout.decode().split("\0")) - {""}
    found = {item.path.relative_to(top.resolve()).as_posix() for item in walk(top, Limits())}
    assert found == expected
