"""Digests of files: read once, trusted while nothing about the file changes."""

import hashlib

import pytest

from longreach.cache.disk import file_digests
from longreach.cache.disk.file_digests import FileDigests


@pytest.fixture
def files(tmp_path):
    (tmp_path / "model").mkdir()
    paths = [tmp_path / "model" / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    return paths


@pytest.fixture
def num_read(monkeypatch):
    """How many files were read."""
    read = []

    def counted(path):
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(file_digests, "_sha256", counted)
    return read


def test_files_are_read_once(tmp_path, files, num_read):
    """By this process and later ones; the memo is its owner's alone."""
    memo = tmp_path / "cache" / "weights.json"
    digest = FileDigests(memo).digest(files)
    assert FileDigests(memo).digest(reversed(files)) == digest
    assert len(num_read) == 2
    assert memo.stat().st_mode & 0o777 == 0o600


def test_any_change_is_seen(tmp_path, files):
    """Other bytes of the same size, a file more or less: another digest."""
    digests = FileDigests(tmp_path / "memo")
    whole = digests.digest(files)
    assert digests.digest(files[:1]) != whole
    changed = files[0].read_bytes()[:-1] + b"x"
    files[0].unlink()
    files[0].write_bytes(changed)
    assert digests.digest(files) != whole


def test_a_broken_memo_is_no_memo(tmp_path, files, num_read):
    """Files are read again, and the memo is written anew."""
    memo = tmp_path / "memo"
    digest = FileDigests(memo).digest(files)
    memo.write_text("[1, 2")
    assert FileDigests(memo).digest(files) == digest
    assert len(num_read) == 4


def test_a_memo_that_cannot_be_written_is_done_without(tmp_path, files):
    """The digest comes all the same."""
    (tmp_path / "file").write_text("")
    assert len(FileDigests(tmp_path / "file" / "memo").digest(files)) == 32
