"""Folders and patterns: what is read, in which order, under which name, and what is not."""

import os

import pytest

from longreach.documents import Limits, read_paths
from longreach.documents.collection import distinct_names
from longreach.errors import (
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    UnsupportedDocumentError,
)
from support.small_pdf import small_pdf


@pytest.fixture
def project(tmp_path):
    """A small tree with sources, an ignored folder, a binary file and a PDF."""
    top = tmp_path / "project"
    files = {
        ".gitignore": "*.log\nout/\n",
        "b.py": "print('b')\n",
        "a.py": "print('a')\n",
        "noise.log": "noise",
        "out/made.txt": "made",
        "sub/notes.md": "# Notes\n",
        "sub/.gitignore": "secret.txt\n!kept.log\n",
        "sub/secret.txt": "secret",
        "sub/kept.log": "kept",
        "node_modules/x/index.js": "x",
    }
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "data.bin").write_bytes(bytes(range(256)))
    (top / "paper.pdf").write_bytes(small_pdf("a paper"))
    return top


def names(collection):
    return [document.name for document in collection.documents]


def test_a_folder(project):
    """Sorted, named below the folder's own name, each file by its kind; the unread are named."""
    read = read_paths([project])
    assert names(read) == [
        "project/.gitignore",
        "project/a.py",
        "project/b.py",
        "project/paper.pdf",
        "project/sub/.gitignore",
        "project/sub/kept.log",
        "project/sub/notes.md",
    ]
    assert {d.name: d.kind for d in read.documents}["project/a.py"] == "code"
    assert [(s.name, s.reason) for s in read.skipped] == [
        ("project/data.bin", "its content is not text"),
        ("project/node_modules", "a folder that holds no text of the project"),
    ]


def test_the_rules_above_hold_below(project):
    """A folder inside a repository is read by the repository's rules."""
    (project / ".git" / "info").mkdir(parents=True)
    (project / ".git" / "info" / "exclude").write_text("notes.md\n")
    (project / "sub" / "more.log").write_text("x")
    (project / "sub" / "out").mkdir()
    (project / "sub" / "out" / "x.txt").write_text("x")
    assert names(read_paths([project / "sub"])) == ["sub/.gitignore", "sub/kept.log"]


def test_the_same_anywhere(project, tmp_path):
    """A copy of a tree in another folder is the same documents."""
    import shutil

    copy = tmp_path / "elsewhere" / "project"
    shutil.copytree(project, copy)
    assert read_paths([project]) == read_paths([copy])


def test_links_are_not_followed(project, tmp_path):
    """Neither out of the tree nor in a circle; each is named."""
    (tmp_path / "private.txt").write_text("private")
    (project / "link.txt").symlink_to(tmp_path / "private.txt")
    (project / "loop").symlink_to(project)
    read = read_paths([project])
    assert "private" not in "".join(document.text for document in read.documents)
    reasons = {item.name: item.reason for item in read.skipped}
    assert reasons["project/link.txt"] == reasons["project/loop"] == "a link, not followed"


def test_a_link_that_is_asked_for(tmp_path):
    """By its own path a link is read: that is what was asked."""
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    assert names(read_paths([tmp_path / "link.txt"])) == ["link.txt"]


def test_pipes_and_devices(project):
    """Nothing waits for a pipe: in a folder it is named, by its own path it is refused."""
    os.mkfifo(project / "pipe")
    skipped = {item.name: item.reason for item in read_paths([project]).skipped}
    assert skipped["project/pipe"] == "not a regular file"
    with pytest.raises(UnsupportedDocumentError, match=r"pipe: not a regular file"):
        read_paths([project / "pipe"])
    with pytest.raises(UnsupportedDocumentError, match=r"zero: not a regular file"):
        read_paths(["/dev/zero"])


def test_several_paths(project):
    """In the order asked for; a file met twice is read once."""
    asked = [project / "sub" / "notes.md", project / "b.py", project / "sub", project / "b.py"]
    assert names(read_paths(asked)) == [
        "notes.md",
        "b.py",
        "sub/.gitignore",
        "sub/kept.log",
    ]


