"""`longreach cache`: what is on disk, and its care."""

import errno
import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longreach.cache.provenance import DENSE
from longreach.cli.cache_view import short_age
from longreach.cli.commands import app
from support.extents import chain, open_store, read, write


@pytest.fixture
def directory(tmp_path):
    """A document with a question, and a short prompt."""
    store = open_store(tmp_path)
    document = chain("document", 6)
    write(store, document)
    write(store, [*document[:5], *chain("question", 1)], 5, 6)
    write(store, chain("short", 2))
    store.close()
    return tmp_path


@pytest.fixture
def cache(run, directory):
    """A command over the directory; its JSON, or its text."""

    def call(line, *, text=False, code=0):
        words = ["cache", *line, "--cache-dir", str(directory)]
        outcome = run(words if text else [*words, "--json"])
        assert outcome.exit_code == code, outcome.stderr
        return outcome.stdout if text else json.loads(outcome.stdout)

    return call


def document_id():
    return chain("document", 6)[-1].hex()[:12]


def test_list_shows_every_prefix(cache):
    """Model, tokens, bytes, times, pins and labels, for people and for programs."""
    listed = cache(["list"])
    assert sorted((e["tokens"], e["branches"], e["files"]) for e in listed) == [
        (16, 0, 1),
        (48, 1, 2),
    ]
    assert all(e["model"] == "tiny" and not e["pinned"] for e in listed)
    assert all(time.time() - e["created"] < 600 for e in listed)
    text = cache(["list"], text=True)
    assert document_id() in text
    assert "in all" in text


def test_an_empty_directory_is_no_error(run, tmp_path):
    """Nothing was ever kept there: an empty list."""
    outcome = run(["cache", "list", "--json", "--cache-dir", str(tmp_path / "none")])
    assert (outcome.exit_code, json.loads(outcome.stdout)) == (0, [])


def test_a_directory_that_cannot_be_read_is_not_said_to_be_empty(run, tmp_path, monkeypatch):
    """Somebody else's directory, or no directory: its name, and exit code 2."""
    (tmp_path / "file").touch()
    outcome = run(["cache", "list", "--cache-dir", str(tmp_path / "file")])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "file" in outcome.stderr

    def refuse(path):
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    outcome = run(["cache", "list", "--cache-dir", str(tmp_path)])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert str(tmp_path) in outcome.stderr


def test_show_says_everything_of_one(cache):
    """By the first digits of its id."""
    shown = cache(["show", document_id()[:6]], text=True)
    assert chain("document", 6)[-1].hex() in shown
    assert "dense" in shown
    assert cache(["show", document_id()])["tokens"] == 48


def test_a_narrow_terminal_still_names_model_and_label(run, cache, directory):
    """At 60 columns every heading and value of the table is there; words wrap, none is cut."""
    cache(["pin", document_id(), "--ttl", "8d", "--label", "report.pdf"])
    words = ["cache", "list", "--cache-dir", str(directory)]
    outcome = CliRunner().invoke(app, words, env={"COLUMNS": "60"})
    heading = outcome.stdout.splitlines()[0]
    columns = ["ID", "MODEL", "TOKENS", "SIZE", "AGE", "USED", "PINNED", "LABEL"]
    assert heading.split() == columns
    assert "…" not in outcome.stdout
    assert any(word in outcome.stdout for word in (" 7d ", " 8d "))
    assert "tiny" in outcome.stdout


def test_pins_come_and_go(cache, directory):
    """A pin with its time and label is there for engines, and for `list`; unpinned it is gone."""
    pinned = cache(["pin", document_id(), "--ttl", "2h", "--label", "book.pdf"])
    assert (pinned["pinned"], pinned["label"]) == (True, "book.pdf")
    assert 7000 < pinned["pinned_until"] - time.time() <= 7200
    (pin,) = open_store(directory).pins().values()
    assert pin.digests == tuple(chain("document", 6))
    assert "book.pdf" in cache(["list"], text=True)
    assert not cache(["unpin", "book.pdf"])["pinned"]
    assert open_store(directory).pins() == {}
    assert cache(["pin", document_id()])["pinned_until"] is None


def test_rm_removes_a_prefix_with_what_goes_on_from_it(cache, directory):
    """Its questions and pins too; others stay. An id that is none is refused with advice."""
    cache(["pin", document_id(), "--label", "book"])
    assert cache(["rm", "book", "--yes"])["bytes"] > 0
    store = open_store(directory)
    assert read(store, chain("document", 6)) == 0
    assert read(store, chain("short", 2)) == 2
    assert store.pins() == {}
    assert [e["tokens"] for e in cache(["list"])] == [16]


@pytest.mark.parametrize("line", [["rm", "book", "--yes"], ["gc", "--cache-size", "1"]])
def test_what_cannot_be_removed_is_not_said_to_be(run, cache, directory, monkeypatch, line):
    """Somebody else's directory: the path, and exit code 2."""
    cache(["pin", document_id(), "--label", "book"])

    def refuse(path, missing_ok=False):
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    outcome = run(["cache", *line, "--cache-dir", str(directory)])
    assert outcome.exit_code == 2
    assert "cannot be removed" in outcome.stderr
    assert str(directory) in outcome.stderr
    assert "removed" not in outcome.stdout


def test_unknown_and_ambiguous_ids(run, directory):
    """Exit code 2, and what to do."""
    for name, hint in (("zzz", "cache list"), ("", "cache list")):
        outcome = run(["cache", "show", name, "--cache-dir", str(directory)])
        assert outcome.exit_code == 2
        assert hint in outcome.stderr


def test_verify_removes_what_is_broken(cache, directory):
    """All sound: 0. A flipped bit: named, removed, and 1 once."""
    assert cache(["verify"]) == {"sound": 3, "removed": []}
    path = next(directory.glob("extents/*/*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    told = cache(["verify"], code=1)
    assert (told["sound"], len(told["removed"])) == (2, 1)
    assert path.name in told["removed"][0]
    assert not path.exists()
    assert cache(["verify"])["removed"] == []


def test_gc_removes_what_is_too_old_too_much_or_out_of_reach(cache, directory):
    """By time, by size, drafts and orphans; what is pinned stays."""
    cache(["pin", document_id()])
    folder = next(directory.glob("extents/*"))
    draft = folder / "x.safetensors.aa.draft"
    draft.write_bytes(b"half")
    past = time.time() - 10 * 86_400
    for path in folder.iterdir():
        if path.is_file():
            os.utime(path, (past, past))
    assert cache(["gc", "--cache-ttl", "7d"])["num_files"] == 2  # the question, and "short"
    assert not draft.exists()
    store = open_store(directory)
    assert [read(store, chain(name, n)) for name, n in (("document", 6), ("short", 2))] == [6, 0]
    assert not store.lacks(chain("document", 6)[0], DENSE)
    cache(["unpin", document_id()])
    assert cache(["gc", "--cache-size", "1", "--cache-ttl", "never"])["num_files"] >= 1
    assert cache(["list"]) == []


@pytest.mark.parametrize(("seconds", "text"), [(5, "now"), (90, "1m"), (7300, "2h"), (2e5, "2d")])
def test_ages_are_short(seconds, text):
    """A number and a letter."""
    assert short_age(seconds) == text