def test_patterns(project):
    """A pattern is its files, sorted; one without a match is an error."""
    assert names(read_paths([f"{project}/*.py"])) == ["a.py", "b.py"]
    assert names(read_paths([f"{project}/**/*.md"])) == ["notes.md"]
    with pytest.raises(DocumentNotFoundError, match=r"\*\.docx: no file has such a name"):
        read_paths([f"{project}/*.docx"])


def test_a_name_like_a_pattern(tmp_path):
    """A file that is there is that file, whatever its name looks like."""
    (tmp_path / "a[1].txt").write_text("text")
    assert names(read_paths([tmp_path / "a[1].txt"])) == ["a[1].txt"]


def test_namesakes(tmp_path):
    """Files of one name are told apart by their folders."""
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "report.txt").write_text(folder)
    asked = [tmp_path / "x" / "report.txt", tmp_path / "y" / "report.txt"]
    assert names(read_paths(asked)) == ["x/report.txt", "y/report.txt"]
    assert list(distinct_names([tmp_path / "x" / "report.txt"]).values()) == ["report.txt"]


def test_what_is_asked_for_has_to_be_read(project):
    """A file's own path raises what a folder would only name."""
    with pytest.raises(UnsupportedDocumentError, match=r"data\.bin: its content is not text"):
        read_paths([project / "a.py", project / "data.bin"])
    with pytest.raises(DocumentNotFoundError, match=r"no such file: .*nothing\.txt"):
        read_paths([project / "nothing.txt"])


def test_nothing_to_read(tmp_path):
    """An empty folder, or one with nothing readable, says so with the reasons."""
    with pytest.raises(DocumentNotFoundError, match=r"nothing to read in it; give"):
        read_paths([tmp_path])
    (tmp_path / "x.bin").write_bytes(b"\0\0")
    with pytest.raises(DocumentNotFoundError, match=r"x\.bin: its content is not text"):
        read_paths([tmp_path])


def test_urls_are_refused():
    """Nothing is fetched."""
    for url in ("https://example.org/a.pdf", "HTTP://x", "file:///etc/passwd", "data:,x"):
        with pytest.raises(UnsupportedDocumentError, match=r"download it and give the file"):
            read_paths([url])


def test_limits(project):
    """Files, depth, size and text have limits, each named with both numbers."""
    with pytest.raises(DocumentTooLargeError, match=r"number of files 8 is above the limit of 3"):
        read_paths([project], limits=Limits(max_files=3))
    with pytest.raises(DocumentTooLargeError, match=r"depth in folders 2 is above the limit of 1"):
        read_paths([project], limits=Limits(max_depth=1))
    with pytest.raises(DocumentTooLargeError, match=r"project: its text in characters"):
        read_paths([project], limits=Limits(max_chars=60))
    with pytest.raises(DocumentTooLargeError, match=r"size in bytes 11 is above the limit of 4"):
        read_paths([project / "a.py"], limits=Limits(max_bytes=4))
    with pytest.raises(ValueError, match=r"max_pages is 0: expected"):
        Limits(max_pages=0)


def test_deep_folders(tmp_path):
    """Deeper than any project is: refused before Python's own limits are met."""
    place = tmp_path
    for _ in range(100):
        place = place / "d"
    place.mkdir(parents=True)
    (place / "x.txt").write_text("x")
    with pytest.raises(DocumentTooLargeError, match=r"depth in folders"):
        read_paths([tmp_path])


def test_odd_file_names(tmp_path):
    """Names that are no Unicode, with line ends or controls, are read and shown on one line."""
    for name in (b"\xff\xfe.txt", b"a\nb.txt", b"[page 2]\r.txt", b"-rf", "ü \u202e.txt".encode()):
        (tmp_path / os.fsdecode(name)).write_text("text")
    read = read_paths([tmp_path])
    assert len(read.documents) == 5
    for document in read.documents:
        document.text.encode("utf-8")
        assert "\n" not in document.name


def test_a_folder_that_may_not_be_opened(project, monkeypatch):
    """It is named, and the rest is read."""
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    read = read_paths([project])
    assert "project/a.py" in names(read)
    assert ("project/sub", "cannot be opened (Permission denied)") in [
        (item.name, item.reason) for item in read.skipped
    ]


def test_a_file_that_may_not_be_opened(project, monkeypatch):
    """Its own path is an error with the reason."""
    from pathlib import Path

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DocumentError, match=r"a\.py: cannot be read \(Permission denied\); check"):
        read_paths([project / "a.py"])
